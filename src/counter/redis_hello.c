/* redis_hello.c - reads the server's settings on a new connection, then opens the store.
 *
 *     INFO, CONFIG GET a*, WAIT ─► will it do? ─► EVALSHA open ─► is it ours?
 *
 * In this order, so that nothing is laid out where it isn't wanted. INFO and CONFIG may be denied
 * to our user (ACL): then less is known, and said so.
 */
#include <inttypes.h>
#include <stdio.h>

#include "core/applier.h"
#include "counter/redis_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_text.h"

#define OPEN_ARGS 9
#define LAG_MAX_S 3 /* of a replica that is counted on */

static struct slice number(char *out, size_t size, int64_t value) {
    int len = snprintf(out, size, "%" PRId64, value);

    return slice_of(out, (size_t)len);
}

static void write_open(const struct redis_fleet *fleet, struct buf *out) {
    char lanes[32];
    char new_lanes[32];
    char ttl[32];
    char id[32];
    char seed[48];

    (void)snprintf(id, sizeof(id), "%016" PRIx64, fleet->new_id);
    (void)snprintf(seed, sizeof(seed), "%016" PRIx64 "%016" PRIx64, fleet->new_seed[0],
                   fleet->new_seed[1]);
    const struct slice args[OPEN_ARGS] = {
        SLICE("EVALSHA"),
        slice_str(redis_script_open.sha1),
        SLICE("0"),
        number(lanes, sizeof(lanes), fleet->conf.lanes),
        number(new_lanes, sizeof(new_lanes), fleet->conf.new_lanes ? fleet->conf.new_lanes : 1),
        slice_str(id),
        slice_str(seed),
        number(ttl, sizeof(ttl), fleet->conf.key_ttl_ms),
        atomic_load(&fleet->known) ? SLICE("0") : SLICE("1"),
    };
    redis_command_begin(out, OPEN_ARGS);
    for (size_t i = 0; i < OPEN_ARGS; i++)
        redis_command_arg(out, args[i]);
}

static void read_open(struct redis_link *link, const struct redis_outcome *outcome) {
    struct redis_fleet *fleet = link->store->fleet;

    link->opened = outcome->err;
    if (outcome->err != ERR_OK) {
        (void)snprintf(link->refusal, sizeof(link->refusal), "%.*s",
                       SLICE_ARGS(redis_reply_text(outcome->reply)));
        return;
    }
    link->opened = redis_fleet_adopt(fleet, outcome->reply, link->refusal, sizeof(link->refusal));
    if (link->opened == ERR_OK &&
        !redis_reply_i64(redis_reply_at(outcome->reply, 4), &link->clock_ms))
        link->opened = ERR_CORRUPT;
}

/* The value of "name:value" on a line of INFO. */
static struct slice info_value(struct slice info, const char *name) {
    size_t len = strlen(name);

    while (info.len > 0) {
        const char *end = memchr(info.ptr, '\r', info.len);
        struct slice line = slice_of(info.ptr, end ? (size_t)(end - info.ptr) : info.len);

        if (line.len > len && memcmp(line.ptr, name, len) == 0 && line.ptr[len] == ':')
            return slice_skip(line, len + 1);
        info = slice_skip(info, line.len);
        while (info.len > 0 && (info.ptr[0] == '\r' || info.ptr[0] == '\n'))
            info = slice_skip(info, 1);
    }
    return SLICE("");
}

static void keep(char *out, size_t size, struct slice text) {
    (void)snprintf(out, size, "%.*s", SLICE_ARGS(text));
}

/* Behind ",name="; -1: it isn't there. */
static int64_t part_of(struct slice line, const char *name) {
    char *at = memmem(line.ptr, line.len, name, strlen(name));
    int64_t value;

    if (!at)
        return -1;
    line = slice_skip(line, (size_t)(at - line.ptr) + strlen(name));
    return redis_take_i64(&line, &value) ? value : -1;
}

/* Of lines as "slave0:ip=127.0.0.1,port=7001,state=online,offset=42,lag=0". Until its first word
 * (offset 0, unless nothing has ever been written) a replica is counted by no WAIT, and one that
 * lags has said nothing for so many seconds: they say something each second. */
static void read_replicas(struct redis_given *given, struct slice info) {
    bool quiet = slice_eq(info_value(info, "master_repl_offset"), SLICE("0"));
    char name[24];
    struct slice line;

    if (info_value(info, "connected_slaves").len == 0)
        return;
    given->replicas = 0;
    given->acking = 0;
    for (int i = 0;; i++) {
        (void)snprintf(name, sizeof(name), "slave%d", i);
        line = info_value(info, name);
        if (line.len == 0)
            return;
        if (!memmem(line.ptr, line.len, ",state=online,", 14))
            continue;
        given->replicas++;
        given->acking +=
            (quiet || part_of(line, ",offset=") > 0) && part_of(line, ",lag=") <= LAG_MAX_S;
    }
}

