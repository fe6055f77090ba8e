/* redis_url.c - scheme, credentials, place, database. */
#include "edge/redis_url.h"

#include <stdio.h>

#include "edge/url_text.h"

#define DB_MAX 65535

static const struct slice tcp_scheme = {"redis://", 8};
static const struct slice tls_scheme = {"rediss://", 9};
static const struct slice sentinel_scheme = {"redis-sentinel://", 17};
static const struct slice unix_scheme = {"redis+unix://", 13};
static const struct slice cluster_scheme = {"redis-cluster://", 16};

bool redis_url_is(struct slice text) {
    return slice_starts(text, sentinel_scheme) || slice_starts(text, tcp_scheme) ||
           slice_starts(text, tls_scheme) || slice_starts(text, unix_scheme) ||
           slice_starts(text, cluster_scheme);
}

static bool take_db(struct slice text, unsigned *out) {
    unsigned db = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        db = db * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = db;
    return db <= DB_MAX;
}

static bool parse_query(struct slice query, struct redis_url *url) {
    while (query.ptr) {
        struct slice next = url_cut(&query, '&', false);

        if (slice_starts(query, SLICE("db="))) {
            if (!take_db(slice_skip(query, 3), &url->db))
                return false;
        } else if (!slice_starts(query, SLICE("user=")) || query.len == 5 ||
                   !url_unescape(slice_skip(query, 5), url->user, sizeof(url->user))) {
            return false;
        }
        query = next;
    }
    return true;
}

static const char *parse_unix(struct slice text, struct redis_url *url) {
    struct slice query = url_cut(&text, '?', false);

    url->is_unix = true;
    if (!parse_query(query, url))
        return "behind the path only ?db=N and user=U are known, with & between";
    if (text.len == 0 || text.ptr[0] != '/' ||
        !url_unescape(text, url->address, sizeof(url->address)))
        return "a socket's path is absolute, as in redis+unix:///run/redis/redis.sock";
    /* sun_path has 108 bytes. */
    return strlen(url->address) < 108 ? NULL : "the socket's path is too long for the kernel";
}

static const char *parse_tcp(struct slice text, struct redis_url *url) {
    struct slice place;
    const char *problem =
        url_take_credentials(text, url->user, url->password, sizeof(url->user), &place);
    struct slice db = url_cut(&place, '/', false);
    if (!problem && db.ptr && db.len && !take_db(db, &url->db))
        problem = "the database is a number";
    if (!problem && (!memchr(place.ptr, ':', place.len) ||
                     !url_unescape(place, url->address, sizeof(url->address))))
        problem = "the place is host:port";
    return problem;
}

static bool are_places(struct slice list) {
    while (list.ptr) {
        struct slice rest = url_cut(&list, ',', false);
        const char *colon = list.len ? memrchr(list.ptr, ':', list.len) : NULL;

        if (!colon || colon == list.ptr || colon + 1 == list.ptr + list.len)
            return false;
        list = rest;
    }
    return true;
}

static const char *parse_cluster(struct slice text, struct redis_url *url) {
    struct slice places;
    const char *problem =
        url_take_credentials(text, url->user, url->password, sizeof(url->user), &places);

    url->is_cluster = true;
    if (problem)
        return problem;
    if (places.len && memchr(places.ptr, '/', places.len))
        return "a Cluster has no databases";
    if (!are_places(places) || !url_unescape(places, url->address, sizeof(url->address)))
        return "the nodes are host:port,host:port, up to 255 bytes; a few are enough";
    return NULL;
}

void redis_url_node(const struct redis_url *url, unsigned i, struct redis_url *out) {
    struct slice list = slice_str(url->address);
    struct slice node = list;
    struct slice rest = url_cut(&node, ',', false);

    for (; i > 0; i--) {
        node = rest.ptr ? rest : list;
        rest = url_cut(&node, ',', false);
    }
    *out = *url;
    (void)snprintf(out->address, sizeof(out->address), "%.*s", SLICE_ARGS(node));
}

static const char *parse_sentinel(struct slice text, struct redis_url *url) {
    struct slice places;
    const char *problem =
        url_take_credentials(text, url->user, url->password, sizeof(url->user), &places);

    url->is_sentinel = true;
    if (problem)
        return problem;
    struct slice name = url_cut(&places, '/', false);
    struct slice db = url_cut(&name, '/', false);
    if (!name.len || name.len >= sizeof(url->master))
        return "behind the Sentinels comes the name that they know the primary by, as in "
               "redis-sentinel://host:port,host:port/name";
    (void)snprintf(url->master, sizeof(url->master), "%.*s", SLICE_ARGS(name));
    if (db.ptr && db.len && !take_db(db, &url->db))
        return "the database is a number";
    if (!are_places(places) || !url_unescape(places, url->address, sizeof(url->address)))
        return "the Sentinels are host:port,host:port, up to 255 bytes";
    return NULL;
}

enum err redis_url_parse(struct slice text, struct redis_url *out, const char **out_problem) {
    struct redis_url url = {0};

    if (slice_starts(text, unix_scheme))
        *out_problem = parse_unix(slice_skip(text, unix_scheme.len), &url);
    else if (slice_starts(text, cluster_scheme))
        *out_problem = parse_cluster(slice_skip(text, cluster_scheme.len), &url);
    else if (slice_starts(text, tcp_scheme))
        *out_problem = parse_tcp(slice_skip(text, tcp_scheme.len), &url);
    else if (slice_starts(text, sentinel_scheme))
        *out_problem = parse_sentinel(slice_skip(text, sentinel_scheme.len), &url);
    else if (slice_starts(text, tls_scheme))
        *out_problem = parse_tcp(slice_skip(text, tls_scheme.len), &url);
    else
        *out_problem = "this is no redis://, rediss://, redis+unix://, redis-sentinel:// or "
                       "redis-cluster:// address";
    url.is_tls = slice_starts(text, tls_scheme);
    if (*out_problem)
        return ERR_INVALID;
    *out = url;
    return ERR_OK;
}

void redis_url_name(const struct redis_url *url, char *out, size_t size) {
    if (url->is_unix)
        (void)snprintf(out, size, "redis+unix://%s?db=%u", url->address, url->db);
    else if (url->is_sentinel)
        (void)snprintf(out, size, "redis-sentinel://%s/%s/%u", url->address, url->master, url->db);
    else if (url->is_cluster)
        (void)snprintf(out, size, "redis-cluster://%s", url->address);
    else
        (void)snprintf(out, size, "redis%s://%s/%u", url->is_tls ? "s" : "", url->address, url->db);
}
