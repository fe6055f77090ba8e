/* counter_json.h - the JSON bodies of the counter API, in and out (CONTRACT A, B).
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read lives in the arena or in 'body', whichever is
 *            shorter-lived is the caller's to know: treat it as both.
 * Errors     Reading answers ERR_INVALID, with a sentence that names the field
 *            in 'problem', or ERR_NO_MEMORY past the arena's cap. Outputs are
 *            untouched on failure. Names are case-sensitive, unknown ones are
 *            ignored, the last of duplicates wins, and null means absent.
 * Limits     json.h's depth; a batch allocates its items once, all else only
 *            takes arena for strings with escapes.
 */
#ifndef WIRE_COUNTER_JSON_H
#define WIRE_COUNTER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct json_problem {
    char text[200]; /* NUL-terminated; "items[3].delta: must be an integer ..." */
};

struct json_item {
    struct slice resource_id;     /* never empty, no NUL, valid UTF-8 */
    struct slice counter_type;    /* likewise */
    struct slice idempotency_key; /* {NULL, 0} when absent */
    int64_t delta;                /* never 0: absent, null and 0 mean 1 */
};

/* {"resource_id":…,"counter_type":…,"delta":…} */
MUST_CHECK enum err json_read_increment(struct slice body, struct arena *arena,
                                        struct json_item *out, struct json_problem *problem);

/* {"items":[{…},…]} for batch read (delta and key ignored as unknown fields)... */
MUST_CHECK enum err json_read_batch_get(struct slice body, struct arena *arena, size_t max_items,
                                        struct json_item **out_items, size_t *out_count,
                                        struct json_problem *problem);

/* ... and for batch increment. */
MUST_CHECK enum err json_read_batch_increment(struct slice body, struct arena *arena,
                                              size_t max_items, struct json_item **out_items,
                                              size_t *out_count, struct json_problem *problem);

/* {"value":N} for PUT; required. */
MUST_CHECK enum err json_read_value(struct slice body, struct arena *arena, int64_t *out_value,
                                    struct json_problem *problem);

/* One counter's state, for the writers, which take all text as valid UTF-8. */
struct json_counter {
    struct slice resource_id;
    struct slice counter_type;
    int64_t value;
    int64_t time_s;  /* Unix seconds */
    enum err err;    /* for a batch increment's item */
    bool replayed;   /* likewise */
    bool stale;      /* a read's, from what was last known, */
    int64_t as_of_s; /* at this time, Unix seconds */
};

/* A string as JSON: quotes, and only what RFC 8259 requires escaped. */
void json_add_string(struct buf *out, struct slice s);

/* The parts of "a,b,c" as an array of strings; "" is []. */
void json_add_words(struct buf *out, const char *words);

/* GET's data alone: {"resource_id",…,"current_value","updated_at"} */
void json_add_counter(struct buf *out, const struct json_counter *counter);

/* {"data":{"resource_id",…,"current_value","success":true,"timestamp"},"status":"success"} */
void json_write_increment(struct buf *out, const struct json_counter *counter);

/* {"data":{"resource_id",…,"current_value","updated_at"},"status":"success"}; in data behind these
 * "stale":true,"as_of" where it is stale. */
void json_write_get(struct buf *out, const struct json_counter *counter);

/* {"data":{"results":[…],"total":N},"status":"success"} with GET's data as results. */
void json_write_batch_get(struct buf *out, const struct json_counter *counters, size_t count);

/* Results in order: an increment's data with "replayed":true added on a replay, or
 * {"resource_id","counter_type","success":false,"error":{"code":"RANGE","message":…}};
 * "status" is "success", or "partial" when an item failed. */
void json_write_batch_increment(struct buf *out, const struct json_counter *counters, size_t count);

/* {"details":"…","error":"…"}, the frozen error shape; with_status adds ,"status":"error".
 * An empty 'details' leaves that member out. */
void json_write_error(struct buf *out, struct slice details, struct slice error, bool with_status);

/* RFC 9457 application/problem+json: type about:blank, title, status, detail.
 * An empty 'detail' leaves that member out. */
void json_write_problem(struct buf *out, int status, struct slice title, struct slice detail);

#endif
