/* verify_redis.c - a Redis, Sentinels' primary or a Cluster: its layout, its lanes' positions, its
 * counters, its outbox.
 *
 * On a Cluster the slots must stay where they are meanwhile: a SCAN misses what moves.
 */
#include "cli/verify_redis.h"

#include <stdlib.h>
#include <sysexits.h>

#include "cli/store_url.h"
#include "edge/redis_command.h"

#define FORMAT 1

const struct redis_scripts reading_scripts = {{&redis_script_verify}};

/* ---- connecting ---- */

static enum err connect_to(struct redis_reading *r, const struct redis_url *url,
                           struct redis_client **out, const char **out_detail) {
    return redis_client_new(&(struct redis_client_conf){.url = url,
                                                        .tls = r->tls ? r->tls : r->secure.redis,
                                                        .scripts = r->scripts,
                                                        .patience_ms = r->verify->wait_ms},
                            out, out_detail);
}

static int unreachable(struct redis_reading *r, enum err err, const char *detail) {
    return verify_give_up(r->verify, err == ERR_INVALID ? EX_CONFIG : EX_UNAVAILABLE, "%s", detail);
}

static int connect_single(struct redis_reading *r) {
    const char *detail = "";
    enum err err = connect_to(r, &r->url, &r->nodes[0], &detail);

    return err == ERR_OK ? EX_OK : unreachable(r, err, detail);
}

static enum err take_map(void *ctx, const struct redis_reply *reply) {
    struct redis_reading *r = ctx;

    return redis_map_read(reply, r->seed_url.address, &r->map);
}

static int read_map(struct redis_reading *r) {
    reading_command(r, 2, (const struct slice[]){SLICE("CLUSTER"), SLICE("SLOTS")}, 2);
    return reading_ask(r, r->seed, take_map);
}

static int connect_masters(struct redis_reading *r) {
    const char *detail = "";
    enum err err = ERR_OK;

    for (uint16_t i = 0; err == ERR_OK && i < r->map.count; i++) {
        struct redis_url url = r->seed_url;

        (void)snprintf(url.address, sizeof(url.address), "%s", r->map.address[i]);
        err = connect_to(r, &url, &r->nodes[i], &detail);
    }
    return err == ERR_OK ? EX_OK : unreachable(r, err, detail);
}

static int connect_cluster(struct redis_reading *r) {
    const char *detail = "";
    unsigned places = 1;
    enum err err = ERR_UNREACHABLE;

    for (const char *c = r->url.address; *c; c++)
        places += *c == ',';
    for (unsigned i = 0; err == ERR_UNREACHABLE && i < places; i++) {
        redis_url_node(&r->url, i, &r->seed_url);
        r->seed_url.is_cluster = false;
        err = connect_to(r, &r->seed_url, &r->seed, &detail);
    }
    if (err != ERR_OK)
        return unreachable(r, err, detail);
    int code = read_map(r);
    return code == EX_OK ? connect_masters(r) : code;
}

/* ---- the layout ---- */

static bool read_hex(struct slice text, uint64_t *out, size_t count) {
    char copy[33];
    size_t len = 16 * count;

    if (text.len != len || len >= sizeof(copy))
        return false;
    for (size_t i = 0; i < count; i++) {
        char *end;

        (void)snprintf(copy, sizeof(copy), "%.16s", text.ptr + 16 * i);
        out[i] = strtoull(copy, &end, 16);
        if (*end)
            return false;
    }
    return true;
}

static enum err take_meta(void *ctx, const struct redis_reply *reply) {
    struct redis_reading *r = ctx;
    uint64_t format = 0;
    uint64_t lanes = 0;

    if (!redis_reply_text(redis_reply_at(reply, 0)).ptr)
        return ERR_OK; /* there is no store: lanes stay 0 */
    if (!reading_u64(redis_reply_at(reply, 0), &format) || format != FORMAT ||
        !reading_u64(redis_reply_at(reply, 1), &lanes) || lanes == 0 || lanes > REDIS_SLOTS ||
        !read_hex(redis_reply_text(redis_reply_at(reply, 2)), &r->verify->store_id, 1) ||
        !read_hex(redis_reply_text(redis_reply_at(reply, 3)), r->layout.seed, 2))
        return ERR_CORRUPT;
    r->layout.lanes = (uint32_t)lanes;
    return ERR_OK;
}

static enum err take_lane(void *ctx, const struct redis_reply *reply) {
    struct redis_reading *r = ctx;

    return reading_position(reply, &r->at[r->lane]) ? ERR_OK : ERR_CORRUPT;
}

static int read_lanes(struct redis_reading *r) {
    int code = EX_OK;

    for (r->lane = 0; code == EX_OK && r->lane < r->layout.lanes; r->lane++) {
        struct redis_client *client = reading_client_of_lane(r, r->lane);

        reading_command(r, 4, (const struct slice[]){SLICE("HMGET")}, 1);
        reading_add_lane_key(r, r->lane, "m");
        redis_command_arg(&r->command, SLICE("epoch"));
        redis_command_arg(&r->command, SLICE("seq"));
        code = reading_ask(r, client, take_lane);
    }
    return code;
}

