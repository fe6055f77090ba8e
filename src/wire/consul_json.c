/* consul_json.c */
#include "wire/consul_json.h"

#include <string.h>

#include "wire/counter_json.h"
#include "wire/json.h"

#define HOST_BYTES 254
/* An instance that stays critical is forgotten by Consul; its least is a minute. */
#define FORGET_AFTER "10m"

struct entry {
    char node[HOST_BYTES];
    char address[HOST_BYTES];
    int64_t port;
    int64_t weight;
};

struct reading {
    struct json_reader json;
    struct arena *arena;
    enum err err;
    const char *problem;
};

static bool fail(struct reading *reading, const char *what) {
    reading->err = ERR_INVALID;
    reading->problem = reading->json.error.what ? reading->json.error.what : what;
    return false;
}

/* Calls member() for every member of the object that 'first' begins; member() takes the value. */
static bool each_member(struct reading *reading, const struct json_token *first, void *entry,
                        bool (*member)(struct reading *, const struct json_token *key,
                                       const struct json_token *value, void *)) {
    struct json_token key;
    struct json_token value;

    if (first->type != JSON_OBJECT)
        return fail(reading, "an object is missing");
    while (json_next(&reading->json, &key) == JSON_KEY) {
        (void)json_next(&reading->json, &value);
        if (!member(reading, &key, &value, entry))
            return false;
    }
    return key.type == JSON_OBJECT_END || fail(reading, "not JSON");
}

static bool skip(struct reading *reading, const struct json_token *value) {
    return json_skip(&reading->json, value) || fail(reading, "not JSON");
}

