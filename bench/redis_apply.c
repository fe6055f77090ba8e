/* redis_apply.c - what the Redis store's script costs per increment, without network or HTTP.
 *
 *     build/bench_redis_apply SOCKET KEYS OPERATIONS MESSAGES LANES [keyed|cluster|read]
 *
 * "cluster": in a Cluster's layout, a call for each lane. "read": reads instead of increments.
 *
 * Fills an EMPTY redis-server on a unix socket: one producer sends MESSAGES messages of OPERATIONS
 * increments over KEYS counters, uniformly at random from a fixed seed, four messages under way.
 * Prints per increment: the wall time, the server's processor time, and ours for planning and
 * reading.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>

#include "edge/redis_apply.h"
#include "edge/redis_reads.h"
#include "edge/redis_script.h"

#define ID_BYTES    32
#define DEPTH       4
#define STRINGS_MAX 1024

struct load {
    redisContext *client;
    uint64_t keys, operations, messages;
    bool keyed;
    bool cluster;
    bool read;
    struct redis_tag *tags;
    struct redis_layout layout;
    struct redis_plan plans[DEPTH];
    struct message sent[DEPTH];
    size_t commands[DEPTH]; /* that read without the script; 0: it is by the script */
    struct op *ops[DEPTH];
    char (*ids[DEPTH])[ID_BYTES];
    struct answer *answers;
    struct buf command;
    uint64_t random;
    int64_t clock_ms;
};

static void die(const char *what, const char *detail) {
    fprintf(stderr, "bench_redis_apply: %s: %s\n", what, detail ? detail : "");
    exit(1);
}

