/* redis_hello.c - opens the store on a new connection and reads the server's settings.
 *
 *     EVALSHA open │ INFO │ CONFIG GET appendfsync     asked at once, answered in order
 *
 * INFO and CONFIG may be denied to our user (ACL): then less is known, and said so.
 */
#include <inttypes.h>
#include <stdio.h>

#include "core/applier.h"
#include "counter/redis_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_text.h"

#define OPEN_ARGS 9

static struct slice number(char *out, size_t size, int64_t value) {
    int len = snprintf(out, size, "%" PRId64, value);

    return slice_of(out, (size_t)len);
}

static void write_open(const struct redis_fleet *fleet, struct buf *out) {
    char lanes[32];
    char fresh_lanes[32];
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
        number(fresh_lanes, sizeof(fresh_lanes), APPLIER_DEFAULT_LANES),
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

static void read_info(struct redis_given *given, struct slice info) {
    struct slice policy = info_value(info, "maxmemory_policy");
    struct slice limit = info_value(info, "maxmemory");

    keep(given->version, sizeof(given->version), info_value(info, "redis_version"));
    given->appendonly = slice_eq(info_value(info, "aof_enabled"), SLICE("1"));
    given->policy_known = policy.len > 0;
    if (policy.len > 0 && !slice_eq(policy, SLICE("noeviction")) && !slice_eq(limit, SLICE("0")))
        keep(given->eviction, sizeof(given->eviction), policy);
}

static void read_config(struct redis_given *given, const struct redis_reply *reply) {
    struct slice value = SLICE("");

    if (redis_reply_count(reply) == 2)
        value = redis_reply_text(redis_reply_at(reply, 1));
    if (slice_eq(value, SLICE("always")))
        given->fsync = FSYNC_ALWAYS;
    else if (slice_eq(value, SLICE("everysec")))
        given->fsync = FSYNC_EVERYSEC;
    else if (slice_eq(value, SLICE("no")))
        given->fsync = FSYNC_NO;
}

static void on_hello(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_hello *hello = CONTAINER_OF(request, struct redis_hello, request);
    struct redis_link *link = hello->link;
    size_t which = (size_t)(hello - link->hello);

    link->hellos--;
    if (!outcome->reply) /* the connection is gone: on_down() says so */
        return;
    if (which == HELLO_OPEN)
        read_open(link, outcome);
    else if (which == HELLO_INFO && outcome->err == ERR_OK)
        read_info(&link->given, redis_reply_text(outcome->reply));
    else if (which == HELLO_CONFIG && outcome->err == ERR_OK)
        read_config(&link->given, outcome->reply);
    if (link->hellos == 0)
        redis_link_opened(link);
}

void redis_hello_ask(struct redis_link *link) {
    const struct slice config[] = {SLICE("CONFIG"), SLICE("GET"), SLICE("appendfsync")};
    struct buf *command = &link->store->command;
    enum err err = ERR_OK;

    link->given = (struct redis_given){0};
    link->opened = ERR_UNKNOWN;
    for (size_t i = 0; i < HELLOS && err == ERR_OK; i++) {
        buf_clear(command);
        if (i == HELLO_OPEN) {
            write_open(link->store->fleet, command);
        } else {
            redis_command_begin(command, i == HELLO_INFO ? 1 : ARRAY_LEN(config));
            for (size_t j = 0; i == HELLO_CONFIG && j < ARRAY_LEN(config); j++)
                redis_command_arg(command, config[j]);
            if (i == HELLO_INFO)
                redis_command_arg(command, SLICE("INFO"));
        }
        link->hello[i] = (struct redis_hello){.request.done = on_hello, .link = link};
        err = buf_failed(command)
                  ? ERR_NO_MEMORY
                  : redis_conn_ask(link->conn, &link->hello[i].request, buf_slice(command));
        link->hellos += err == ERR_OK;
    }
    if (err != ERR_OK)
        redis_conn_give_up(link->conn, err_text(err));
}
