/* config_store.c */
#include "cli/config_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/consul_json.h"
#include "wire/grpc_text.h"

#define ARENA_BYTES_MAX (4u << 20)
#define PATH_BYTES      512
/* Shorter than a call may take. */
#define WAIT "4s"

static void key_of(const struct config_store *store, const char *folder, enum role role,
                   char *out) {
    (void)snprintf(out, PATH_BYTES, "kv/high-go-press/%s/%.63s/%s", folder,
                   store->consul.config->consul_environment, role_name(role));
}

const char *config_store_open(struct config_store *store, const struct config *config) {
    *store = (struct config_store){.problem = ""};
    return consul_open(&store->consul, config);
}

void config_store_close(struct config_store *store) {
    consul_close(&store->consul);
}

static enum consul_kv call(struct config_store *store, struct consul_kv_call *request) {
    enum consul_kv got = consul_kv_call(&store->consul, request);

    if (got == CONSUL_KV_FAILED)
        (void)snprintf(store->problem, sizeof(store->problem), "%s", request->problem);
    return got;
}

static bool complain(struct config_store *store, const char *what) {
    (void)snprintf(store->problem, sizeof(store->problem), "its answer can't be read: %s", what);
    return false;
}

/* ---- reading ---- */

static bool read_document(struct config_store *store, struct slice body,
                          struct config_document *out) {
    struct consul_value value;
    const char *problem = NULL;
    struct arena arena;

    arena_init(&arena, 4096, ARENA_BYTES_MAX);
    bool ok = consul_read_value(body, &arena, &value, &problem) == ERR_OK;
    if (ok && grpc_base64_decode(&out->text, value.base64) != ERR_OK) {
        ok = false;
        problem = "the value isn't base64";
    }
    arena_release(&arena);
    if (!ok)
        return complain(store, problem);
    out->exists = true;
    out->version = (unsigned)value.flags;
    out->index = value.modify_index;
    return true;
}

static bool read_at(struct config_store *store, const char *path, struct config_document *out,
                    uint64_t *out_index) {
    struct buf body = {0};
    struct consul_kv_call request = {.method = "GET", .path = path, .out = &body};
    enum consul_kv got = call(store, &request);
    bool ok = got != CONSUL_KV_FAILED;

    *out = (struct config_document){.exists = false};
    if (out_index)
        *out_index = request.index;
    if (got == CONSUL_KV_FOUND)
        ok = read_document(store, buf_slice(&body), out);
    buf_release(&body);
    return ok;
}

bool config_store_read(struct config_store *store, enum role role, struct config_document *out) {
    char path[PATH_BYTES];

    key_of(store, "config", role, path);
    return read_at(store, path, out, NULL);
}

bool config_store_wait(struct config_store *store, enum role role, uint64_t *index,
                       struct config_document *out) {
    char key[PATH_BYTES];
    char path[PATH_BYTES + 64];
    uint64_t now = 0;

    key_of(store, "config", role, key);
    for (;;) {
        (void)snprintf(path, sizeof(path), "%s?index=%" PRIu64 "&wait=" WAIT, key, *index);
        if (!read_at(store, path, out, &now))
            return false;
        if (now != *index) {
            *index = now;
            return true;
        }
        buf_release(&out->text);
    }
}

/* ---- history ---- */

struct listing {
    void (*each)(void *ctx, const struct config_version *version);
    void *ctx;
    size_t prefix;
    struct config_version *versions;
    size_t count;
};

/* "…/VERSION-SECONDS" */
static void on_key(void *ctx, struct slice key) {
    struct listing *listing = ctx;
    struct config_version version = {0};
    char name[64];

    if (key.len <= listing->prefix || key.len - listing->prefix >= sizeof(name))
        return;
    (void)snprintf(name, sizeof(name), "%.*s", (int)(key.len - listing->prefix),
                   key.ptr + listing->prefix);
    char *dash = NULL;
    version.number = (unsigned)strtoul(name, &dash, 10);
    if (dash == name || *dash != '-')
        return;
    version.at_s = strtoll(dash + 1, NULL, 10);
    struct config_version *more =
        realloc(listing->versions, (listing->count + 1) * sizeof(*listing->versions));
    if (!more)
        return;
    listing->versions = more;
    listing->versions[listing->count++] = version;
}

