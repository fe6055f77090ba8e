/* redis_reads.c - the commands, and their replies in the script's words. */
#include "edge/redis_reads.h"

#include <string.h>

#include "base/decimal.h"
#include "base/hex.h"
#include "edge/redis_command.h"
#include "edge/redis_text.h"

#define DIGITS_MAX 20 /* of an int64, its sign included; nothing longer is worth a copy */

/* ---- commands ---- */

static uint32_t count_items(const struct redis_plan *plan, uint32_t from, uint32_t end) {
    uint32_t items = 0;

    for (uint32_t i = from; i < end; i++)
        items += plan->parts[i].items;
    return items;
}

static bool only_reads(const struct redis_plan *plan, const struct redis_layout *layout,
                       uint32_t from, uint32_t end) {
    for (uint32_t i = from; i < end; i++)
        if (plan->parts[i].writes)
            return false;
    return !layout->touch && (!layout->tags || count_items(plan, from, end) == 1);
}

/* MGET is silent of what isn't a string as of what isn't there: EXISTS, of the same keys, tells
 * them apart. */
static void add_counters(const struct redis_plan *plan, uint32_t from, uint32_t end, uint32_t items,
                         struct buf *out) {
    redis_command_begin(out, 1 + (size_t)items);
    redis_command_arg(out, items == 1 ? SLICE("GET") : SLICE("MGET"));
    size_t keys = out->len;
    for (uint32_t i = from; i < end; i++) {
        uint32_t at = plan->parts[i].first;

        for (; at != REDIS_PLAN_END; at = plan->items[at].next)
            redis_command_arg(out, bytes_table_key(&plan->counters, plan->items[at].counter));
    }
    size_t len = out->len - keys;
    if (items == 1)
        return;
    redis_command_begin(out, 1 + (size_t)items);
    redis_command_arg(out, SLICE("EXISTS"));
    if (buf_reserve(out, len)) /* before its own bytes are copied */
        buf_add(out, out->ptr + keys, len);
}

static void add_field(struct redis_plan *plan, const struct redis_layout *layout,
                      const struct redis_plan_part *part, struct buf *out) {
    struct slice id = bytes_table_key(&plan->counters, plan->items[part->first].counter);

    buf_clear(&plan->scratch);
    redis_counter_home(&plan->scratch, layout, part->lane, id);
    redis_command_begin(out, 3);
    redis_command_arg(out, SLICE("HGET"));
    redis_command_arg(out, buf_slice(&plan->scratch));
    redis_command_arg(out, id);
    out->failed |= buf_failed(&plan->scratch);
}

static void add_lane(struct redis_plan *plan, const struct redis_layout *layout,
                     const struct redis_plan_part *part, struct buf *out) {
    buf_clear(&plan->scratch);
    redis_lane_key(&plan->scratch, layout, part->lane, "m");
    redis_command_begin(out, layout->tags ? 5 : 4);
    redis_command_arg(out, SLICE("HMGET"));
    redis_command_arg(out, buf_slice(&plan->scratch));
    buf_add_slice(out, SLICE("$5\r\nepoch\r\n$5\r\nstore\r\n"));
    if (layout->tags)
        redis_command_arg(out, SLICE("clock"));
    out->failed |= buf_failed(&plan->scratch);
}

/* How many commands bring the values, and how many the clock. */
static size_t value_commands(const struct redis_layout *layout, uint32_t items) {
    return layout->tags || items == 1 ? 1 : 2;
}

static size_t clock_commands(const struct redis_layout *layout) {
    return layout->tags ? 1 : 2;
}

size_t redis_reads_commands(struct redis_plan *plan, const struct redis_layout *layout,
                            uint32_t from, uint32_t end, struct buf *out) {
    uint32_t items = count_items(plan, from, end);

    if (!only_reads(plan, layout, from, end))
        return 0;
    if (layout->tags)
        add_field(plan, layout, &plan->parts[from], out);
    else
        add_counters(plan, from, end, items, out);
    for (uint32_t i = from; i < end; i++)
        add_lane(plan, layout, &plan->parts[i], out);
    if (!layout->tags)
        buf_add_slice(out, SLICE("*3\r\n$4\r\nHGET\r\n$8\r\nhgp:meta\r\n$5\r\nclock\r\n"));
    buf_add_slice(out, SLICE("*1\r\n$4\r\nTIME\r\n"));
    return value_commands(layout, items) + (end - from) + clock_commands(layout);
}

/* ---- replies ---- */

/* What those commands have brought. */
struct replies {
    bool single;                      /* value, not several */
    const struct redis_reply *values; /* the one, or all of them */
    int64_t clock_ms;                 /* the store's */
};

/* A string, or nothing: then the slice has no pointer. */
static bool text_of(const struct redis_reply *reply, struct slice *out) {
    *out = redis_reply_text(reply);
    return redis_reply_is_nil(reply) || (out->ptr && !redis_reply_is_error(reply));
}

