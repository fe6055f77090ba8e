/* redis_map.c - CLUSTER SLOTS, MOVED and ASK. */
#include "edge/redis_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "edge/redis_text.h"

#define PORT_MAX 65535

/* An address of the host (of 'asked', where the Cluster doesn't know it) and the port. */
static bool join(struct slice host, int64_t port, const char *asked, char *out) {
    bool bare_v6 = host.len && host.ptr[0] != '[' && memchr(host.ptr, ':', host.len);
    const char *end = strrchr(asked, ':');
    int len;

    if (port < 1 || port > PORT_MAX)
        return false;
    if (host.len == 0 || slice_eq(host, SLICE("?")))
        host = slice_of(asked, end ? (size_t)(end - asked) : strlen(asked));
    len = snprintf(out, REDIS_URL_TEXT_BYTES, bare_v6 ? "[%.*s]:%" PRId64 : "%.*s:%" PRId64,
                   SLICE_ARGS(host), port);
    return len > 0 && len < REDIS_URL_TEXT_BYTES;
}

void redis_map_clear(struct redis_map *map) {
    map->count = 0;
    for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
        map->owner[slot] = REDIS_NO_NODE;
}

uint16_t redis_map_node(struct redis_map *map, const char *address) {
    for (uint16_t i = 0; i < map->count; i++) {
        if (strcmp(map->address[i], address) == 0)
            return i;
    }
    if (map->count == REDIS_NODES_MAX)
        return REDIS_NO_NODE;
    (void)snprintf(map->address[map->count], REDIS_URL_TEXT_BYTES, "%s", address);
    return map->count++;
}

/* [first slot, last slot, [host, port, …] of the master, replicas…] */
static enum err read_range(const struct redis_reply *range, const char *asked,
                           struct redis_map *out) {
    char address[REDIS_URL_TEXT_BYTES];
    int64_t first;
    int64_t last;
    int64_t port;

    if (redis_reply_count(range) < 3 || !redis_reply_i64(redis_reply_at(range, 0), &first) ||
        !redis_reply_i64(redis_reply_at(range, 1), &last) || first < 0 || last >= REDIS_SLOTS)
        return ERR_CORRUPT;
    const struct redis_reply *master = redis_reply_at(range, 2);
    if (redis_reply_count(master) < 2 || !redis_reply_i64(redis_reply_at(master, 1), &port) ||
        !join(redis_reply_text(redis_reply_at(master, 0)), port, asked, address))
        return ERR_CORRUPT;
    uint16_t node = redis_map_node(out, address);
    if (node == REDIS_NO_NODE)
        return ERR_TOO_LARGE;
    for (int64_t slot = first; slot <= last; slot++)
        out->owner[slot] = node;
    return ERR_OK;
}

enum err redis_map_read(const struct redis_reply *reply, const char *asked, struct redis_map *out) {
    enum err err = redis_reply_is_array(reply) ? ERR_OK : ERR_CORRUPT;

    redis_map_clear(out);
    for (size_t i = 0; err == ERR_OK && i < redis_reply_count(reply); i++)
        err = read_range(redis_reply_at(reply, i), asked, out);
    return err;
}

bool redis_redirect_read(struct slice error, const char *asked, struct redis_redirect *out) {
    struct redis_redirect to = {.ask = slice_starts(error, SLICE("ASK "))};
    int64_t slot;
    int64_t port;

    if (!to.ask && !slice_starts(error, SLICE("MOVED ")))
        return false;
    error = slice_skip(error, to.ask ? 4 : 6);
    if (!redis_take_i64(&error, &slot) || slot < 0 || slot >= REDIS_SLOTS ||
        !redis_take_char(&error, ' '))
        return false;
    const char *colon = memrchr(error.ptr, ':', error.len);
    if (!colon)
        return false;
    struct slice host = slice_of(error.ptr, (size_t)(colon - error.ptr));
    struct slice rest = slice_skip(error, host.len + 1);
    to.slot = (uint16_t)slot;
    if (!redis_take_i64(&rest, &port) || rest.len || !join(host, port, asked, to.address))
        return false;
    *out = to;
    return true;
}