static int by_number(const void *a, const void *b) {
    const struct config_version *x = a;
    const struct config_version *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

/* Sorted; the caller frees. False: Consul. */
static bool list_versions(struct config_store *store, enum role role, struct listing *out) {
    char key[PATH_BYTES];
    char path[PATH_BYTES + 16];
    struct buf body = {0};
    struct arena arena;
    const char *problem = NULL;

    key_of(store, "history", role, key);
    *out = (struct listing){.prefix = strlen(key) - strlen("kv/") + 1};
    (void)snprintf(path, sizeof(path), "%s/?keys", key);
    struct consul_kv_call request = {.method = "GET", .path = path, .out = &body};
    enum consul_kv got = call(store, &request);
    bool ok = got != CONSUL_KV_FAILED;
    arena_init(&arena, 4096, ARENA_BYTES_MAX);
    if (got == CONSUL_KV_FOUND &&
        consul_read_keys(buf_slice(&body), &arena, on_key, out, &problem) != ERR_OK)
        ok = complain(store, problem);
    arena_release(&arena);
    buf_release(&body);
    if (out->count)
        qsort(out->versions, out->count, sizeof(*out->versions), by_number);
    return ok;
}

bool config_store_history(struct config_store *store, enum role role,
                          void (*each)(void *ctx, const struct config_version *version),
                          void *ctx) {
    struct listing listing;
    bool ok = list_versions(store, role, &listing);

    for (size_t i = 0; ok && i < listing.count; i++)
        each(ctx, &listing.versions[i]);
    free(listing.versions);
    return ok;
}

static void version_key(const struct config_store *store, enum role role,
                        const struct config_version *version, char *out, size_t size) {
    char key[PATH_BYTES];

    key_of(store, "history", role, key);
    (void)snprintf(out, size, "%s/%u-%" PRId64, key, version->number, version->at_s);
}

bool config_store_read_version(struct config_store *store, enum role role, unsigned number,
                               struct buf *out, bool *out_found) {
    char path[PATH_BYTES + 64];
    struct config_document document;
    struct listing listing;
    bool ok = list_versions(store, role, &listing);

    *out_found = false;
    for (size_t i = 0; ok && i < listing.count && !*out_found; i++) {
        if (listing.versions[i].number != number)
            continue;
        version_key(store, role, &listing.versions[i], path, sizeof(path));
        ok = read_at(store, path, &document, NULL);
        *out_found = ok && document.exists;
        *out = document.text;
    }
    free(listing.versions);
    return ok;
}

/* ---- writing ---- */

/* A PUT with ?cas answers true or false. */
static enum config_store_put put_if(struct config_store *store, const char *path,
                                    struct slice text) {
    struct buf body = {0};
    struct consul_kv_call request = {.method = "PUT", .path = path, .body = text, .out = &body};
    enum consul_kv got = call(store, &request);
    bool done = body.len >= 4 && memcmp(body.ptr, "true", 4) == 0;

    buf_release(&body);
    if (got == CONSUL_KV_NONE)
        (void)complain(store, "HTTP 404");
    if (got != CONSUL_KV_FOUND)
        return CONFIG_STORE_FAILED;
    return done ? CONFIG_STORE_OK : CONFIG_STORE_RACED;
}

static enum config_store_put put_document(struct config_store *store, enum role role,
                                          struct slice text, unsigned version, uint64_t index) {
    char key[PATH_BYTES];
    char path[PATH_BYTES + 64];

    key_of(store, "config", role, key);
    (void)snprintf(path, sizeof(path), "%s?flags=%u&cas=%" PRIu64, key, version, index);
    return put_if(store, path, text);
}

/* The version is ours when nobody has put one of that number: two in one second are told apart by
 * Consul's own compare-and-set on the document. */
static enum config_store_put keep(struct config_store *store, enum role role, struct slice text,
                                  unsigned number) {
    struct config_version version = {number, clock_wall_ms() / 1000};
    char path[PATH_BYTES + 64];
    size_t len;

    version_key(store, role, &version, path, sizeof(path));
    len = strlen(path);
    (void)snprintf(path + len, sizeof(path) - len, "?flags=%u&cas=0", number);
    return put_if(store, path, text);
}

enum config_store_put config_store_put(struct config_store *store, enum role role,
                                       struct slice text, unsigned *out_version) {
    struct config_document document;
    struct listing listing;

    if (!config_store_read(store, role, &document))
        return CONFIG_STORE_FAILED;
    buf_release(&document.text);
    bool ok = list_versions(store, role, &listing);
    unsigned last = listing.count ? listing.versions[listing.count - 1].number : 0;
    free(listing.versions);
    if (!ok)
        return CONFIG_STORE_FAILED;
    unsigned version = (last > document.version ? last : document.version) + 1;
    enum config_store_put done = keep(store, role, text, version);
    if (done == CONFIG_STORE_OK)
        done = put_document(store, role, text, version, document.exists ? document.index : 0);
    if (done == CONFIG_STORE_OK)
        *out_version = version;
    return done;
}