static bool take_host(struct reading *reading, const struct json_token *value, char *out) {
    struct slice text;

    if (value->type != JSON_STRING)
        return fail(reading, "an Address isn't a string");
    if (json_text(value, reading->arena, &text) != ERR_OK) {
        reading->err = ERR_NO_MEMORY;
        reading->problem = err_text(ERR_NO_MEMORY);
        return false;
    }
    if (text.len >= HOST_BYTES || memchr(text.ptr, '\0', text.len))
        return fail(reading, "an Address is no host");
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool take_number(struct reading *reading, const struct json_token *value, int64_t *out) {
    if (value->type == JSON_NUMBER && json_i64(value, out) && *out >= 0 && *out <= 65535)
        return true;
    return fail(reading, "a Port or a weight isn't a number up to 65535");
}

static bool on_node(struct reading *reading, const struct json_token *key,
                    const struct json_token *value, void *ctx) {
    struct entry *entry = ctx;

    if (json_text_is(key, SLICE("Address")))
        return take_host(reading, value, entry->node);
    return skip(reading, value);
}

static bool on_weights(struct reading *reading, const struct json_token *key,
                       const struct json_token *value, void *ctx) {
    struct entry *entry = ctx;

    if (json_text_is(key, SLICE("Passing")))
        return take_number(reading, value, &entry->weight);
    return skip(reading, value);
}

static bool on_service(struct reading *reading, const struct json_token *key,
                       const struct json_token *value, void *ctx) {
    struct entry *entry = ctx;

    if (json_text_is(key, SLICE("Address")))
        return take_host(reading, value, entry->address);
    if (json_text_is(key, SLICE("Port")))
        return take_number(reading, value, &entry->port);
    if (json_text_is(key, SLICE("Weights")) && value->type == JSON_OBJECT)
        return each_member(reading, value, entry, on_weights);
    return skip(reading, value);
}

static bool on_entry(struct reading *reading, const struct json_token *key,
                     const struct json_token *value, void *ctx) {
    struct entry *entry = ctx;

    if (json_text_is(key, SLICE("Node")))
        return each_member(reading, value, entry, on_node);
    if (json_text_is(key, SLICE("Service")))
        return each_member(reading, value, entry, on_service);
    return skip(reading, value);
}

static bool read_entries(struct reading *reading, struct instances *out) {
    struct json_token token;

    if (json_next(&reading->json, &token) != JSON_ARRAY)
        return fail(reading, "not a list of instances");
    while (json_next(&reading->json, &token) != JSON_ARRAY_END) {
        struct entry entry = {.weight = 1};

        if (!each_member(reading, &token, &entry, on_entry))
            return false;
        const char *host = entry.address[0] ? entry.address : entry.node;
        if (host[0] && entry.port)
            instances_add(out, host, (unsigned)entry.port, (uint32_t)entry.weight);
    }
    return json_next(&reading->json, &token) == JSON_END || fail(reading, "not JSON");
}

enum err consul_read_health(struct slice body, struct arena *arena, struct instances *out,
                            const char **out_problem) {
    struct instances found = {.count = 0};
    struct reading reading = {.arena = arena};

    json_reader_init(&reading.json, body);
    if (!read_entries(&reading, &found)) {
        *out_problem = reading.problem;
        return reading.err;
    }
    *out = found;
    return ERR_OK;
}

/* ---- keys and values ---- */

static bool take_text(struct reading *reading, const struct json_token *value, struct slice *out) {
    if (value->type == JSON_NULL) { /* an empty value */
        *out = SLICE("");
        return true;
    }
    if (value->type != JSON_STRING)
        return fail(reading, "a text is missing");
    if (json_text(value, reading->arena, out) == ERR_OK)
        return true;
    reading->err = ERR_NO_MEMORY;
    reading->problem = err_text(ERR_NO_MEMORY);
    return false;
}

static bool take_u64(struct reading *reading, const struct json_token *value, uint64_t *out) {
    int64_t number;

    if (value->type != JSON_NUMBER || !json_i64(value, &number) || number < 0)
        return fail(reading, "a number is missing");
    *out = (uint64_t)number;
    return true;
}

static bool on_value(struct reading *reading, const struct json_token *key,
                     const struct json_token *value, void *ctx) {
    struct consul_value *out = ctx;

    if (json_text_is(key, SLICE("ModifyIndex")))
        return take_u64(reading, value, &out->modify_index);
    if (json_text_is(key, SLICE("Flags")))
        return take_u64(reading, value, &out->flags);
    if (json_text_is(key, SLICE("Value")))
        return take_text(reading, value, &out->base64);
    return skip(reading, value);
}

static bool read_one(struct reading *reading, struct consul_value *out) {
    struct json_token token;

    if (json_next(&reading->json, &token) != JSON_ARRAY)
        return fail(reading, "not a list of values");
    (void)json_next(&reading->json, &token);
    if (!each_member(reading, &token, out, on_value))
        return false;
    return (json_next(&reading->json, &token) == JSON_ARRAY_END &&
            json_next(&reading->json, &token) == JSON_END) ||
           fail(reading, "not one value");
}

enum err consul_read_value(struct slice body, struct arena *arena, struct consul_value *out,
                           const char **out_problem) {
    struct consul_value found = {.base64 = SLICE("")};
    struct reading reading = {.arena = arena};

    json_reader_init(&reading.json, body);
    if (!read_one(&reading, &found)) {
        *out_problem = reading.problem;
        return reading.err;
    }
    *out = found;
    return ERR_OK;
}

static bool read_keys(struct reading *reading, void (*each)(void *ctx, struct slice key),
                      void *ctx) {
    struct json_token token;
    struct slice key;

    if (json_next(&reading->json, &token) != JSON_ARRAY)
        return fail(reading, "not a list of keys");
    while (json_next(&reading->json, &token) != JSON_ARRAY_END) {
        if (token.type != JSON_STRING)
            return fail(reading, "a key isn't a string");
        if (!take_text(reading, &token, &key))
            return false;
        each(ctx, key);
    }
    return true;
}

enum err consul_read_keys(struct slice body, struct arena *arena,
                          void (*each)(void *ctx, struct slice key), void *ctx,
                          const char **out_problem) {
    struct reading reading = {.arena = arena};

    json_reader_init(&reading.json, body);
    if (read_keys(&reading, each, ctx))
        return ERR_OK;
    *out_problem = reading.problem;
    return reading.err;
}

/* ---- what Consul is told ---- */

static void add_field(struct buf *out, const char *name, const char *value) {
    buf_printf(out, ",\"%s\":", name);
    json_add_string(out, slice_str(value));
}

static void add_check(struct buf *out, const struct consul_registration *r) {
    buf_printf(out, ",\"Check\":{\"Interval\":\"%lldms\",\"Timeout\":\"%lldms\"",
               (long long)r->check_ms, (long long)r->check_ms);
    add_field(out, r->check_kind, r->check_target);
    add_field(out, "Name", r->name);
    add_field(out, "Status", r->passing ? "passing" : "critical");
    add_field(out, "DeregisterCriticalServiceAfter", FORGET_AFTER);
    if (r->check_tls)
        buf_add_str(out, ",\"TLSSkipVerify\":true,\"GRPCUseTLS\":true");
    buf_add_char(out, '}');
}

void consul_write_registration(struct buf *out, const struct consul_registration *r) {
    buf_add_str(out, "{\"ID\":");
    json_add_string(out, slice_str(r->id));
    add_field(out, "Name", r->name);
    add_field(out, "Address", r->address);
    buf_printf(out, ",\"Port\":%u", r->port);
    buf_add_str(out, ",\"Tags\":");
    json_add_words(out, r->tags);
    buf_printf(out,
               ",\"Weights\":{\"Passing\":%u,\"Warning\":1},\"Meta\":{\"version\":", r->weight);
    json_add_string(out, slice_str(r->version));
    add_field(out, "role", r->role);
    add_field(out, "admin", r->admin);
    buf_add_char(out, '}');
    add_check(out, r);
    buf_add_char(out, '}');
}
