/* verify_redis_counters.c - all counters by SCAN, or those of a list, a hundred at a time, each
 * time with their lanes' positions in one script.
 */
#include <sysexits.h>

#include "cli/verify_redis.h"
#include "core/hash.h"
#include "edge/redis_command.h"
#include "edge/redis_name.h"
#include "edge/redis_text.h"

#define SCAN_COUNT SLICE("500")
#define PHASE_1    SLICE("counter:")

static bool read_value(const struct redis_reply *reply, int64_t *out) {
    struct slice text = redis_reply_text(reply);

    *out = 0;
    if (redis_reply_is_error(reply) || redis_reply_is_array(reply))
        return false;
    return !text.ptr || (redis_take_i64(&text, out) && text.len == 0);
}

/* 'name' as in keys. Others' keys may look like anything. */
static enum err take_counter(struct redis_reading *r, struct slice name,
                             const struct redis_reply *reply, struct event_position at,
                             uint32_t lane) {
    struct slice resource;
    int64_t value;

    if (!read_value(reply, &value)) {
        (void)verify_give_up(r->verify, 0, "counter:%.*s holds no whole number", SLICE_ARGS(name));
        return ERR_CORRUPT;
    }
    enum err err = redis_name_read(name, &resource, &r->type);
    if (err != ERR_OK)
        return err;
    return verify_counter(r->verify, lane, resource, buf_slice(&r->type), value, at);
}

static struct slice key_at(const struct redis_reading *r, size_t i) {
    return slice_of(r->keys.ptr + r->batch[i].at, r->batch[i].len);
}

static enum err take_batch(void *ctx, const struct redis_reply *reply) {
    struct redis_reading *r = ctx;
    enum err err = redis_reply_count(reply) == r->metas + r->batch_count ? ERR_OK : ERR_CORRUPT;

    for (size_t i = 0; err == ERR_OK && i < r->batch_count; i++) {
        struct event_position at;

        if (!reading_position(redis_reply_at(reply, r->batch[i].meta), &at))
            return ERR_CORRUPT;
        err = take_counter(r, slice_skip(key_at(r, i), PHASE_1.len),
                           redis_reply_at(reply, r->metas + i), at, r->batch[i].lane);
    }
    return err;
}

/* The number of its lane's meta in the call. */
static size_t meta_of(struct redis_reading *r, uint32_t lane) {
    size_t i = 0;

    while (i < r->metas && r->meta_lanes[i] != lane)
        i++;
    if (i == r->metas)
        r->meta_lanes[r->metas++] = lane;
    return i;
}

static int ask_strings(struct redis_reading *r) {
    reading_command(r, 5 + r->metas + r->batch_count,
                    (const struct slice[]){SLICE("EVALSHA"), slice_str(redis_script_verify.sha1)},
                    2);
    reading_add_number(&r->command, r->metas + r->batch_count);
    for (size_t i = 0; i < r->metas; i++)
        reading_add_lane_key(r, r->meta_lanes[i], "m");
    for (size_t i = 0; i < r->batch_count; i++)
        redis_command_arg(&r->command, key_at(r, i));
    reading_add_number(&r->command, r->metas);
    redis_command_arg(&r->command, SLICE("GET"));
    return reading_ask(r, r->nodes[0], take_batch);
}

static uint32_t lane_of(struct redis_reading *r, struct slice resource, struct slice type) {
    buf_clear(&r->scratch);
    buf_add_slice(&r->scratch, resource);
    buf_add_char(&r->scratch, '\0');
    buf_add_slice(&r->scratch, type);
    return hash_lane(buf_slice(&r->scratch), r->layout.lanes);
}

/* ---- a Cluster's hashes ---- */

static enum err take_hash(void *ctx, const struct redis_reply *reply) {
    struct redis_reading *r = ctx;
    const struct redis_reply *fields = redis_reply_at(reply, 1);
    struct event_position at;
    enum err err = ERR_OK;

