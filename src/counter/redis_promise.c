/* redis_promise.c - what a server's settings really give, and whether that will do. */
#include <stdio.h>

#include "counter/redis_internal.h"
#include "edge/redis_text.h"

static bool gives_local(const struct redis_given *given) {
    return given->appendonly && given->fsync == FSYNC_ALWAYS && !given->load_truncated;
}

const char *redis_guarantee_alone(const struct redis_given *given) {
    if (!given->version[0])
        return "acknowledged increments survive a crash of our processes; whether they survive one "
               "of redis-server is unknown, as our user may not ask for its settings (INFO)";
    if (!given->appendonly)
        return "acknowledged increments survive a crash of our processes; when redis-server ends "
               "or crashes, what it has not saved is lost (appendonly is off)";
    switch (given->fsync) {
    case FSYNC_ALWAYS:
        return "acknowledged increments survive a crash of our processes and of redis-server, and "
               "a power loss of its machine";
    case FSYNC_EVERYSEC:
        return "acknowledged increments survive a crash of our processes and of redis-server; when "
               "its machine loses power, up to 1 second of them may be lost, more when its disk is "
               "slow (appendfsync everysec)";
    case FSYNC_NO:
        return "acknowledged increments survive a crash of our processes and of redis-server; when "
               "its machine loses power, what the kernel has not written is lost (appendfsync no)";
    case FSYNC_UNKNOWN:
        break;
    }
    return "acknowledged increments survive a crash of our processes and of redis-server; whether "
           "they survive a power loss is unknown, as our user may not read appendfsync";
}

/* A server that died inside a write leaves the begin of a transaction at the end of its AOF. With
 * aof-load-truncated yes Redis (Valkey before its pull request 4342) cuts behind the last whole
 * command in it, not before it; what comes next is written behind, and executed together with it at
 * the next start but one: increments count twice, and events are lost to others of their number.
 * Behind the sentence of a server alone; "" for most. */
static const char *guarantee_torn(const struct redis_given *given) {
    return given->appendonly && given->load_truncated
               ? "; but after a crash in the middle of a write redis-server may count that write "
                 "twice at a later start, unless aof-load-truncated is no"
               : "";
}

/* One that isn't waited for may be promoted, too. */
static bool too_many_replicas(const struct redis_fleet *fleet, const struct redis_given *given) {
    return fleet->conf.durability == DURABILITY_REPLICATED &&
           given->replicas > (int)fleet->conf.replicas;
}

static void say_replicas(const struct redis_fleet *fleet, const struct redis_given *given,
                         char *out, size_t size) {
    out[0] = '\0';
    if (too_many_replicas(fleet, given))
        (void)snprintf(out, size,
                       "; each is acknowledged by %u of the %d replicas online first: a failover "
                       "to another one may lose it (durability.replicas)",
                       fleet->conf.replicas, given->replicas);
    else if (fleet->conf.durability == DURABILITY_REPLICATED)
        (void)snprintf(out, size,
                       "; each is acknowledged by %u replica%s first, and survives a failover to "
                       "any of them (whether they fsync before is not looked at)",
                       fleet->conf.replicas, fleet->conf.replicas == 1 ? "" : "s");
}

void redis_guarantee(const struct redis_fleet *fleet, const struct redis_given *given, char *out,
                     size_t size) {
    char replicas[224];
    const char *weakest = "";

    say_replicas(fleet, given, replicas, sizeof(replicas));
    if (fleet->conf.url.is_cluster)
        weakest = fleet->conf.durability == DURABILITY_REPLICATED
                      ? "; this is the weakest of the Cluster's nodes"
                      : "; this is the weakest of the Cluster's nodes, and where a replica takes "
                        "over for one of them, what it had not received is lost";
    (void)snprintf(out, size, "%s%s%s%s%s%s%s", redis_guarantee_alone(given), guarantee_torn(given),
                   replicas, weakest, given->eviction[0] ? "; its maxmemory-policy " : "",
                   given->eviction, given->eviction[0] ? " may delete counters" : "");
}

