/* store.c - what the embedded store costs per increment, without network or HTTP.
 *
 *     build/bench_store FOLDER KEYS OPERATIONS MESSAGES fast|local LANES
 *
 * One producer sends MESSAGES messages of OPERATIONS increments over KEYS counters, uniformly at
 * random from a fixed seed, each message a group of its own. Prints the processor time and the wall
 * time per increment, all threads together.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "core/applier.h"
#include "edge/rocks_kv.h"

#define ID_BYTES 24

static int64_t cpu_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct applier_time read_clocks(void) {
    return (struct applier_time){.mono_ms = clock_mono_ms(), .wall_ms = clock_wall_ms()};
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void must(enum err err, const char *what, const char *detail) {
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, detail ? detail : err_text(err));
    exit(1);
}

struct load {
    uint64_t keys, operations, messages;
    bool durable;
};

static void run(struct applier *applier, const struct load *load) {
    struct op *ops = calloc(load->operations, sizeof(*ops));
    struct answer *answers = calloc(load->operations, sizeof(*answers));
    char(*ids)[ID_BYTES] = calloc(load->operations, ID_BYTES);
    uint64_t state = 1;

    if (!ops || !answers || !ids)
        must(ERR_NO_MEMORY, "start", NULL);
    for (uint64_t number = 1; number <= load->messages; number++) {
        struct applier_time now = read_clocks();
        struct message message = {{1, 2}, number, applier_clock_ms(applier), ops, load->operations};

        for (uint64_t i = 0; i < load->operations; i++) {
            (void)snprintf(ids[i], ID_BYTES, "r%" PRIu64, next_random(&state) % load->keys);
            ops[i] = (struct op){.kind = OP_ADD,
                                 .arg = 1,
                                 .resource_id = slice_str(ids[i]),
                                 .counter_type = SLICE("like")};
        }
        must(applier_apply(applier, &message, now, answers), "apply", NULL);
        must(applier_tidy(applier, now), "tidy", NULL);
        must(applier_commit(applier, load->durable), "commit", NULL);
    }
    free(ops);
    free(answers);
    free(ids);
}

int main(int argc, char **argv) {
    struct rocks_kv *rocks = NULL;
    struct applier *applier = NULL;
    const char *detail = NULL;
    struct rocks_kv_conf store = {.block_cache_bytes = 32u << 20, .write_buffer_bytes = 64u << 20};
    struct applier_conf conf = {.key_ttl_ms = 86400000,
                                .outbox_max_bytes = 1u << 30,
                                .outbox_max_age_ms = 604800000,
                                .cache_counters = 262144,
                                .coalesce = true,
                                .hash_seed = {1, 2}};

    if (argc != 7) {
        fprintf(stderr, "usage: %s FOLDER KEYS OPERATIONS MESSAGES fast|local LANES\n", argv[0]);
        return 64;
    }
    struct load load = {strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
                        strtoull(argv[4], NULL, 10), strcmp(argv[5], "local") == 0};
    conf.lanes = (uint32_t)strtoul(argv[6], NULL, 10);
    must(rocks_kv_open(argv[1], &store, &rocks, &detail), "open", detail);
    must(applier_open(rocks_kv_view(rocks), &conf, read_clocks(), &applier, &detail), "open",
         detail);
    int64_t wall_ns = clock_mono_ns();
    int64_t used_ns = cpu_ns();
    run(applier, &load);
    used_ns = cpu_ns() - used_ns;
    wall_ns = clock_mono_ns() - wall_ns;
    double total = (double)load.operations * (double)load.messages;
    printf("%.0f increments, %.2f us CPU and %.2f us wall each\n", total,
           (double)used_ns / total / 1e3, (double)wall_ns / total / 1e3);
    applier_close(applier);
    rocks_kv_close(rocks);
    return 0;
}
