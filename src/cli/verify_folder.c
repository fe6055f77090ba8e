/* verify_folder.c - one moment of the embedded store: its lanes, its counters, its outbox.
 *
 * Where analytics is asked as well, a moment for each part of the counters: it stands still while
 * the store is caught up with and that part is read.
 */
#include <stdlib.h>
#include <sysexits.h>

#include "cli/verify_internal.h"
#include "core/counter_cache.h"
#include "core/hash.h"
#include "core/inspect.h"
#include "edge/rocks_kv.h"

/* The owner may move files while we open them. */
#define LOOKS 5

#define PART 1000

struct reading {
    struct verify *verify;
    struct rocks_kv *rocks;
    struct kv *kv;
    uint32_t lanes;
    struct event_position *at; /* by lane */
    struct slice list;         /* what is left of the list, before this part */
    struct buf from;           /* or the first id that isn't in the part before */
    struct slice list_next;    /* and before the next one; NULL: it is the last */
    struct buf next;           /* its first id; empty likewise */
    size_t part;               /* counters in one */
    size_t taken;
};

/* ERR_BUSY: it belongs to the next part, or isn't asked for, as none behind it is. */
static enum err take_counter(void *ctx, const struct inspect_counter *counter) {
    struct reading *reading = ctx;
    uint32_t lane = hash_lane(counter->id, reading->lanes);

    if (!verify_is_wanted(&reading->verify->wanted, counter->resource_id))
        return ERR_BUSY;
    if (reading->taken++ == reading->part) {
        buf_add_slice(&reading->next, counter->id);
        return buf_failed(&reading->next) ? ERR_NO_MEMORY : ERR_BUSY;
    }
    return verify_counter(reading->verify, lane, counter->resource_id, counter->counter_type,
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
               ? verify_counter(reading->verify, lane, resource_id, counter_type, value,
                                reading->at[lane])
               : err;
}

static int read_list(struct reading *reading) {
    struct slice list = reading->list;
    struct slice resource;
    struct slice bad;
    struct buf type = {0};
    struct buf id = {0};
    struct buf record = {0};
    enum err err = ERR_OK;

    bad.ptr = NULL;
    while (err == ERR_OK && reading->taken < reading->part &&
           verify_wanted_next(&list, &resource, &type, &bad)) {
        err = read_one(reading, resource, buf_slice(&type), &id, &record);
        reading->taken++;
    }
    reading->list_next = list;
    buf_release(&type);
    buf_release(&id);
    buf_release(&record);
    if (err != ERR_OK)
        return verify_give_up(reading->verify, EX_IOERR, "a counter can't be read: %s",
                              err_text(err));
    return bad.ptr ? verify_wanted_bad(reading->verify, bad) : EX_OK;
}

static int unreadable(const struct verify *verify, enum err err) {
    return verify_give_up(verify, EX_IOERR, "the store in %s can't be read: %s",
                          verify->config->data, err_text(err));
}

static enum err read_lanes(struct reading *reading) {
    enum err err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < reading->lanes; i++) {
        struct lane lane;

        err = inspect_lane(reading->kv, i, &lane);
        if (err == ERR_OK)
            reading->at[i] = (struct event_position){lane.epoch, lane.seq};
    }
    return err;
}

/* Shows what has been acknowledged by now. */
static int catch_up(struct reading *reading) {
    const char *detail = "";
    enum err err = ERR_BUSY;

    for (unsigned i = 0; err == ERR_BUSY && i < LOOKS; i++)
        err = rocks_kv_look_again(reading->rocks, &detail);
    if (err != ERR_OK)
        return verify_give_up(reading->verify, EX_IOERR, "%s", detail);
    err = read_lanes(reading);
    return err == ERR_OK ? EX_OK : unreadable(reading->verify, err);
}

static int read_part(struct reading *reading) {
    reading->taken = 0;
    reading->list_next = (struct slice){NULL, 0};
    buf_clear(&reading->next);
    if (reading->verify->wanted.listed)
        return read_list(reading);
    enum err err =
        inspect_counters_from(reading->kv, buf_slice(&reading->from), take_counter, reading);
    return err == ERR_OK || err == ERR_BUSY ? EX_OK : unreadable(reading->verify, err);
}

static int read_and_compare(struct reading *reading) {
    bool again = true;
    int code = EX_OK;

    while (code == EX_OK && again) {
        code = verify_hold(reading->verify);
        if (code == EX_OK && reading->verify->totals)
            code = catch_up(reading);
        if (code == EX_OK)
            code = read_part(reading);
        if (code == EX_OK)
            code = verify_totals(reading->verify, &again);
    }
    return code;
}

/* False: there is none. */
static bool next_part(struct reading *reading) {
    reading->list = reading->list_next;
    buf_clear(&reading->from);
    buf_add_slice(&reading->from, buf_slice(&reading->next));
    return reading->list.len || reading->from.len;
}

static int read_counters(struct reading *reading, bool outbox) {
    struct verify *verify = reading->verify;
    int code = verify_begin(verify, reading->lanes, reading->at, false);

    reading->part = verify->totals ? PART : SIZE_MAX;
    reading->list = buf_slice(&verify->wanted.text);
    buf_add_slice(&reading->from, verify->wanted.prefix);
    if (code == EX_OK)
        code = read_and_compare(reading);
    while (code == EX_OK && next_part(reading))
        code = read_and_compare(reading);
    enum err err =
        code == EX_OK && outbox ? inspect_outbox(reading->kv, take_event, reading) : ERR_OK;
    return err == ERR_OK ? code : unreadable(verify, err);
}

static int read_all(struct verify *verify, struct rocks_kv *rocks, bool outbox) {
    struct reading reading = {.verify = verify, .rocks = rocks, .kv = rocks_kv_view(rocks)};
    struct layout layout;
    enum err err = inspect_layout(reading.kv, &layout);

    if (err == ERR_OK) {
        verify->store_id = layout.store_id;
        reading.lanes = layout.lanes;
        reading.at = calloc(layout.lanes, sizeof(*reading.at));
        err = reading.at ? read_lanes(&reading) : ERR_NO_MEMORY;
    }
    int code = err == ERR_OK ? read_counters(&reading, outbox) : unreadable(verify, err);
    free(reading.at);
    buf_release(&reading.from);
    buf_release(&reading.next);
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
    int code = read_all(verify, rocks, outbox);
    rocks_kv_close(rocks);
    return code;
}
