/* window.c - rings of answers, their records, forgetting the silent. */
#include "core/window.h"

#include <assert.h>
#include <stdlib.h>

#include "core/rules.h"

#define RECORD_VERSION          1
#define TIDY_PRODUCERS          8 /* looked at in one call */
#define RECORD_HEADER_BYTES_MAX (1 + 8 + 8 + BYTES_VARINT_MAX)
#define ANSWER_BYTES_MAX        (1 + 2 * BYTES_VARINT_MAX)

/* An answer's first byte. Errors are stored by numbers of their own: err.def may be re-ordered. */
#define ANSWER_ERR        0x0f
#define ANSWER_REPLAYED   0x10
#define ANSWER_OTHER_TIME 0x20 /* than the part's: a key's first answer */
static const enum err stored_errs[] = {ERR_OK, ERR_RANGE, ERR_MISMATCH};

void windows_init(struct windows *windows, uint32_t lanes) {
    *windows =
        (struct windows){.lanes = lanes, .next_forget_ms = INT64_MAX, .pass_next_ms = INT64_MAX};
}

static void window_free(struct window *window) {
    for (size_t i = 0; window && i < MESSAGE_WINDOW; i++)
        buf_release(&window->slots[i].record);
    free(window);
}

static void producer_free(struct producer *producer, uint32_t lanes) {
    for (uint32_t i = 0; i < lanes; i++)
        window_free(producer->lanes[i]);
    free(producer);
}

void windows_release(struct windows *windows) {
    for (size_t i = 0; i < WINDOWS_BUCKETS; i++) {
        while (windows->buckets[i]) {
            struct producer *producer = windows->buckets[i];

            windows->buckets[i] = producer->next;
            producer_free(producer, windows->lanes);
        }
    }
    buf_release(&windows->key);
}

static size_t bucket_of(const struct producer_id *id) {
    return (id->hi ^ id->lo) % WINDOWS_BUCKETS;
}

struct producer *windows_find(const struct windows *windows, const struct producer_id *id) {
    struct producer *producer = windows->buckets[bucket_of(id)];

    while (producer && (producer->id.lo != id->lo || producer->id.hi != id->hi))
        producer = producer->next;
    return producer;
}

struct producer *windows_producer(struct windows *windows, const struct producer_id *id) {
    struct producer *producer = windows_find(windows, id);

    if (producer)
        return producer;
    producer = calloc(1, sizeof(*producer) + windows->lanes * sizeof(producer->lanes[0]));
    if (!producer)
        return NULL;
    producer->id = *id;
    producer->next = windows->buckets[bucket_of(id)];
    windows->buckets[bucket_of(id)] = producer;
    windows->producers++;
    /* A pass finds it even if no message of it is ever applied. */
    windows->next_forget_ms = 0;
    return producer;
}

struct window *windows_lane(struct producer *producer, uint32_t lane) {
    struct window *window = producer->lanes[lane];

    if (window)
        return window;
    window = calloc(1, sizeof(*window));
    if (!window)
        return NULL;
    window->active_ms = INT64_MIN;
    producer->lanes[lane] = window;
    producer->windows++;
    return window;
}

static uint64_t highest_forgotten(const struct window *window) {
    return window->highest > MESSAGE_WINDOW ? window->highest - MESSAGE_WINDOW : 0;
}

static struct window_slot *slot_of(struct window *window, uint64_t number) {
    return &window->slots[number % MESSAGE_WINDOW];
}

enum window_verdict window_look(const struct window *window, uint64_t number) {
    if (!window)
        return WINDOW_NEW;
    if (window->slots[number % MESSAGE_WINDOW].number == number)
        return RULE(RULE_DEDUP) ? WINDOW_KNOWN : WINDOW_NEW;
    if (number <= highest_forgotten(window))
        return RULE(RULE_TOO_OLD) ? WINDOW_FORGOTTEN : WINDOW_NEW;
    return WINDOW_NEW;
}

bool window_takes(const struct window *window, uint64_t number) {
    return number > highest_forgotten(window);
}

bool window_reserve(struct window *window, uint64_t number, size_t answers) {
    struct buf record = {0};
    struct buf *have = &slot_of(window, number)->record;
    size_t need = RECORD_HEADER_BYTES_MAX + answers * ANSWER_BYTES_MAX;

    if (have->cap >= need)
        return true;
    /* The record there now stays readable: this message may still fail. */
    if (!buf_reserve(&record, need)) {
        buf_release(&record);
        return false;
    }
    buf_add_slice(&record, buf_slice(have));
    buf_release(have);
    *have = record;
    return true;
}

