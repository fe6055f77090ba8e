/* store_values.c - one moment of the embedded store, or of each counter in a Redis or at a counter
 * elsewhere, read beside it, handed over in pieces. */
#include "cli/store_values.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "cli/counter_values.h"
#include "cli/store_reading.h"
#include "core/inspect.h"
#include "edge/rocks_kv.h"

/* At once: questions and events wait for it, well below a millisecond. */
#define PIECE 512

/* The store may move files while we open them. */
#define LOOKS 5

struct piece {
    const struct store_values *conf;
    struct counter_value
        values[PIECE]; /* their slices are offsets into 'names' until handed over */
    size_t count;
    struct buf names;
};

static enum err hand_over(struct piece *piece) {
    const char *at = piece->names.ptr;

    for (size_t i = 0; i < piece->count; i++) {
        struct counter_value *value = &piece->values[i];

        value->resource_id.ptr = at;
        at += value->resource_id.len;
        value->counter_type.ptr = at;
        at += value->counter_type.len;
    }
    enum err err = analytics_put_values(piece->conf->service, piece->values, piece->count);
    atomic_fetch_add(piece->conf->taken, piece->count);
    piece->count = 0;
    buf_clear(&piece->names);
    return err;
}

static enum err take_value(void *ctx, struct slice resource_id, struct slice counter_type,
                           int64_t value) {
    struct piece *piece = ctx;

    if (atomic_load(piece->conf->stopping))
        return ERR_UNAVAILABLE;
    buf_add_slice(&piece->names, resource_id);
    buf_add_slice(&piece->names, counter_type);
    if (buf_failed(&piece->names))
        return ERR_NO_MEMORY;
    piece->values[piece->count++] = (struct counter_value){resource_id, counter_type, value};
    return piece->count == PIECE ? hand_over(piece) : ERR_OK;
}

/* ---- of a folder ---- */

static enum err take_counter(void *ctx, const struct inspect_counter *counter) {
    return take_value(ctx, counter->resource_id, counter->counter_type, counter->value);
}

static enum err look(const struct piece *piece, struct rocks_kv **out) {
    enum err err = ERR_BUSY;
    const char *detail = NULL;

    for (unsigned i = 0; err == ERR_BUSY && i < LOOKS; i++)
        err = rocks_kv_look(piece->conf->store->config->data, out, &detail);
    if (err != ERR_OK)
        log_line(LOG_ERROR, "the store can't be read beside its thread", LOG_STR("detail", detail));
    return err;
}

static enum err take_folder(struct piece *piece) {
    struct rocks_kv *rocks = NULL;
    enum err err = look(piece, &rocks);

    if (err != ERR_OK)
        return err;
    err = inspect_counters(rocks_kv_view(rocks), take_counter, piece);
    rocks_kv_close(rocks);
    /* What a power cut can still take from the store, it would leave in analytics. */
    return err == ERR_OK ? counter_settle(piece->conf->store->counter) : err;
}

/* ---- of a counter elsewhere ---- */

static enum err take_counters(struct piece *piece) {
    struct analytics_reached reached;

    if (!analytics_reach(piece->conf->service, &reached))
        return ERR_UNAVAILABLE;
    const struct counter_values values = {.address = piece->conf->from->config->counter,
                                          .tls = piece->conf->from->tls,
                                          .store_id = reached.store_id,
                                          .stopping = piece->conf->stopping};

    analytics_reached_release(&reached);
    return counter_values_take(&values, take_value, piece);
}

static enum err take_from(struct piece *piece) {
    const struct store *store = piece->conf->store;

    if (!store)
        return take_counters(piece);
    return store->redis ? store_reading_counters(store, take_value, piece) : take_folder(piece);
}

static enum err take_all(struct piece *piece) {
    enum err err = analytics_begin_values(piece->conf->service);

    if (err == ERR_OK)
        err = take_from(piece);
    if (err == ERR_OK)
        err = hand_over(piece);
    return err == ERR_OK ? analytics_end_values(piece->conf->service) : err;
}

enum err store_values_take(const struct store_values *values) {
    struct piece *piece = calloc(1, sizeof(*piece));

    if (!piece)
        return ERR_NO_MEMORY;
    piece->conf = values;
    enum err err = take_all(piece);
    buf_release(&piece->names);
    free(piece);
    return err;
}