    if (!reading_position(redis_reply_at(reply, 0), &at))
        return ERR_CORRUPT;
    for (size_t i = 0; err == ERR_OK && i + 1 < redis_reply_count(fields); i += 2) {
        struct slice name = redis_reply_text(redis_reply_at(fields, i));
        struct slice resource;

        if (redis_name_read(name, &resource, &r->type) != ERR_OK)
            return ERR_CORRUPT;
        if (verify_is_wanted(&r->verify->wanted, resource) &&
            (!r->only.len || slice_eq(name, buf_slice(&r->only))))
            err = take_counter(r, name, redis_reply_at(fields, i + 1), at, r->lane);
    }
    return err;
}

static int ask_hash(struct redis_reading *r, const struct reading_row *row) {
    struct slice key = slice_of(r->keys.ptr + row->at, row->len);

    r->lane = row->lane;
    reading_command(
        r, 7,
        (const struct slice[]){SLICE("EVALSHA"), slice_str(redis_script_verify.sha1), SLICE("2")},
        3);
    reading_add_lane_key(r, r->lane, "m");
    redis_command_arg(&r->command, key);
    redis_command_arg(&r->command, SLICE("1"));
    redis_command_arg(&r->command, SLICE("HGETALL"));
    return reading_ask(r, reading_client_of(r, key), take_hash);
}

/* ---- a batch of keys ---- */

static int ask_batch(struct redis_reading *r) {
    int code = EX_OK;

    if (!r->url.is_cluster)
        return ask_strings(r);
    for (size_t i = 0; code == EX_OK && i < r->batch_count; i++)
        code = ask_hash(r, &r->batch[i]);
    return code;
}

/* Until analytics has said what it has of what was read. */
static int read_batch(struct redis_reading *r) {
    bool again = r->batch_count > 0;
    int code = EX_OK;

    while (code == EX_OK && again) {
        code = verify_hold(r->verify);
        if (code == EX_OK)
            code = ask_batch(r);
        if (code == EX_OK)
            code = verify_totals(r->verify, &again);
    }
    r->batch_count = 0;
    r->metas = 0;
    buf_clear(&r->keys);
    return code;
}

static void add_key(struct redis_reading *r, struct slice key, uint32_t lane) {
    r->batch[r->batch_count++] =
        (struct reading_row){.at = r->keys.len, .len = key.len, .lane = lane};
    buf_add_slice(&r->keys, key);
}

/* A key of Phase 1's layout. */
static int add_string(struct redis_reading *r, struct slice key) {
    struct slice resource;

    if (redis_name_read(slice_skip(key, PHASE_1.len), &resource, &r->type) != ERR_OK) {
        r->strangers++;
        return EX_OK;
    }
    if (!verify_is_wanted(&r->verify->wanted, resource))
        return EX_OK;
    uint32_t lane = lane_of(r, resource, buf_slice(&r->type));
    add_key(r, key, lane);
    r->batch[r->batch_count - 1].meta = meta_of(r, lane);
    return r->batch_count == READING_BATCH ? read_batch(r) : EX_OK;
}

/* hgp:{tag}:c:bucket; a lane is its slot's. */
static int add_hash(struct redis_reading *r, struct slice key) {
    uint32_t slot = redis_slot(key);
    uint32_t lane = (uint32_t)(((uint64_t)slot * r->layout.lanes + REDIS_SLOTS - 1) / REDIS_SLOTS);

    if (lane >= r->layout.lanes || redis_lane_slot(lane, r->layout.lanes) != slot) {
        r->strangers++;
        return EX_OK;
    }
    add_key(r, key, lane);
    return r->batch_count == READING_HASHES ? read_batch(r) : EX_OK;
}

/* ---- all of them ---- */

static enum err take_scan(void *ctx, const struct redis_reply *reply) {
    struct redis_reading *r = ctx;
    const struct redis_reply *keys = redis_reply_at(reply, 1);

    if (!reading_u64(redis_reply_at(reply, 0), &r->cursor))
        return ERR_CORRUPT;
    buf_clear(&r->scanned);
    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        struct slice key = redis_reply_text(redis_reply_at(keys, i));