enum durability redis_mode(const struct redis_fleet *fleet, const struct redis_given *given) {
    if (!gives_local(given))
        return DURABILITY_FAST;
    return too_many_replicas(fleet, given) ? DURABILITY_LOCAL : fleet->conf.durability;
}

/* KEEPTTL is of 6.0, MINID of 6.2. */
#define VERSION_MAJOR_MIN 6
#define VERSION_MINOR_MIN 2

static bool too_old(const char *version) {
    struct slice text = slice_str(version);
    int64_t major;
    int64_t minor;

    if (!redis_take_i64(&text, &major) || !redis_take_char(&text, '.') ||
        !redis_take_i64(&text, &minor))
        return false; /* it didn't say */
    return major < VERSION_MAJOR_MIN || (major == VERSION_MAJOR_MIN && minor < VERSION_MINOR_MIN);
}

static enum err judge_kind(const struct redis_fleet *fleet, const struct redis_given *given,
                           char *out_detail, size_t size) {
    if (too_old(given->version)) {
        (void)snprintf(out_detail, size, "this is Redis %s; %d.%d or later is needed",
                       given->version, VERSION_MAJOR_MIN, VERSION_MINOR_MIN);
        return ERR_INVALID;
    }
    if (given->version[0] && given->cluster != fleet->conf.url.is_cluster) {
        (void)snprintf(out_detail, size,
                       given->cluster ? "this server is part of a Redis Cluster: its address is "
                                        "redis-cluster://host:port,…"
                                      : "this server isn't part of a Redis Cluster: its address is "
                                        "redis://host:port");
        return ERR_INVALID;
    }
    if (given->replica) {
        (void)snprintf(out_detail, size, "this server is a replica; counting takes its primary");
        return ERR_UNAVAILABLE;
    }
    return ERR_OK;
}

/* Nothing is applied that can't be acknowledged. */
static enum err judge_replicas(const struct redis_fleet *fleet, const struct redis_given *given,
                               char *out_detail, size_t size) {
    if (fleet->conf.durability != DURABILITY_REPLICATED || given->replicas < 0 ||
        given->acking >= (int)fleet->conf.replicas)
        return ERR_OK;
    if (given->acking == given->replicas)
        (void)snprintf(out_detail, size,
                       "this server has %d replicas online of the %u that durability.replicas asks "
                       "for",
                       given->replicas, fleet->conf.replicas);
    else
        (void)snprintf(out_detail, size,
                       "this server has %d replicas online, and %d of the %u that "
                       "durability.replicas asks for have acknowledged anything lately",
                       given->replicas, given->acking, fleet->conf.replicas);
    return ERR_UNAVAILABLE;
}

static enum err judge_strictly(const struct redis_fleet *fleet, const struct redis_given *given,
                               char *out_detail, size_t size) {
    if (too_many_replicas(fleet, given)) {
        (void)snprintf(out_detail, size,
                       "this server has %d replicas online, and durability.replicas asks for %u: a "
                       "failover to another one may lose what was acknowledged; durability.strict "
                       "asks for all",
                       given->replicas, fleet->conf.replicas);
        return ERR_INVALID;
    }
    if (redis_mode(fleet, given) != fleet->conf.durability) {
        (void)snprintf(out_detail, size,
                       "the configuration asks for durability \"%s\", strictly, which takes "
                       "appendonly yes, appendfsync always and aof-load-truncated no; with this "
                       "server %s%s",
                       counter_durability_name(fleet->conf.durability),
                       redis_guarantee_alone(given), guarantee_torn(given));
        return ERR_INVALID;
    }
    if (given->eviction[0] || !given->policy_known) {
        (void)snprintf(out_detail, size,
                       "the server's maxmemory-policy is %s, which may delete counters; "
                       "durability.strict asks for noeviction",
                       given->policy_known ? given->eviction : "unknown");
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err redis_fleet_judge(const struct redis_fleet *fleet, const struct redis_given *given,
                           char *out_detail, size_t size) {
    enum err err = judge_kind(fleet, given, out_detail, size);

    if (err == ERR_OK && fleet->conf.strict)
        err = judge_strictly(fleet, given, out_detail, size);
    return err == ERR_OK ? judge_replicas(fleet, given, out_detail, size) : err;
}