/* 'want' without a pointer: nothing. */
static bool element_is(const struct redis_reply *reply, size_t i, struct slice want) {
    const struct redis_reply *element = redis_reply_at(reply, i);
    struct slice text;

    if (!want.ptr)
        return redis_reply_is_nil(element);
    return text_of(element, &text) && text.ptr && slice_eq(text, want);
}

/* lua/lane_epoch.lua's judgement. */
static bool is_ours(const struct redis_layout *layout, const struct redis_plan_part *part,
                    const struct redis_reply *reply) {
    char epoch[DECIMAL_BYTES];
    char id[HEX_U64_BYTES];
    struct slice store = layout->tags ? hex_u64(id, layout->store_id) : slice_str(NULL);

    return redis_reply_count(reply) == (layout->tags ? 3 : 2) &&
           element_is(reply, 0, decimal_i64(epoch, (int64_t)layout->epochs[part->lane])) &&
           element_is(reply, 1, store);
}

/* Redis' own, which never goes back. */
static bool read_clock(const struct redis_reply *clock, const struct redis_reply *time,
                       int64_t *out_ms) {
    int64_t clock_ms = -1; /* nothing has been written yet */
    int64_t s;
    int64_t us;

    if (redis_reply_count(time) != 2 || !redis_reply_i64(redis_reply_at(time, 0), &s) ||
        !redis_reply_i64(redis_reply_at(time, 1), &us) ||
        (!redis_reply_is_nil(clock) && !redis_reply_i64(clock, &clock_ms)))
        return false;
    int64_t wall_ms = s * 1000 + us / 1000;
    *out_ms = wall_ms > clock_ms ? wall_ms : clock_ms;
    return true;
}

/* MGET's; 'exist': what EXISTS says. */
static bool all_words(const struct redis_reply *values, uint32_t items,
                      const struct redis_reply *exist) {
    int64_t found = 0;
    int64_t want;

    if (redis_reply_count(values) != items || !redis_reply_i64(exist, &want))
        return false;
    for (uint32_t i = 0; i < items; i++)
        found += !redis_reply_is_nil(redis_reply_at(values, i));
    return found == want;
}

/* The replies in the commands' order. */
static bool read_all(const struct redis_plan *plan, const struct redis_layout *layout,
                     uint32_t from, uint32_t end, const struct redis_reply *all,
                     struct replies *out) {
    uint32_t items = count_items(plan, from, end);
    size_t at = value_commands(layout, items);
    size_t count = at + (end - from) + clock_commands(layout);
    struct slice text;

    if (redis_reply_count(all) != count)
        return false;
    *out = (struct replies){.single = at == 1, .values = redis_reply_at(all, 0)};
    if (out->single ? !text_of(out->values, &text)
                    : !all_words(out->values, items, redis_reply_at(all, 1)))
        return false;
    for (uint32_t i = from; i < end; i++)
        if (!is_ours(layout, &plan->parts[i], redis_reply_at(all, at++)))
            return false;
    const struct redis_reply *clock =
        layout->tags ? redis_reply_at(redis_reply_at(all, 1), 2) : redis_reply_at(all, at);
    return read_clock(clock, redis_reply_at(all, count - 1), &out->clock_ms);
}

/* ---- in the script's words ---- */

/* lua/apply.lua's word(). */
static struct slice word_of(struct slice text) {
    if (!text.ptr)
        return SLICE("_");
    if (text.len > DIGITS_MAX || memchr(text.ptr, ' ', text.len) || slice_eq(text, SLICE("_")))
        return SLICE("?");
    return text;
}

/* 'value': the number of the part's first one among all. */
static void say(struct redis_plan *plan, uint32_t part, const char *writes,
                const struct replies *in, uint32_t value) {
    struct buf *heard = &plan->heard;
    size_t from = heard->len;

    buf_add_str(heard, writes);
    size_t middle = heard->len;
    for (uint32_t i = 0; i < plan->parts[part].items; i++) {
        const struct redis_reply *reply =
            in->single ? in->values : redis_reply_at(in->values, value + i);

        buf_add_char(heard, ' ');
        buf_add_slice(heard, word_of(redis_reply_text(reply)));
    }
    plan->said[part] = (struct redis_said){.clock_ms = in->clock_ms,
                                           .heard_at = from,
                                           .writes.len = middle - from,
                                           .reads.len = heard->len - middle};
}

bool redis_reads_hear(struct redis_plan *plan, const struct redis_layout *layout,
                      const struct message *message, uint32_t from, uint32_t end,
                      const struct redis_reply *replies) {
    struct replies in;
    uint32_t value = 0;

    if (!read_all(plan, layout, from, end, replies, &in))
        return false;
    /* Then it is refused, unless another lane of a Cluster knows it. */
    bool aged = message->issued_ms < in.clock_ms - MESSAGE_MAX_AGE_MS ||
                message->issued_ms > in.clock_ms + MESSAGE_MAX_AHEAD_MS;
    for (uint32_t i = from; i < end; value += plan->parts[i++].items)
        say(plan, i, aged ? "A" : "", &in, value);
    return true;
}