static void window_key(struct buf *out, uint32_t lane, const struct producer_id *id,
                       uint64_t number) {
    buf_clear(out);
    bytes_add_be32(out, lane);
    bytes_add_be64(out, id->hi);
    bytes_add_be64(out, id->lo);
    bytes_add_be64(out, number);
}

static void forget(const struct window_part *part, struct kv *kv, uint64_t number) {
    struct window_slot *slot = slot_of(part->window, number);

    if (slot->number != number)
        return;
    window_key(&part->windows->key, part->lane, &part->producer, number);
    kv_del(kv, KV_WINDOW, buf_slice(&part->windows->key));
    slot->number = 0;
}

void window_begin(const struct window_part *part, struct kv *kv) {
    struct window *window = part->window;
    uint64_t from = highest_forgotten(window);
    uint64_t to = window->highest;

    if (part->number > window->highest) {
        window->highest = part->number;
        if (to > highest_forgotten(window))
            to = highest_forgotten(window);
        for (uint64_t number = from + 1; number <= to; number++)
            forget(part, kv, number);
    }
    if (part->active_ms > window->active_ms)
        window->active_ms = part->active_ms;
    struct buf *record = &slot_of(window, part->number)->record;
    buf_clear(record);
    buf_add_char(record, RECORD_VERSION);
    bytes_add_be64(record, (uint64_t)part->et_ms);
    /* The window's, not the part's: it must outlive the record it came with. */
    bytes_add_be64(record, (uint64_t)window->active_ms);
    bytes_add_varint(record, part->answers);
}

void window_answer(const struct window_part *part, const struct answer *answer) {
    struct buf *record = &slot_of(part->window, part->number)->record;
    uint8_t head = 0;

    while (head < ARRAY_LEN(stored_errs) - 1 && stored_errs[head] != answer->err)
        head++;
    assert(stored_errs[head] == answer->err);
    if (answer->replayed)
        head |= ANSWER_REPLAYED;
    if (answer->time_ms != part->et_ms)
        head |= ANSWER_OTHER_TIME;
    buf_add_char(record, (char)head);
    bytes_add_zigzag(record, answer->value);
    if (head & ANSWER_OTHER_TIME)
        bytes_add_zigzag(record, answer->time_ms);
}

void window_store(const struct window_part *part, struct kv *kv) {
    struct window_slot *slot = slot_of(part->window, part->number);
    int64_t forget_ms = part->window->active_ms + PRODUCER_KEEP_MS;

    slot->number = part->number;
    if (forget_ms < part->windows->next_forget_ms)
        part->windows->next_forget_ms = forget_ms;
    window_key(&part->windows->key, part->lane, &part->producer, part->number);
    kv_put(kv, KV_WINDOW, buf_slice(&part->windows->key), buf_slice(&slot->record));
}

struct slice window_get(const struct window *window, uint64_t number) {
    return buf_slice(&window->slots[number % MESSAGE_WINDOW].record);
}

enum err window_record_open(struct slice record, struct window_record *out) {
    struct bytes_reader in = bytes_reader(record);
    uint8_t version = bytes_u8(&in);

    if (version > RECORD_VERSION)
        return ERR_NEWER;
    out->et_ms = (int64_t)bytes_be64(&in);
    out->active_ms = (int64_t)bytes_be64(&in);
    out->answers = bytes_varint(&in);
    out->in = in;
    return version == RECORD_VERSION && !in.failed ? ERR_OK : ERR_CORRUPT;
}

enum err window_record_next(struct window_record *record, struct answer *out) {
    uint8_t head = bytes_u8(&record->in);

    if ((head & ANSWER_ERR) >= ARRAY_LEN(stored_errs))
        return ERR_CORRUPT;
    out->err = stored_errs[head & ANSWER_ERR];
    out->replayed = (head & ANSWER_REPLAYED) != 0;
    out->value = bytes_zigzag(&record->in);
    out->time_ms = head & ANSWER_OTHER_TIME ? bytes_zigzag(&record->in) : record->et_ms;
    return record->in.failed ? ERR_CORRUPT : ERR_OK;
}

/* Every answer reads and nothing is left over. */
static enum err check_record(struct slice bytes, struct window_record *out) {
    enum err err = window_record_open(bytes, out);
    struct window_record record = *out;
    struct answer answer;

    for (uint64_t i = 0; err == ERR_OK && i < record.answers; i++)
        err = window_record_next(&record, &answer);
    if (err != ERR_OK)
        return err;
    return bytes_done(&record.in) ? ERR_OK : ERR_CORRUPT;
}