static double seconds(clockid_t clock) {
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static redisReply *must(void *reply) {
    redisReply *r = reply;

    if (!r || r->type == REDIS_REPLY_ERROR)
        die("redis", r ? r->str : "no reply");
    return r;
}

static double server_cpu(redisContext *client) {
    redisReply *reply = must(redisCommand(client, "INFO cpu"));
    const char *user = strstr(reply->str, "used_cpu_user:");
    const char *sys = strstr(reply->str, "used_cpu_sys:");
    double sum = strtod(user + 14, NULL) + strtod(sys + 13, NULL);

    freeReplyObject(reply);
    return sum;
}

static void open_store(struct load *load, uint32_t lanes) {
    uint64_t *epochs = calloc(lanes, sizeof(*epochs));
    redisReply *reply;

    if (!epochs)
        die("memory", NULL);
    reply = must(redisCommand(load->client, "EVAL %b 0 %u 4 0123456789abcdef %s 86400000 1",
                              redis_script_open.text.ptr, redis_script_open.text.len, lanes,
                              "00112233445566778899aabbccddeeff"));
    load->clock_ms = strtoll(reply->element[4]->str, NULL, 10);
    freeReplyObject(reply);
    freeReplyObject(must(redisCommand(load->client, "SCRIPT LOAD %b", redis_script_apply.text.ptr,
                                      redis_script_apply.text.len)));
    for (uint32_t i = 0; i < lanes; i++)
        epochs[i] = 1;
    load->layout = (struct redis_layout){.lanes = lanes,
                                         .epochs = epochs,
                                         .seed = {1, 2},
                                         .store_id = 0x0123456789abcdef,
                                         .key_ttl_ms = 86400000,
                                         .outbox_max_bytes = 1ull << 40,
                                         .coalesce = true};
}

static void lay_out_lane(struct load *load, uint32_t lane) {
    struct buf key = {0};
    redisReply *reply;

    redis_lane_key(&key, &load->layout, lane, "m");
    reply = must(redisCommand(load->client, "EVAL %b 1 %b 0123456789abcdef %u 86400000 1",
                              redis_script_cluster_lane.text.ptr,
                              redis_script_cluster_lane.text.len, key.ptr, key.len, lane));
    load->clock_ms = strtoll(reply->element[1]->str, NULL, 10);
    freeReplyObject(reply);
    buf_release(&key);
}

static void open_cluster(struct load *load, uint32_t lanes) {
    open_store(load, 1);
    load->tags = calloc(lanes, sizeof(*load->tags));
    uint64_t *epochs = calloc(lanes, sizeof(*epochs));

    if (!load->tags || !epochs || !redis_tags_make(lanes, load->tags))
        die("memory", NULL);
    load->layout.lanes = lanes;
    load->layout.epochs = epochs;
    load->layout.tags = load->tags;
    freeReplyObject(
        must(redisCommand(load->client, "SCRIPT LOAD %b", redis_script_apply_cluster.text.ptr,
                          redis_script_apply_cluster.text.len)));
    for (uint32_t i = 0; i < lanes; i++) {
        epochs[i] = 1;
        lay_out_lane(load, i);
    }
}

static void send_message(struct load *load, uint64_t number) {
    size_t at = number % DEPTH;

    for (uint64_t i = 0; i < load->operations; i++) {
        char *id = load->ids[at][i];

        (void)snprintf(id, ID_BYTES, "post-%" PRIu64, next_random(&load->random) % load->keys);
        load->ops[at][i] = (struct op){.kind = load->read ? OP_GET : OP_ADD,
                                       .arg = load->read ? 0 : 1,
                                       .resource_id = slice_str(id),
                                       .counter_type = SLICE("like"),
                                       .key = load->keyed ? slice_str(id) : slice_str(NULL)};
    }
    load->sent[at] = (struct message){.producer = {1, 2},
                                      .number = number,
                                      .issued_ms = load->clock_ms,
                                      .ops = load->ops[at],
                                      .count = load->operations};
    if (redis_plan_make(&load->plans[at], &load->layout, &load->sent[at]) != ERR_OK)
        die("plan", NULL);
    buf_clear(&load->command);
    load->commands[at] = 0;
    if (!load->cluster)
        load->commands[at] = redis_reads_commands(&load->plans[at], &load->layout, 0,
                                                  load->plans[at].parts_count, &load->command);
    if (!load->cluster && !load->commands[at])
        redis_plan_command(&load->plans[at], &load->layout, &load->sent[at], &load->command);
    for (uint32_t i = 0; load->cluster && i < load->plans[at].parts_count; i++)
        redis_plan_part_command(&load->plans[at], &load->layout, &load->sent[at], i,
                                &load->command);
    redisAppendFormattedCommand(load->client, load->command.ptr, load->command.len);
}

/* '*out_strings' borrow from the reply. */
static redisReply *next_reply(struct load *load, struct slice *out_strings) {
    void *got;

    if (redisGetReply(load->client, &got) != REDIS_OK)
        die("reply", load->client->errstr);
    redisReply *reply = must(got);
    for (size_t i = 0; i < reply->elements && i < STRINGS_MAX; i++)
        out_strings[i] = slice_of(reply->element[i]->str, (size_t)reply->element[i]->len);
    return reply;
}

static enum err hear_parts(struct load *load, size_t at, struct redis_applied *out) {
    struct redis_plan *plan = &load->plans[at];
    struct slice strings[STRINGS_MAX];

    for (uint32_t i = 0; i < plan->parts_count; i++) {
        redisReply *reply = next_reply(load, strings);
        enum err err = redis_plan_hear(plan, i, strings, reply->elements);

        freeReplyObject(reply);
        if (err != ERR_OK)
            return err;
    }
    return redis_plan_finish(plan, &load->layout, &load->sent[at], load->answers, out);
}

static enum err hear_reads(struct load *load, size_t at, struct redis_applied *out) {
    struct redis_plan *plan = &load->plans[at];
    redisReply *each[STRINGS_MAX];
    redisReply all = {.type = REDIS_REPLY_ARRAY, .elements = load->commands[at], .element = each};

    for (size_t i = 0; i < all.elements; i++)
        if (redisGetReply(load->client, (void **)&each[i]) != REDIS_OK)
            die("reply", load->client->errstr);
    if (!redis_reads_hear(plan, &load->layout, &load->sent[at], 0, plan->parts_count,
                          (struct redis_reply *)&all))
        die("reads", "they need the script");
    for (size_t i = 0; i < all.elements; i++)
        freeReplyObject(each[i]);
    return redis_plan_finish(plan, &load->layout, &load->sent[at], load->answers, out);
}

static void take_reply(struct load *load, uint64_t number) {
    struct slice strings[STRINGS_MAX];
    struct redis_applied applied;
    size_t at = number % DEPTH;
    enum err err;

    if (load->cluster) {
        err = hear_parts(load, at, &applied);
    } else if (load->commands[at]) {
        err = hear_reads(load, at, &applied);
    } else {
        redisReply *reply = next_reply(load, strings);

        err = redis_plan_answers(&load->plans[at], &load->layout, &load->sent[at], strings,
                                 reply->elements, load->answers, &applied);
        freeReplyObject(reply);
    }
    if (err != ERR_OK)
        die("answers", err_name(err));
    load->clock_ms = applied.clock_ms;
    for (size_t i = 0; i < load->operations; i++) {
        if (load->answers[i].err != ERR_OK)
            die("answer", err_name(load->answers[i].err));
    }
}

static void run(struct load *load) {
    double wall = seconds(CLOCK_MONOTONIC);
    double own = seconds(CLOCK_PROCESS_CPUTIME_ID);
    double server = server_cpu(load->client);

    for (uint64_t number = 1; number <= load->messages + DEPTH; number++) {
        if (number > DEPTH)
            take_reply(load, number - DEPTH);
        if (number <= load->messages)
            send_message(load, number);
    }
    double operations = (double)(load->operations * load->messages);
    server = server_cpu(load->client) - server;
    own = seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    printf("%" PRIu64 " ops a message, %u lanes: wall %.2f us, redis cpu %.2f us, own cpu %.2f us "
           "an increment, %.0f increments/s\n",
           load->operations, load->layout.lanes, wall / operations * 1e6, server / operations * 1e6,
           own / operations * 1e6, operations / wall);
}

int main(int argc, char **argv) {
    struct load load = {.random = 1};

    if (argc < 6)
        die("usage", "SOCKET KEYS OPERATIONS MESSAGES LANES [keyed|cluster|read]");
    load.client = redisConnectUnix(argv[1]);
    if (!load.client || load.client->err)
        die("connect", argv[1]);
    load.keys = strtoull(argv[2], NULL, 10);
    load.operations = strtoull(argv[3], NULL, 10);
    load.messages = strtoull(argv[4], NULL, 10);
    load.keyed = argc > 6 && strcmp(argv[6], "keyed") == 0;
    load.cluster = argc > 6 && strcmp(argv[6], "cluster") == 0;
    load.read = argc > 6 && strcmp(argv[6], "read") == 0;
    load.answers = calloc(load.operations, sizeof(*load.answers));
    for (size_t i = 0; i < DEPTH; i++) {
        load.ops[i] = calloc(load.operations, sizeof(*load.ops[i]));
        load.ids[i] = calloc(load.operations, ID_BYTES);
    }
    uint32_t lanes = (uint32_t)strtoul(argv[5], NULL, 10);
    if (load.cluster)
        open_cluster(&load, lanes);
    else
        open_store(&load, lanes);
    run(&load);
    redisFree(load.client);
    return 0;
}
