/* test_outbox_codec.c - the messages between a counter's outbox and analytics: round trips, and
 * bytes that are none.
 */
#include <stdlib.h>

#include "edge/outbox_codec.h"
#include "edge/values_codec.h"
#include "test.h"

static const struct event events[] = {
    {3, {1, 1}, OP_ADD, {"a", 1}, {"like", 4}, INT64_MIN, INT64_MAX, 1, 1732290000123},
    {3, {1, 2}, OP_SET, {"caf\xc3\xa9", 5}, {"view", 4}, -1, 0, 1, 1732290000124},
    {3, {1, 3}, OP_RESET, {"a:b", 3}, {"x", 1}, 0, 0, 77, 1732290000125},
};

static bool same_event(const struct event *a, const struct event *b) {
    return a->lane == b->lane && a->at.epoch == b->at.epoch && a->at.seq == b->at.seq &&
           a->kind == b->kind && slice_eq(a->resource_id, b->resource_id) &&
           slice_eq(a->counter_type, b->counter_type) && a->delta == b->delta &&
           a->new_value == b->new_value && a->count == b->count && a->et_ms == b->et_ms;
}

static void test_requests(void **state) {
    struct outbox_request request;
    struct buf positions = {0};
    struct buf out = {0};

    (void)state;
    outbox_write_open(&out, SLICE("analytics"));
    assert_int_equal(outbox_read_request(buf_slice(&out), &positions, &request), ERR_OK);
    assert_true(request.kind == OUTBOX_OPEN && slice_eq(request.consumer, SLICE("analytics")));
    buf_clear(&out);
    outbox_write_forget(&out, SLICE("analytics-recount"));
    assert_int_equal(outbox_read_request(buf_slice(&out), &positions, &request), ERR_OK);
    assert_true(request.kind == OUTBOX_FORGET &&
                slice_eq(request.consumer, SLICE("analytics-recount")));
    buf_clear(&out);
    outbox_write_read(&out, (struct lane_position){0, {0, 0}});
    assert_int_equal(outbox_read_request(buf_slice(&out), &positions, &request), ERR_OK);
    assert_true(request.kind == OUTBOX_READ && request.read.at.epoch == 0);
    buf_clear(&out);
    outbox_write_reported(&out, (struct lane_position){2, {1, UINT64_MAX}});
    outbox_write_reported(&out, (struct lane_position){4095, {9, 8}});
    assert_int_equal(outbox_read_request(buf_slice(&out), &positions, &request), ERR_OK);
    const struct lane_position *at = (const struct lane_position *)(const void *)positions.ptr;
    assert_true(request.kind == OUTBOX_REPORTED && request.count == 2);
    assert_true(at[0].lane == 2 && at[0].at.seq == UINT64_MAX && at[1].lane == 4095 &&
                at[1].at.epoch == 9);
    buf_release(&positions);
    buf_release(&out);
}

static void test_responses(void **state) {
    struct event_position reported[] = {{0, 0}, {1, 5}, {2, 0}};
    struct outbox_response response;
    struct buf items = {0};
    struct buf out = {0};

    (void)state;
    outbox_write_opened(&out, UINT64_C(0xfedcba9876543210), reported, 3);
    assert_int_equal(outbox_read_response(buf_slice(&out), &items, &response), ERR_OK);
    assert_true(response.kind == OUTBOX_OPENED && response.count == 3);
    assert_true(response.store_id == UINT64_C(0xfedcba9876543210));
    assert_memory_equal(items.ptr, reported, sizeof(reported));
    buf_clear(&out);
    outbox_write_more(&out);
    assert_int_equal(outbox_read_response(buf_slice(&out), &items, &response), ERR_OK);
    assert_int_equal(response.kind, OUTBOX_MORE);
    buf_clear(&out);
    outbox_write_events(&out, (struct lane_position){3, {1, 9}}, ERR_TRIMMED, NULL, 0, 100);
    assert_int_equal(outbox_read_response(buf_slice(&out), &items, &response), ERR_OK);
    assert_true(response.kind == OUTBOX_EVENTS && response.err == ERR_TRIMMED &&
                response.count == 0 && response.end.at.seq == 9);
    buf_release(&items);
    buf_release(&out);
}