        buf_add(&r->scanned, &key.len, sizeof(key.len));
        buf_add_slice(&r->scanned, key);
    }
    return buf_failed(&r->scanned) ? ERR_NO_MEMORY : ERR_OK;
}

/* In a pattern these mean something else: Redis's stringmatchlen(). */
static void add_escaped(struct buf *out, struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (memchr("*?[]\\^-", text.ptr[i], 7))
            buf_add_char(out, '\\');
        buf_add_char(out, text.ptr[i]);
    }
}

static int take_keys(struct redis_reading *r) {
    struct slice rest = buf_slice(&r->scanned);
    int code = EX_OK;

    while (code == EX_OK && rest.len) {
        size_t len;

        memcpy(&len, rest.ptr, sizeof(len));
        struct slice key = slice_of(rest.ptr + sizeof(len), len);
        code = r->url.is_cluster ? add_hash(r, key) : add_string(r, key);
        rest = slice_skip(rest, sizeof(len) + len);
    }
    return code == EX_OK ? read_batch(r) : code;
}

static int scan_node(struct redis_reading *r, struct redis_client *client) {
    struct buf pattern = {0};
    int code = EX_OK;

    if (r->url.is_cluster) {
        buf_add_str(&pattern, "hgp:{*}:c:*");
    } else {
        buf_add_slice(&pattern, PHASE_1);
        add_escaped(&pattern, r->verify->wanted.prefix);
        buf_add_char(&pattern, '*');
    }
    r->cursor = 0;
    do {
        reading_command(r, 6, (const struct slice[]){SLICE("SCAN")}, 1);
        reading_add_number(&r->command, r->cursor);
        redis_command_arg(&r->command, SLICE("MATCH"));
        redis_command_arg(&r->command, buf_slice(&pattern));
        redis_command_arg(&r->command, SLICE("COUNT"));
        redis_command_arg(&r->command, SCAN_COUNT);
        code = reading_ask(r, client, take_scan);
        if (code == EX_OK)
            code = take_keys(r);
    } while (code == EX_OK && r->cursor);
    buf_release(&pattern);
    return code;
}

int reading_scan(struct redis_reading *r) {
    size_t count = r->url.is_cluster ? r->map.count : 1;
    int code = EX_OK;

    for (size_t i = 0; code == EX_OK && i < count; i++)
        code = scan_node(r, r->nodes[i]);
    return code;
}

/* ---- a list of them ---- */

static int read_listed(struct redis_reading *r, struct slice resource, struct slice type) {
    struct buf key = {0};
    int code;

    buf_clear(&r->only);
    redis_counter_id(&r->only, resource, type);
    if (r->url.is_cluster) {
        r->lane = lane_of(r, resource, type);
        /* Absent, unless it is in the hash. */
        if (audit_counter(r->verify->audit, r->lane, resource, type, 0, r->at[r->lane]) != ERR_OK)
            return verify_give_up(r->verify, EX_OSERR, "out of memory");
        redis_counter_home(&key, &r->layout, r->lane, buf_slice(&r->only));
        add_key(r, buf_slice(&key), r->lane);
        code = read_batch(r);
    } else {
        buf_add_slice(&key, PHASE_1);
        buf_add_slice(&key, buf_slice(&r->only));
        code = add_string(r, buf_slice(&key));
    }
    buf_release(&key);
    return code;
}

int reading_list(struct redis_reading *r) {
    struct slice list = buf_slice(&r->verify->wanted.text);
    struct slice resource;
    struct slice bad;
    struct buf type = {0};
    int code = EX_OK;

    while (code == EX_OK && verify_wanted_next(&list, &resource, &type, &bad))
        code = read_listed(r, resource, buf_slice(&type));
    buf_release(&type);
    if (code == EX_OK && bad.ptr)
        return verify_wanted_bad(r->verify, bad);
    return code == EX_OK ? read_batch(r) : code;
}
