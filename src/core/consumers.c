/* consumers.c - the records "consumer" + name + zero byte + lane. */
#include "core/consumers.h"

#include <stdlib.h>

#include "core/meta_record.h"

#define PREFIX        SLICE("consumer")
#define SCRATCH_BYTES 128

static void make_key(struct buf *out, const char *name, uint32_t lane) {
    buf_clear(out);
    buf_add_slice(out, PREFIX);
    buf_add_str(out, name);
    buf_add_char(out, '\0');
    bytes_add_be32(out, lane);
}

static void forget(struct consumer *consumer) {
    free(consumer->at);
    free(consumer->dirty);
    *consumer = (struct consumer){0};
}

void consumers_release(struct consumers *consumers) {
    for (uint32_t i = 0; i < consumers->count; i++)
        forget(&consumers->list[i]);
    consumers->count = 0;
    buf_release(&consumers->key);
    buf_release(&consumers->value);
}

struct consumer *consumers_find(struct consumers *consumers, struct slice name) {
    for (uint32_t i = 0; i < consumers->count; i++)
        if (slice_eq(slice_str(consumers->list[i].name), name))
            return &consumers->list[i];
    return NULL;
}

/* At the front of every lane. */
static enum err append(struct consumers *consumers, struct slice name, struct consumer **out) {
    struct consumer *consumer = &consumers->list[consumers->count];

    if (name.len == 0 || name.len > CONSUMER_NAME_BYTES || memchr(name.ptr, 0, name.len))
        return ERR_INVALID;
    if (consumers->count == CONSUMERS_MAX)
        return ERR_BUSY;
    *consumer = (struct consumer){
        .at = calloc(consumers->lanes, sizeof(*consumer->at)),
        .dirty = calloc(consumers->lanes, sizeof(*consumer->dirty)),
    };
    if (!consumer->at || !consumer->dirty) {
        forget(consumer);
        return ERR_NO_MEMORY;
    }
    memcpy(consumer->name, name.ptr, name.len);
    consumers->count++;
    *out = consumer;
    return ERR_OK;
}

/* ---- open ---- */

static enum err decode_position(struct slice record, struct event_position *out) {
    struct bytes_reader in;
    unsigned version;
    enum err err = meta_record_open(record, &in, &version);

    if (err != ERR_OK)
        return err;
    struct event_position at = {.epoch = bytes_be64(&in)};
    at.seq = bytes_be64(&in);
    if (!bytes_done(&in))
        return ERR_CORRUPT;
    *out = at;
    return ERR_OK;
}

/* 'name' and 'lane' of a key behind the prefix. */
static enum err split_key(struct slice key, struct slice *out_name, uint32_t *out_lane) {
    const char *zero = key.len ? memchr(key.ptr, 0, key.len) : NULL;

    if (!zero)
        return ERR_CORRUPT;
    *out_name = slice_of(key.ptr, (size_t)(zero - key.ptr));
    struct bytes_reader in = bytes_reader(slice_skip(key, out_name->len + 1));
    *out_lane = bytes_be32(&in);
    return bytes_done(&in) ? ERR_OK : ERR_CORRUPT;
}

static enum err take_record(struct consumers *consumers, struct slice key, struct slice value) {
    struct slice name = {NULL, 0};
    uint32_t lane = 0;
    enum err err = split_key(key, &name, &lane);

    if (err == ERR_OK && lane >= consumers->lanes)
        err = ERR_CORRUPT;
    if (err != ERR_OK)
        return err;
    struct consumer *consumer = consumers_find(consumers, name);
    if (!consumer)
        err = append(consumers, name, &consumer);
    if (err != ERR_OK)
        return err == ERR_NO_MEMORY ? err : ERR_CORRUPT;
    return decode_position(value, &consumer->at[lane]);
}

enum err consumers_open(struct consumers *consumers, struct kv *kv, uint32_t lanes) {
    struct buf from = {0};
    enum err err;

    consumers->lanes = lanes;
    consumers->moved = true;
    if (!buf_reserve(&consumers->key, SCRATCH_BYTES) ||
        !buf_reserve(&consumers->value, SCRATCH_BYTES))
        return ERR_NO_MEMORY;
    buf_add_slice(&from, PREFIX);
    while ((err = kv_seek(kv, KV_META, buf_slice(&from), &consumers->key, &consumers->value)) ==
           ERR_OK) {
        struct slice key = buf_slice(&consumers->key);

        if (!slice_starts(key, PREFIX))
            break;
        err = take_record(consumers, slice_skip(key, PREFIX.len), buf_slice(&consumers->value));
        if (err != ERR_OK)
            break;
        buf_clear(&from);
        buf_add_slice(&from, key);
        buf_add_char(&from, '\0'); /* the next possible key */
        if (buf_failed(&from)) {
            err = ERR_NO_MEMORY;
            break;
        }
    }
    buf_release(&from);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* ---- change ---- */

static void touch(struct consumer *consumer, uint32_t lane) {
    consumer->dirty[lane] = true;
    consumer->any_dirty = true;
}

enum err consumers_add(struct consumers *consumers, struct slice name, const struct lanes *lanes,
                       struct consumer **out) {
    enum err err = append(consumers, name, out);

    for (uint32_t i = 0; err == ERR_OK && i < lanes->count; i++) {
        const struct lane *lane = &lanes->at[i];

        (*out)->at[i] = (struct event_position){lane->outbox_epoch,
                                                lane->outbox_seq ? lane->outbox_seq - 1 : 0};
        touch(*out, i);
    }
    return err;
}

void consumers_remove(struct consumers *consumers, struct kv *kv, struct consumer *consumer) {
    struct consumer *last = &consumers->list[consumers->count - 1];

    for (uint32_t i = 0; i < consumers->lanes; i++) {
        make_key(&consumers->key, consumer->name, i);
        kv_del(kv, KV_META, buf_slice(&consumers->key));
    }
    forget(consumer);
    *consumer = *last;
    if (consumer != last)
        *last = (struct consumer){0};
    consumers->count--;
    consumers->moved = true;
}

void consumers_report(struct consumers *consumers, struct consumer *consumer, uint32_t lane,
                      struct event_position at) {
    if (!event_position_less(consumer->at[lane], at))
        return;
    consumer->at[lane] = at;
    touch(consumer, lane);
    consumers->moved = true;
}

void consumers_stage(struct consumers *consumers, struct kv *kv) {
    for (uint32_t i = 0; i < consumers->count; i++) {
        struct consumer *consumer = &consumers->list[i];

        for (uint32_t lane = 0; consumer->any_dirty && lane < consumers->lanes; lane++) {
            if (!consumer->dirty[lane])
                continue;
            make_key(&consumers->key, consumer->name, lane);
            meta_record_begin(&consumers->value);
            bytes_add_be64(&consumers->value, consumer->at[lane].epoch);
            bytes_add_be64(&consumers->value, consumer->at[lane].seq);
            meta_record_end(&consumers->value);
            kv_put(kv, KV_META, buf_slice(&consumers->key), buf_slice(&consumers->value));
            consumer->dirty[lane] = false;
        }
        consumer->any_dirty = false;
    }
}

struct event_position consumers_floor(const struct consumers *consumers, uint32_t lane) {
    struct event_position floor = consumers->list[0].at[lane];

    for (uint32_t i = 1; i < consumers->count; i++)
        if (event_position_less(consumers->list[i].at[lane], floor))
            floor = consumers->list[i].at[lane];
    return floor;
}
