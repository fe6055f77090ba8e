/* verify_folder.c - one moment of the embedded store: its lanes, its counters, its outbox. */
#include <stdlib.h>
#include <sysexits.h>

#include "cli/verify_internal.h"
#include "core/counter_cache.h"
#include "core/hash.h"
#include "core/inspect.h"
#include "edge/rocks_kv.h"

/* The owner may move files while we open them. */
#define LOOKS 5

struct reading {
    struct verify *verify;
    struct kv *kv;
    uint32_t lanes;
    struct event_position *at; /* by lane */
};

static enum err take_counter(void *ctx, const struct inspect_counter *counter) {
    const struct reading *reading = ctx;
    uint32_t lane = hash_lane(counter->id, reading->lanes);

    if (!verify_is_wanted(&reading->verify->wanted, counter->resource_id))
        return ERR_OK;
    return audit_counter(reading->verify->audit, lane, counter->resource_id, counter->counter_type,
                         counter->value, reading->at[lane]);
}

static enum err take_event(void *ctx, const struct outbox_entry *entry,
                           const struct outbox_event *event) {
    const struct reading *reading = ctx;
    const char *zero = memchr(event->id.ptr, 0, event->id.len);
    size_t len = zero ? (size_t)(zero - event->id.ptr) : 0;

    if (!zero)
        return ERR_CORRUPT;
    return audit_event(reading->verify->audit, reading->verify->store_id,
                       &(struct event){.lane = entry->lane,
                                       .at = {entry->epoch, event->seq},
                                       .kind = event->kind,
                                       .resource_id = slice_of(event->id.ptr, len),
                                       .counter_type = slice_skip(event->id, len + 1),
                                       .delta = event->delta,
                                       .new_value = event->new_value,
                                       .count = event->count,
                                       .et_ms = entry->et_ms});
}

static enum err read_one(const struct reading *reading, struct slice resource_id,
                         struct slice counter_type, struct buf *id, struct buf *record) {
    int64_t value = 0;
    int64_t time_ms;

    buf_clear(id);
    buf_add_slice(id, resource_id);
    buf_add_char(id, '\0');
    buf_add_slice(id, counter_type);
    buf_clear(record);
    enum err err = kv_get(reading->kv, KV_COUNTER, buf_slice(id), record);
    if (err == ERR_OK)
        err = counter_record_decode(buf_slice(record), &value, &time_ms);
    uint32_t lane = hash_lane(buf_slice(id), reading->lanes);
    return err == ERR_OK || err == ERR_NOT_FOUND
               ? audit_counter(reading->verify->audit, lane, resource_id, counter_type, value,
                               reading->at[lane])
               : err;
}

static int read_list(const struct reading *reading) {
    struct slice list = buf_slice(&reading->verify->wanted.text);
    struct slice resource;
    struct slice bad;
    struct buf type = {0};
    struct buf id = {0};
    struct buf record = {0};
    enum err err = ERR_OK;

    while (err == ERR_OK && verify_wanted_next(&list, &resource, &type, &bad))
        err = read_one(reading, resource, buf_slice(&type), &id, &record);
    buf_release(&type);
    buf_release(&id);
    buf_release(&record);
    if (err != ERR_OK)
        return verify_give_up(reading->verify, EX_IOERR, "a counter can't be read: %s",
                              err_text(err));
    return bad.ptr ? verify_wanted_bad(reading->verify, bad) : EX_OK;
}

static int read_counters(struct reading *reading, bool outbox) {
    struct verify *verify = reading->verify;
    int code = verify_begin(verify, reading->lanes, reading->at, false);
    enum err err = ERR_OK;

    if (code == EX_OK && verify->wanted.listed)
        code = read_list(reading);
    else if (code == EX_OK)
        err = inspect_counters(reading->kv, take_counter, reading);
    if (code == EX_OK && err == ERR_OK && outbox)
        err = inspect_outbox(reading->kv, take_event, reading);
    if (err != ERR_OK)
        code = verify_give_up(verify, EX_IOERR, "the store in %s can't be read: %s",
                              verify->config->data, err_text(err));
    return code;
}

static int read_all(struct verify *verify, struct kv *kv, bool outbox) {
    struct reading reading = {.verify = verify, .kv = kv};
    struct layout layout;
    enum err err = inspect_layout(kv, &layout);

    if (err == ERR_OK) {
        verify->store_id = layout.store_id;
        reading.lanes = layout.lanes;
        reading.at = calloc(layout.lanes, sizeof(*reading.at));
        err = reading.at ? ERR_OK : ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; err == ERR_OK && i < reading.lanes; i++) {
        struct lane lane;

        err = inspect_lane(kv, i, &lane);
        if (err == ERR_OK)
            reading.at[i] = (struct event_position){lane.epoch, lane.seq};
    }
    int code = err == ERR_OK ? read_counters(&reading, outbox)
                             : verify_give_up(verify, EX_IOERR, "the store in %s can't be read: %s",
                                              verify->config->data, err_text(err));
    free(reading.at);
    return code;
}

static int exit_code(enum err err) {
    if (err == ERR_NOT_FOUND)
        return EX_NOINPUT;
    return err == ERR_CORRUPT || err == ERR_NEWER ? EX_DATAERR : EX_IOERR;
}

int verify_folder(struct verify *verify, bool outbox) {
    struct rocks_kv *rocks = NULL;
    const char *detail = "";
    enum err err = ERR_BUSY;

    for (unsigned i = 0; err == ERR_BUSY && i < LOOKS; i++)
        err = rocks_kv_look(verify->config->data, &rocks, &detail);
    if (err != ERR_OK)
        return verify_give_up(verify, exit_code(err), "%s", detail);
    (void)snprintf(verify->store, sizeof(verify->store), "the store in %s", verify->config->data);
    if (outbox)
        (void)snprintf(verify->events, sizeof(verify->events), "its outbox");
    int code = read_all(verify, rocks_kv_view(rocks), outbox);
    rocks_kv_close(rocks);
    return code;
}
