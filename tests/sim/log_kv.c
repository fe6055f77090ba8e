/* log_kv.c - records on the way to sim_kv. */
#include "log_kv.h"

#include <stdlib.h>
#include <string.h>

enum write_kind { WRITE_PUT, WRITE_DEL, WRITE_DEL_RANGE };

struct write { /* followed by both strings */
    enum write_kind kind;
    enum kv_space space;
    size_t first_len;
    size_t second_len;
};

static struct log_kv *log_of(struct kv *kv) {
    return CONTAINER_OF(kv, struct log_kv, kv);
}

static struct kv *base_of(struct kv *kv) {
    return sim_kv_base(log_of(kv)->sim);
}

static void record(struct kv *kv, enum write_kind kind, enum kv_space space, struct slice first,
                   struct slice second) {
    struct buf *writes = &log_of(kv)->writes;
    struct write write;

    memset(&write, 0, sizeof(write));
    write.kind = kind;
    write.space = space;
    write.first_len = first.len;
    write.second_len = second.len;
    buf_add(writes, &write, sizeof(write));
    buf_add_slice(writes, first);
    buf_add_slice(writes, second);
    if (buf_failed(writes))
        abort();
}

static enum err on_get(struct kv *kv, enum kv_space space, struct slice key, struct buf *out) {
    return kv_get(base_of(kv), space, key, out);
}

static enum err on_seek(struct kv *kv, enum kv_space space, struct slice from, struct buf *out_key,
                        struct buf *out_value) {
    return kv_seek(base_of(kv), space, from, out_key, out_value);
}

static void on_put(struct kv *kv, enum kv_space space, struct slice key, struct slice value) {
    record(kv, WRITE_PUT, space, key, value);
    kv_put(base_of(kv), space, key, value);
}

static void on_del(struct kv *kv, enum kv_space space, struct slice key) {
    record(kv, WRITE_DEL, space, key, (struct slice){NULL, 0});
    kv_del(base_of(kv), space, key);
}

static void on_del_range(struct kv *kv, enum kv_space space, struct slice from, struct slice to) {
    record(kv, WRITE_DEL_RANGE, space, from, to);
    kv_del_range(base_of(kv), space, from, to);
}

/* What a power loss leaves is the log's matter: here everything stays. */
static enum err on_commit(struct kv *kv, bool durable) {
    (void)durable;
    return kv_commit(base_of(kv), true);
}

static enum err on_sync(struct kv *kv) {
    return kv_sync(base_of(kv));
}

static const struct kv_ops ops = {
    .get = on_get,
    .seek = on_seek,
    .put = on_put,
    .del = on_del,
    .del_range = on_del_range,
    .commit = on_commit,
    .sync = on_sync,
};

void log_kv_init(struct log_kv *log) {
    *log = (struct log_kv){.kv.ops = &ops, .sim = sim_kv_new()};
}

void log_kv_release(struct log_kv *log) {
    sim_kv_free(log->sim);
    buf_release(&log->writes);
}

void log_kv_take(struct log_kv *log, struct buf *out) {
    *out = log->writes;
    log->writes = (struct buf){0};
}

static void stage(struct kv *kv, const struct write *write, struct slice first,
                  struct slice second) {
    if (write->kind == WRITE_PUT)
        kv_put(kv, write->space, first, second);
    else if (write->kind == WRITE_DEL)
        kv_del(kv, write->space, first);
    else
        kv_del_range(kv, write->space, first, second);
}

void log_kv_apply(struct log_kv *log, struct slice writes) {
    struct kv *kv = sim_kv_base(log->sim);

    while (writes.len) {
        struct write write;

        memcpy(&write, writes.ptr, sizeof(write));
        writes = slice_skip(writes, sizeof(write));
        struct slice first = slice_of(writes.ptr, write.first_len);
        struct slice second = slice_of(writes.ptr + write.first_len, write.second_len);
        stage(kv, &write, first, second);
        writes = slice_skip(writes, write.first_len + write.second_len);
    }
    if (kv_commit(kv, true) != ERR_OK)
        abort();
}