static int read_layout(struct redis_reading *r) {
    reading_command(r, 6,
                    (const struct slice[]){SLICE("HMGET"), SLICE("hgp:meta"), SLICE("format"),
                                           SLICE("lanes"), SLICE("id"), SLICE("seed")},
                    6);
    int code = reading_ask(r, reading_client_of(r, SLICE("hgp:meta")), take_meta);
    if (code != EX_OK)
        return code;
    if (!r->layout.lanes)
        return verify_give_up(r->verify, EX_NOINPUT, "%s: nothing of ours was ever counted there",
                              r->verify->store);
    r->at = calloc(r->layout.lanes, sizeof(*r->at));
    r->tags = r->url.is_cluster ? calloc(r->layout.lanes, sizeof(*r->tags)) : NULL;
    if (!r->at || (r->url.is_cluster && (!r->tags || !redis_tags_make(r->layout.lanes, r->tags))))
        return verify_give_up(r->verify, EX_OSERR, "out of memory");
    r->layout.tags = r->tags;
    return read_lanes(r);
}

/* ---- the whole ---- */

/* A counter that moved to a node which had been looked through is one that was missed. */
int reading_check_map(struct redis_reading *r) {
    uint16_t *before = malloc(sizeof(r->map.owner));
    char(*addresses)[REDIS_URL_TEXT_BYTES] = malloc(sizeof(r->map.address));
    bool same = before && addresses;
    int code = EX_OSERR;

    if (same) {
        memcpy(before, r->map.owner, sizeof(r->map.owner));
        memcpy(addresses, r->map.address, sizeof(r->map.address));
        code = read_map(r);
        for (size_t i = 0; code == EX_OK && same && i < REDIS_SLOTS; i++)
            same = before[i] != REDIS_NO_NODE && r->map.owner[i] != REDIS_NO_NODE &&
                   strcmp(addresses[before[i]], r->map.address[r->map.owner[i]]) == 0;
    }
    free(before);
    free(addresses);
    if (code == EX_OK && !same)
        return verify_give_up(r->verify, EX_UNAVAILABLE,
                              "slots were moved meanwhile: try again when they stay");
    return code;
}

static enum err audit_it(void *ctx, const struct event *event) {
    const struct redis_reading *r = ctx;

    return audit_event(r->verify->audit, r->verify->store_id, event);
}

static int read_all(struct redis_reading *r, bool outbox) {
    int code = reading_open(r);

    if (code == EX_OK)
        code = verify_begin(r->verify, r->layout.lanes, r->at, !r->url.is_cluster);
    if (code == EX_OK)
        code = r->verify->wanted.listed ? reading_list(r) : reading_scan(r);
    if (code == EX_OK && outbox)
        code = reading_outbox(r, audit_it, r);
    if (code == EX_OK && r->url.is_cluster && !r->verify->wanted.listed)
        code = reading_check_map(r);
    if (code == EX_OK && r->strangers)
        (void)verify_give_up(r->verify, 0, "%llu keys are no counters of ours: left out",
                             (unsigned long long)r->strangers);
    return code;
}

void reading_close(struct redis_reading *r) {
    for (size_t i = 0; i < REDIS_NODES_MAX; i++)
        redis_client_free(r->nodes[i]);
    redis_client_free(r->seed);
    secure_close(&r->secure);
    free(r->at);
    free(r->tags);
    buf_release(&r->command);
    buf_release(&r->scratch);
    buf_release(&r->type);
    buf_release(&r->keys);
    buf_release(&r->scanned);
    buf_release(&r->only);
    explicit_bzero(&r->url, sizeof(r->url));
    explicit_bzero(&r->seed_url, sizeof(r->seed_url));
}

int reading_open(struct redis_reading *r) {
    const struct verify *verify = r->verify;
    const char *problem = store_url_read(verify->config, &r->url);

    if (!problem && !r->tls && store_url_is_tls(verify->config))
        problem = secure_open(&r->secure, verify->config, SECURE_REDIS);
    if (problem)
        return verify_give_up(verify, EX_CONFIG, "%s", problem);
    int code = r->url.is_cluster ? connect_cluster(r) : connect_single(r);
    return code == EX_OK ? read_layout(r) : code;
}

int verify_redis(struct verify *verify, bool outbox) {
    struct redis_reading *r = calloc(1, sizeof(*r));

    if (!r)
        return verify_give_up(verify, EX_OSERR, "out of memory");
    r->verify = verify;
    r->scripts = &reading_scripts;
    store_name(verify->config, verify->store, sizeof(verify->store));
    if (outbox)
        (void)snprintf(verify->events, sizeof(verify->events), "its outbox");
    int code = read_all(r, outbox);

    reading_close(r);
    free(r);
    return code;
}
