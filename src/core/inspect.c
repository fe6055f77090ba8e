/* inspect.c - walks over key spaces. */
#include "core/inspect.h"

#include "core/counter_cache.h"

typedef enum err (*record_fn)(void *self, struct slice key, struct slice value);

static enum err walk(struct kv *kv, enum kv_space space, struct slice begin, record_fn fn,
                     void *self) {
    struct buf from = {0};
    struct buf key = {0};
    struct buf value = {0};
    enum err err;

    buf_add_slice(&from, begin);
    while ((err = kv_seek(kv, space, buf_slice(&from), &key, &value)) == ERR_OK) {
        err = fn(self, buf_slice(&key), buf_slice(&value));
        if (err != ERR_OK)
            break;
        buf_clear(&from);
        buf_add_slice(&from, buf_slice(&key));
        buf_add_char(&from, '\0'); /* the next possible key */
        if (buf_failed(&from)) {
            err = ERR_NO_MEMORY;
            break;
        }
    }
    buf_release(&from);
    buf_release(&key);
    buf_release(&value);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

struct outbox_walk {
    inspect_event_fn fn;
    void *ctx;
};

static enum err on_entry(void *self, struct slice key, struct slice value) {
    const struct outbox_walk *to = self;
    struct outbox_entry entry;
    struct outbox_event event;
    enum err err = outbox_decode(key, value, &entry);

    if (err != ERR_OK)
        return err;
    while ((err = outbox_next(&entry, &event)) == ERR_OK) {
        err = to->fn(to->ctx, &entry, &event);
        if (err != ERR_OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err inspect_outbox(struct kv *kv, inspect_event_fn fn, void *ctx) {
    struct outbox_walk to = {fn, ctx};

    return walk(kv, KV_OUTBOX, SLICE(""), on_entry, &to);
}

struct counter_walk {
    inspect_counter_fn fn;
    void *ctx;
};

static enum err on_counter(void *self, struct slice key, struct slice value) {
    const struct counter_walk *to = self;
    struct inspect_counter counter = {.id = key};
    const char *zero = key.len ? memchr(key.ptr, 0, key.len) : NULL;

    if (!zero)
        return ERR_CORRUPT;
    counter.resource_id = slice_of(key.ptr, (size_t)(zero - key.ptr));
    counter.counter_type = slice_skip(key, counter.resource_id.len + 1);
    enum err err = counter_record_decode(value, &counter.value, &counter.time_ms);
    return err == ERR_OK ? to->fn(to->ctx, &counter) : err;
}

enum err inspect_counters_from(struct kv *kv, struct slice from, inspect_counter_fn fn, void *ctx) {
    struct counter_walk to = {fn, ctx};

    return walk(kv, KV_COUNTER, from, on_counter, &to);
}

enum err inspect_counters(struct kv *kv, inspect_counter_fn fn, void *ctx) {
    return inspect_counters_from(kv, SLICE(""), fn, ctx);
}

enum err inspect_layout(struct kv *kv, struct layout *out) {
    struct buf record = {0};
    unsigned version;
    enum err err = kv_get(kv, KV_META, layout_key(), &record);

    if (err == ERR_OK)
        err = layout_decode(buf_slice(&record), out, &version);
    buf_release(&record);
    return err;
}

enum err inspect_lane(struct kv *kv, uint32_t number, struct lane *out) {
    struct buf key = {0};
    struct buf record = {0};
    unsigned version;

    lane_key(number, &key);
    enum err err = kv_get(kv, KV_META, buf_slice(&key), &record);
    if (err == ERR_OK)
        err = lane_decode(buf_slice(&record), out, &version);
    buf_release(&key);
    buf_release(&record);
    return err;
}
