/* redis_reply.c - a face for hiredis's replies, and the table of errors. */
#include "edge/redis_reply.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "base/attr.h"
#include "edge/redis_text.h"

static const redisReply *inside(const struct redis_reply *reply) {
    return (const redisReply *)reply;
}

struct slice redis_reply_text(const struct redis_reply *reply) {
    const redisReply *r = inside(reply);

    if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS &&
        r->type != REDIS_REPLY_ERROR)
        return (struct slice){NULL, 0};
    return slice_of(r->str, (size_t)r->len);
}

bool redis_reply_is_error(const struct redis_reply *reply) {
    return inside(reply)->type == REDIS_REPLY_ERROR;
}

bool redis_reply_i64(const struct redis_reply *reply, int64_t *out) {
    struct slice text = redis_reply_text(reply);
    int64_t value;

    if (inside(reply)->type == REDIS_REPLY_INTEGER) {
        *out = inside(reply)->integer;
        return true;
    }
    if (!redis_take_i64(&text, &value) || text.len != 0)
        return false;
    *out = value;
    return true;
}

bool redis_reply_is_nil(const struct redis_reply *reply) {
    return inside(reply)->type == REDIS_REPLY_NIL;
}

bool redis_reply_is_array(const struct redis_reply *reply) {
    return inside(reply)->type == REDIS_REPLY_ARRAY;
}

size_t redis_reply_count(const struct redis_reply *reply) {
    return inside(reply)->type == REDIS_REPLY_ARRAY ? inside(reply)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t i) {
    return (const struct redis_reply *)inside(reply)->element[i];
}

/* clang-format off */
static const struct {
    const char *word;
    enum err err;
    bool refused;
} errors[] = {
    {"NOSCRIPT",    ERR_NOT_FOUND,   true},
    {"LOADING",     ERR_UNAVAILABLE, true},
    {"READONLY",    ERR_UNAVAILABLE, true},
    {"MASTERDOWN",  ERR_UNAVAILABLE, true},
    {"NOREPLICAS",  ERR_IO,          true},
    {"CLUSTERDOWN", ERR_BUSY,        true},
    {"MOVED",       ERR_BUSY,        true},
    {"ASK",         ERR_BUSY,        true},
    {"TRYAGAIN",    ERR_BUSY,        true},
    {"HGPMOVING",   ERR_BUSY,        true},
    {"NOAUTH",      ERR_UNAVAILABLE, true},
    {"WRONGPASS",   ERR_UNAVAILABLE, true},
    {"NOPERM",      ERR_INTERNAL,    true},
    {"OOM",         ERR_NO_MEMORY,   true},
    {"MISCONF",     ERR_IO,          true},
    {"BUSY",        ERR_BUSY,        true},
    {"HGPEPOCH",    ERR_LAYOUT,      true},
    {"HGPDAMAGED",  ERR_CORRUPT,     true},
    {"HGPHALTED",   ERR_CORRUPT,     false},
};
/* clang-format on */

static bool begins_with_word(struct slice text, struct slice word) {
    return slice_starts(text, word) && (text.len == word.len || text.ptr[word.len] == ' ');
}

static bool is_error_of(const struct redis_reply *reply, const char *const *words, size_t count) {
    for (size_t i = 0; redis_reply_is_error(reply) && i < count; i++)
        if (begins_with_word(redis_reply_text(reply), slice_str(words[i])))
            return true;
    return false;
}

bool redis_reply_passes(const struct redis_reply *reply) {
    static const char *const words[] = {"LOADING",     "MASTERDOWN", "READONLY",
                                        "CLUSTERDOWN", "BUSY",       "ERR max number of clients"};

    return is_error_of(reply, words, ARRAY_LEN(words));
}

bool redis_reply_denied(const struct redis_reply *reply) {
    static const char *const words[] = {"NOPERM", "ERR unknown command"};

    return is_error_of(reply, words, ARRAY_LEN(words));
}

/* NOPERM of a command inside a script (which Redis 7 names at the end), perhaps behind its first
 * write: rights are looked at when each command is due. */
static bool is_late_refusal(enum err err, struct slice text) {
    static const char mark[] = " script: ";

    return err == ERR_INTERNAL && memmem(text.ptr, text.len, mark, sizeof(mark) - 1) != NULL;
}

enum err redis_reply_err(const struct redis_reply *reply, bool *out_refused) {
    struct slice text = redis_reply_text(reply);

    *out_refused = false;
    if (!redis_reply_is_error(reply))
        return ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (begins_with_word(text, slice_str(errors[i].word))) {
            *out_refused = errors[i].refused && !is_late_refusal(errors[i].err, text);
            return errors[i].err;
        }
    }
    return ERR_INTERNAL;
}