void redis_given_info(struct redis_given *given, struct slice info) {
    struct slice policy = info_value(info, "maxmemory_policy");
    struct slice limit = info_value(info, "maxmemory");

    keep(given->version, sizeof(given->version), info_value(info, "redis_version"));
    given->replica = slice_eq(info_value(info, "role"), SLICE("slave"));
    read_replicas(given, info);
    given->cluster = slice_eq(info_value(info, "cluster_enabled"), SLICE("1"));
    given->appendonly = slice_eq(info_value(info, "aof_enabled"), SLICE("1"));
    given->policy_known = policy.len > 0;
    if (policy.len > 0 && !slice_eq(policy, SLICE("noeviction")) && !slice_eq(limit, SLICE("0")))
        keep(given->eviction, sizeof(given->eviction), policy);
}

/* Of names and values by turns; "" when it isn't among them. */
static struct slice setting(const struct redis_reply *reply, struct slice name) {
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
        if (slice_eq(redis_reply_text(redis_reply_at(reply, i)), name))
            return redis_reply_text(redis_reply_at(reply, i + 1));
    return SLICE("");
}

void redis_given_config(struct redis_given *given, const struct redis_reply *reply) {
    struct slice value = setting(reply, SLICE("appendfsync"));

    given->load_truncated = slice_eq(setting(reply, SLICE("aof-load-truncated")), SLICE("yes"));
    if (slice_eq(value, SLICE("always")))
        given->fsync = FSYNC_ALWAYS;
    else if (slice_eq(value, SLICE("everysec")))
        given->fsync = FSYNC_EVERYSEC;
    else if (slice_eq(value, SLICE("no")))
        given->fsync = FSYNC_NO;
}

void redis_wait_denied(const struct redis_outcome *outcome, char *out_detail, size_t size) {
    (void)snprintf(out_detail, size, "mode replicated takes the command WAIT: %.*s",
                   SLICE_ARGS(redis_reply_text(outcome->reply)));
}

static void on_hello(struct redis_request *request, const struct redis_outcome *outcome);

static void ask(struct redis_link *link, size_t which) {
    struct buf *command = &link->store->command;
    enum err err = ERR_NO_MEMORY;

    link->hello[which] = (struct redis_hello){.request.done = on_hello, .link = link};
    if (!buf_failed(command))
        err = redis_conn_ask(link->conn, &link->hello[which].request, buf_slice(command));
    if (err != ERR_OK)
        redis_conn_give_up(link->conn, err_text(err));
}

static void judge(struct redis_link *link) {
    struct redis_fleet *fleet = link->store->fleet;

    link->opened = redis_fleet_judge(fleet, &link->given, link->refusal, sizeof(link->refusal));
    if (link->opened != ERR_OK) {
        redis_link_opened(link);
        return;
    }
    buf_clear(&link->store->command);
    write_open(fleet, &link->store->command);
    ask(link, HELLO_OPEN);
}

static void judge_again(struct redis_link *link) {
    struct redis_fleet *fleet = link->store->fleet;

    link->looking = false;
    link->opened = redis_fleet_judge(fleet, &link->given, link->refusal, sizeof(link->refusal));
    if (link->opened != ERR_OK)
        redis_conn_give_up(link->conn, link->refusal);
    else
        redis_fleet_given(fleet, &link->given);
}

static void on_hello(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_hello *hello = CONTAINER_OF(request, struct redis_hello, request);
    struct redis_link *link = hello->link;

    if (!outcome->reply) /* the connection is gone: on_down() says so */
        return;
    switch (hello - link->hello) {
    case HELLO_INFO:
        if (outcome->err == ERR_OK)
            redis_given_info(&link->given, redis_reply_text(outcome->reply));
        break;
    case HELLO_CONFIG:
        if (outcome->err == ERR_OK)
            redis_given_config(&link->given, outcome->reply);
        if (link->looking)
            judge_again(link);
        else if (!redis_waits(link->store))
            judge(link);
        break;
    case HELLO_WAIT:
        if (outcome->err == ERR_OK) {
            judge(link);
            break;
        }
        link->opened = ERR_INVALID;
        redis_wait_denied(outcome, link->refusal, sizeof(link->refusal));
        redis_link_opened(link);
        break;
    default:
        read_open(link, outcome);
        redis_link_opened(link);
        break;
    }
}

static void ask_settings(struct redis_link *link) {
    struct buf *command = &link->store->command;

    link->given = (struct redis_given){.replicas = -1, .acking = -1};
    buf_clear(command);
    redis_command_begin(command, 1);
    redis_command_arg(command, SLICE("INFO"));
    ask(link, HELLO_INFO);
    buf_clear(command);
    redis_command_begin(command, 3);
    redis_command_arg(command, SLICE("CONFIG"));
    redis_command_arg(command, SLICE("GET"));
    redis_command_arg(command, SLICE(REDIS_SETTINGS));
    ask(link, HELLO_CONFIG);
}

void redis_hello_look(struct redis_link *link) {
    link->looking = true;
    ask_settings(link);
}

void redis_hello_ask(struct redis_link *link) {
    struct buf *command = &link->store->command;

    link->looking = false;
    ask_settings(link);
    if (!redis_waits(link->store))
        return;
    buf_clear(command); /* may we? */
    redis_command_begin(command, 3);
    redis_command_arg(command, SLICE("WAIT"));
    redis_command_arg(command, SLICE("0"));
    redis_command_arg(command, SLICE("1"));
    ask(link, HELLO_WAIT);
}