/* As many as fit, and one at least. */
static void test_events(void **state) {
    static const struct {
        size_t max_bytes;
        size_t want;
    } rows[] = {{1 << 20, 3}, {1, 1}, {0, 1}, {90, 2}};
    struct outbox_response response;
    struct buf items = {0};
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_clear(&out);
        outbox_write_events(&out, (struct lane_position){3, {1, 9}}, ERR_OK, events, 3,
                            rows[i].max_bytes);
        assert_int_equal(outbox_read_response(buf_slice(&out), &items, &response), ERR_OK);
        assert_int_equal(response.count, rows[i].want);
        assert_true(response.err == ERR_OK && response.end.lane == 3);
        const struct event *got = (const struct event *)(const void *)items.ptr;
        for (size_t k = 0; k < response.count; k++)
            assert_true(same_event(&got[k], &events[k]));
    }
    buf_release(&items);
    buf_release(&out);
}

static const struct values_item items_of[] = {
    {{"a", 1}, {"like", 4}, INT64_MIN},
    {{"caf\xc3\xa9", 5}, {"view", 4}, 0},
    {{"z", 1}, {"like", 4}, INT64_MAX},
};

static void write_values(struct buf *out, const struct values_page *page) {
    for (size_t i = 0; i < ARRAY_LEN(items_of); i++)
        values_write_item(out, &items_of[i]);
    values_write_page(out, page);
}

static void test_values(void **state) {
    const struct values_page page = {UINT64_MAX, UINT64_C(0xfedcba9876543210), true, 0};
    struct values_page got;
    struct values_ask ask;
    struct buf items = {0};
    struct buf out = {0};

    (void)state;
    values_write_ask(&out, &(struct values_ask){9, SLICE("a"), SLICE("like")});
    assert_int_equal(values_read_ask(buf_slice(&out), &ask), ERR_OK);
    assert_true(ask.walk == 9 && slice_eq(ask.resource_id, SLICE("a")) &&
                slice_eq(ask.counter_type, SLICE("like")));
    buf_clear(&out);
    write_values(&out, &page);
    assert_int_equal(values_read_page(buf_slice(&out), &items, &got), ERR_OK);
    assert_true(got.store_id == page.store_id && got.start == page.start && got.complete);
    assert_int_equal(got.count, ARRAY_LEN(items_of));
    for (size_t i = 0; i < got.count; i++) {
        const struct values_item *item = (const struct values_item *)(const void *)items.ptr + i;

        assert_true(slice_eq(item->resource_id, items_of[i].resource_id) &&
                    slice_eq(item->counter_type, items_of[i].counter_type) &&
                    item->value == items_of[i].value);
    }
    assert_int_equal(values_read_page(SLICE(""), &items, &got), ERR_OK);
    assert_true(got.count == 0 && !got.complete);
    buf_release(&items);
    buf_release(&out);
}

/* No counter's name: half a one to begin behind, an empty one in a page. */
static void test_values_without_names(void **state) {
    struct values_page got;
    struct values_ask ask;
    struct buf items = {0};
    struct buf out = {0};

    (void)state;
    values_write_ask(&out, &(struct values_ask){9, SLICE("a"), SLICE("")});
    assert_int_equal(values_read_ask(buf_slice(&out), &ask), ERR_INVALID);
    buf_clear(&out);
    values_write_item(&out, &(struct values_item){SLICE("a"), SLICE(""), 1});
    assert_int_equal(values_read_page(buf_slice(&out), &items, &got), ERR_INVALID);
    buf_release(&items);
    buf_release(&out);
}

/* Whatever a peer sends: read or refused, never beyond its end (a sanitizer looks on). */
static void test_cut_and_changed(void **state) {
    struct outbox_response response;
    struct outbox_request request;
    struct values_page page = {.complete = true};
    struct values_ask ask;
    struct buf items = {0};
    struct buf out = {0};
    unsigned refused = 0;

    (void)state;
    outbox_write_events(&out, (struct lane_position){3, {1, 9}}, ERR_OK, events, 3, 1 << 20);
    write_values(&out, &page);
    for (size_t len = 0; len <= out.len; len++) {
        for (size_t changed = 0; changed <= len; changed++) {
            char *exact = malloc(len + 1);

            memcpy(exact, out.ptr, len);
            if (changed < len)
                exact[changed] = (char)(exact[changed] ^ 0x55);
            refused += outbox_read_response(slice_of(exact, len), &items, &response) != ERR_OK;
            refused += outbox_read_request(slice_of(exact, len), &items, &request) != ERR_OK;
            refused += values_read_page(slice_of(exact, len), &items, &page) != ERR_OK;
            refused += values_read_ask(slice_of(exact, len), &ask) != ERR_OK;
            free(exact);
        }
    }
    assert_true(refused > 1000);
    buf_release(&items);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_values_without_names),
        cmocka_unit_test(test_cut_and_changed),
    };

    return cmocka_run_group_tests_name("edge/outbox_codec", tests, NULL, NULL);
}
