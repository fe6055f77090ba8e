/* plant_drift.c - gives a counter another value, behind the back of everybody, so that it can be
 * found.
 *
 *     plant_drift store DATA RESOURCE_ID COUNTER_TYPE VALUE      in the embedded store
 *     plant_drift analytics DATA RESOURCE_ID COUNTER_TYPE VALUE  in analytics' folder beside it
 *
 * Nobody may have the folder open.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/analytics.h"
#include "core/bytes.h"
#include "core/counter_cache.h"
#include "edge/rocks_kv.h"
#include "edge/rocks_tally.h"

struct plant {
    const char *data;
    struct slice resource_id;
    struct slice counter_type;
    int64_t value;
};

void log_write(enum log_level level, const char *msg, const struct log_field *fields,
               unsigned count) {
    (void)level, (void)fields, (void)count;
    (void)fprintf(stderr, "%s\n", msg);
}

static void must(enum err err, const char *what) {
    if (err == ERR_OK)
        return;
    (void)fprintf(stderr, "plant_drift: %s: %s\n", what, err_text(err));
    exit(EXIT_FAILURE);
}

static void in_store(const struct plant *plant) {
    const struct rocks_kv_conf conf = {.block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    struct rocks_kv *rocks = NULL;
    struct buf id = {0};
    struct buf record = {0};
    const char *detail = "";
    int64_t old;
    int64_t time_ms;

    must(rocks_kv_open(plant->data, &conf, &rocks, &detail), detail);
    struct kv *kv = rocks_kv_view(rocks);
    buf_add_slice(&id, plant->resource_id);
    buf_add_char(&id, '\0');
    buf_add_slice(&id, plant->counter_type);
    must(kv_get(kv, KV_COUNTER, buf_slice(&id), &record), "the counter");
    must(counter_record_decode(buf_slice(&record), &old, &time_ms), "the counter");
    char version = record.ptr[0];
    buf_clear(&record);
    buf_add_char(&record, version);
    bytes_add_be64(&record, (uint64_t)plant->value);
    bytes_add_be64(&record, (uint64_t)time_ms);
    kv_put(kv, KV_COUNTER, buf_slice(&id), buf_slice(&record));
    must(kv_commit(kv, true), "writing");
    rocks_kv_close(rocks);
    buf_release(&id);
    buf_release(&record);
}

static void in_analytics(const struct plant *plant) {
    const struct rocks_tally_conf conf = {.block_cache_bytes = 1 << 20,
                                          .write_buffer_bytes = 1 << 20};
    const struct analytics_conf core = {.counters_max = 1 << 20, .pending_max = 1};
    struct rocks_tally *rocks = NULL;
    struct analytics *analytics = NULL;
    const char *detail = "";
    char folder[4096];

    (void)snprintf(folder, sizeof(folder), "%s/analytics", plant->data);
    must(rocks_tally_open(folder, &conf, &rocks, &detail), detail);
    must(analytics_open(rocks_tally_view(rocks), &core, 0, &analytics), "its state");
    must(analytics_values_begin(analytics), "values");
    must(analytics_value(analytics, plant->resource_id, plant->counter_type, plant->value),
         "the value");
    analytics_values_end(analytics);
    must(analytics_commit(analytics), "writing");
    analytics_close(analytics);
    rocks_tally_close(rocks);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        (void)fputs("usage: plant_drift store|analytics DATA RESOURCE_ID COUNTER_TYPE VALUE\n",
                    stderr);
        return EXIT_FAILURE;
    }
    struct plant plant = {.data = argv[2],
                          .resource_id = slice_str(argv[3]),
                          .counter_type = slice_str(argv[4]),
                          .value = strtoll(argv[5], NULL, 10)};
    if (strcmp(argv[1], "store") == 0)
        in_store(&plant);
    else
        in_analytics(&plant);
    return EXIT_SUCCESS;
}