static enum err take_record(struct windows *windows, struct slice key, struct slice value) {
    struct bytes_reader k = bytes_reader(key);
    uint32_t lane = bytes_be32(&k);
    struct producer_id id = {.hi = bytes_be64(&k)};
    struct window_record record;
    uint64_t number;

    id.lo = bytes_be64(&k);
    number = bytes_be64(&k);
    if (!bytes_done(&k) || number == 0 || lane >= windows->lanes)
        return ERR_CORRUPT;
    enum err err = check_record(value, &record);
    if (err != ERR_OK)
        return err;
    struct producer *producer = windows_producer(windows, &id);
    struct window *window = producer ? windows_lane(producer, lane) : NULL;
    if (!window)
        return ERR_NO_MEMORY;
    struct window_slot *slot = slot_of(window, number);
    if (slot->number) /* two numbers MESSAGE_WINDOW apart: one had to be deleted */
        return ERR_CORRUPT;
    slot->number = number;
    if (number > window->highest)
        window->highest = number;
    if (record.active_ms > window->active_ms)
        window->active_ms = record.active_ms;
    buf_add_slice(&slot->record, value);
    return buf_failed(&slot->record) ? ERR_NO_MEMORY : ERR_OK;
}

enum err windows_open(struct windows *windows, struct kv *kv) {
    struct buf key = {0};
    struct buf value = {0};
    struct buf from = {0};
    enum err err;

    while ((err = kv_seek(kv, KV_WINDOW, buf_slice(&from), &key, &value)) == ERR_OK) {
        err = take_record(windows, buf_slice(&key), buf_slice(&value));
        if (err != ERR_OK)
            break;
        buf_clear(&from);
        buf_add_slice(&from, buf_slice(&key));
        buf_add_char(&from, '\0'); /* the next possible key */
    }
    buf_release(&key);
    buf_release(&value);
    buf_release(&from);
    windows->next_forget_ms = 0;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Forgets a producer in one lane. */
static void drop_window(struct windows *windows, struct kv *kv, struct producer *producer,
                        uint32_t number, struct lanes *lanes) {
    struct window *window = producer->lanes[number];
    struct lane *lane = &lanes->at[number];

    for (size_t i = 0; i < MESSAGE_WINDOW; i++) {
        if (window->slots[i].number == 0)
            continue;
        window_key(&windows->key, number, &producer->id, window->slots[i].number);
        kv_del(kv, KV_WINDOW, buf_slice(&windows->key));
        lanes_touch(lanes, number);
    }
    if (RULE(RULE_KEEP_PRODUCER) && window->active_ms > lane->forgotten_ms)
        lane->forgotten_ms = window->active_ms;
    window_free(window);
    producer->lanes[number] = NULL;
    producer->windows--;
}

static void tidy_producer(struct windows *windows, struct kv *kv, struct producer *producer,
                          struct lanes *lanes, int64_t clock_ms) {
    int64_t keep_ms = RULE(RULE_KEEP_PRODUCER) ? PRODUCER_KEEP_MS : 0;

    for (uint32_t i = 0; i < windows->lanes; i++) {
        const struct window *window = producer->lanes[i];

        if (!window)
            continue;
        if (window->active_ms <= clock_ms - keep_ms)
            drop_window(windows, kv, producer, i, lanes);
        else if (window->active_ms + keep_ms < windows->pass_next_ms)
            windows->pass_next_ms = window->active_ms + keep_ms;
    }
}

static unsigned tidy_bucket(struct windows *windows, struct kv *kv, struct lanes *lanes,
                            int64_t clock_ms) {
    struct producer **link = &windows->buckets[windows->pass_bucket];
    unsigned seen = 0;

    while (*link) {
        struct producer *producer = *link;

        seen++;
        tidy_producer(windows, kv, producer, lanes, clock_ms);
        if (producer->windows) {
            link = &producer->next;
            continue;
        }
        *link = producer->next;
        producer_free(producer, windows->lanes);
        windows->producers--;
    }
    return seen;
}

void windows_tidy(struct windows *windows, struct kv *kv, struct lanes *lanes, int64_t clock_ms) {
    unsigned seen = 0;

    if (clock_ms < windows->next_forget_ms && RULE(RULE_KEEP_PRODUCER))
        return;
    while (seen < TIDY_PRODUCERS && windows->pass_bucket < WINDOWS_BUCKETS) {
        seen += tidy_bucket(windows, kv, lanes, clock_ms);
        windows->pass_bucket++;
    }
    if (windows->pass_bucket < WINDOWS_BUCKETS)
        return;
    windows->next_forget_ms = windows->pass_next_ms;
    windows->pass_next_ms = INT64_MAX;
    windows->pass_bucket = 0;
}
