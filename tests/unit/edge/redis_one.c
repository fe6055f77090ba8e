/* redis_one.c - words to commands, replies to text. */
#include "redis_one.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/redis_script.h"
#include "test.h"

#define WORDS_MAX 16
#define WORD      96
#define OPS_MAX   4

static char sha1_one[2][41]; /* standalone, Cluster */
static char sha1_open[41];
static char sha1_lane[41];

static void load(redisContext *client, const struct redis_script *script, char *out_sha1) {
    static const char look[] = "redis.call('TIME')";
    const char *at = memmem(script->text.ptr, script->text.len, look, sizeof(look) - 1);
    struct buf text = {0};

    assert_non_null(at);
    size_t before = (size_t)(at - script->text.ptr);
    buf_add(&text, script->text.ptr, before);
    buf_add_str(&text, "{redis.call('GET','t:s'),redis.call('GET','t:u')}");
    buf_add_slice(&text, slice_skip(script->text, before + sizeof(look) - 1));
    redisReply *reply = redis_fixture_do(client, "SCRIPT LOAD %b", text.ptr, text.len);
    (void)snprintf(out_sha1, 41, "%s", reply->str);
    freeReplyObject(reply);
    buf_release(&text);
}

void one_load(redisContext *client) {
    /* Both stores keep their hashes in the order in which they were written. */
    freeReplyObject(redis_fixture_do(client, "CONFIG SET hash-max-listpack-entries 4096 "
                                             "hash-max-listpack-value 4096"));
    load(client, &redis_script_apply, sha1_one[0]);
    load(client, &redis_script_apply_cluster, sha1_one[1]);
    load(client, &redis_script_open, sha1_open);
    load(client, &redis_script_cluster_lane, sha1_lane);
}

/* ---- words ---- */

static const char *lane_key(const struct one_store *store, const char *what, char *out) {
    struct buf key = {0};

    redis_lane_key(&key, &store->layout, 0, what);
    (void)snprintf(out, WORD, "%.*s", (int)key.len, key.ptr);
    buf_release(&key);
    return out;
}

static const char *meaning(const struct one_store *store, const char *word, char *out) {

    if (strcmp(word, "M") == 0 || (strcmp(word, "K") == 0 && store->cluster))
        return lane_key(store, "m", out);
    if (strcmp(word, "K") == 0)
        return "hgp:meta";
    if (strcmp(word, "W") == 0)
        return lane_key(store, "w", out);
    if (strcmp(word, "OUT") == 0)
        return lane_key(store, "o", out);
    if (word[0] == '@')
        (void)snprintf(out, WORD, "%lld", ONE_T0 + strtoll(word + 1, NULL, 10));
    else if (word[0] == 'P' && word[1] >= '0' && word[1] <= '9')
        (void)snprintf(out, WORD, "p:%016d%016lld", 0, strtoll(word + 1, NULL, 10));
    else if (word[0] == 'S' && word[1] >= '0' && word[1] <= '9')
        (void)snprintf(out, WORD, "%016d%016lld%s", 0, strtoll(word + 1, NULL, 10),
                       word + strcspn(word, ":"));
    else
        return word;
    return out;
}

/* '~' is a blank inside of a word. */
static size_t split(const struct one_store *store, const char *words, char out[][WORD]) {
    size_t count = 0;
    size_t used = 0;

    while (*words) {
        int len = (int)strcspn(words, " ~");
        char word[WORD];
        char room[WORD];

        assert_true(count < WORDS_MAX && len < WORD);
        (void)snprintf(word, sizeof(word), "%.*s", len, words);
        used += (size_t)snprintf(out[count] + used, WORD - used, "%s%s", meaning(store, word, room),
                                 words[len] == '~' ? " " : "");
        assert_true(used < WORD);
        if (words[len] != '~') {
            count++;
            used = 0;
        }
        words += len + (words[len] != '\0');
    }
    return count;
}

/* Bytes that aren't text as "\\x91"; strings of an array, at any depth, with '|' between them. */
static void add_text(struct buf *out, const redisReply *reply) {
    if (reply->type == REDIS_REPLY_INTEGER)
        buf_add_i64(out, reply->integer);
    for (size_t i = 0; reply->type != REDIS_REPLY_ARRAY && reply->str && i < reply->len; i++) {
        unsigned char byte = (unsigned char)reply->str[i];
        char hex[8];

        (void)snprintf(hex, sizeof(hex), "\\x%02x", byte);
        if (byte < ' ' || byte > '~')
            buf_add_str(out, hex);
        else
            buf_add_char(out, reply->str[i]);
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        if (i)
            buf_add_char(out, '|');
        add_text(out, reply->element[i]);
    }
}

static const char *text_of(const redisReply *reply) {
    static char out[4096];
    struct buf text = {0};

    add_text(&text, reply);
    assert_true(!buf_failed(&text) && text.len < sizeof(out));
    (void)snprintf(out, sizeof(out), "%.*s", (int)text.len, text.len ? text.ptr : "");
    buf_release(&text);
    return out;
}

const char *one_words(struct one_store *store, const char *words) {
    static char out[WORDS_MAX * WORD];
    char args[WORDS_MAX + 1][WORD] = {0};
    size_t count = split(store, words, args);
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%s", i ? " " : "", args[i]);
    return out;
}

/* A counter is a string, or a field of one of the lane's hashes: "COUNT id [value]", "SPOIL id",
 * "BREAK id". */
static redisReply *do_counter(const struct one_store *store, char words[][WORD], size_t count) {
    struct buf home = {0};
    redisReply *reply;

    if (!store->cluster && words[0][0] != 'C')
        return redis_fixture_do(store->client, "LPUSH counter:%s:like x", words[1]);
    if (!store->cluster && count > 2)
        return redis_fixture_do(store->client, "SET counter:%s:like %s", words[1], words[2]);
    if (!store->cluster)
        return redis_fixture_do(store->client, "GET counter:%s:like", words[1]);
    (void)snprintf(words[3], WORD, "%.80s:like", words[1]);
    redis_counter_home(&home, &store->layout, 0, slice_str(words[3]));
    buf_add_char(&home, '\0');
    if (words[0][0] == 'B')
        reply = redis_fixture_do(store->client, "SET %s x", home.ptr);
    else if (words[0][0] == 'S' || count > 2)
        reply = redis_fixture_do(store->client, "HSET %s %s %s", home.ptr, words[3],
                                 count > 2 ? words[2] : "x");
    else
        reply = redis_fixture_do(store->client, "HGET %s %s", home.ptr, words[3]);
    buf_release(&home);
    return reply;
}

const char *one_do(struct one_store *store, const char *words) {
    char args[WORDS_MAX + 1][WORD] = {0};
    const char *argv[WORDS_MAX + 1];
    size_t count = split(store, words, args);
    redisReply *reply;

    for (size_t i = 0; i < count; i++)
        argv[i] = args[i];
    if (strcmp(args[0], "COUNT") == 0 || strcmp(args[0], "SPOIL") == 0 ||
        strcmp(args[0], "BREAK") == 0)
        reply = do_counter(store, args, count);
    else
        reply = redisCommandArgv(store->client, (int)count, argv, NULL);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", words, reply->str);
    const char *text = text_of(reply);
    freeReplyObject(reply);
    return text;
}

/* ---- a store ---- */

void one_set_time(struct one_store *store, int64_t wall_ms) {
    store->wall_ms = wall_ms;
    freeReplyObject(redis_fixture_do(store->client, "MSET t:s %lld t:u %lld",
                                     (long long)(wall_ms / 1000),
                                     (long long)(wall_ms % 1000 * 1000)));
}

void one_open(struct one_store *store, const struct redis_fixture *server, int db, bool cluster) {
    *store = (struct one_store){.client = redis_fixture_connect(server),
                                .cluster = cluster,
                                .epochs = {1},
                                .layout = {.lanes = 1,
                                           .store_id = ONE_STORE_ID,
                                           .seed = {1, 2},
                                           .key_ttl_ms = 60000,
                                           .outbox_max_bytes = 1000,
                                           .coalesce = true}};
    store->layout.epochs = store->epochs;
    freeReplyObject(redis_fixture_do(store->client, "SELECT %d", db));
    freeReplyObject(redis_fixture_do(store->client, "FLUSHDB"));
    one_set_time(store, ONE_T0);
    if (cluster) {
        char key[WORD];

        assert_true(redis_tags_make(1, store->tags));
        store->layout.tags = store->tags;
        freeReplyObject(redis_fixture_do(store->client,
                                         "EVALSHA %s 1 %s 0123456789abcdef 0 60000 1", sha1_lane,
                                         lane_key(store, "m", key)));
        return;
    }
    freeReplyObject(redis_fixture_do(
        store->client, "EVALSHA %s 0 1 4 0123456789abcdef %032d 60000 1", sha1_open, 0));
}

void one_release(struct one_store *store) {
    redis_plan_release(&store->plan);
    buf_release(&store->command);
    redisFree(store->client);
}

/* As planned. */
static redisReply *call_script(struct one_store *store, const struct message *message) {
    const struct redis_script *script =
        store->cluster ? &redis_script_apply_cluster : &redis_script_apply;

    buf_clear(&store->command);
    if (store->cluster)
        redis_plan_part_command(&store->plan, &store->layout, message, 0, &store->command);
    else
        redis_plan_command(&store->plan, &store->layout, message, &store->command);
    char *at = memmem(store->command.ptr, store->command.len, script->sha1, 40);
    assert_non_null(at);
    memcpy(at, sha1_one[store->cluster], 40);
    return redis_fixture_ask(store->client, buf_slice(&store->command));
}

redisReply *one_call(struct one_store *store, const struct message *message,
                     const char **out_error) {
    assert_int_equal(redis_plan_make(&store->plan, &store->layout, message), ERR_OK);
    redisReply *reply = call_script(store, message);

    if (reply->type != REDIS_REPLY_ERROR)
        return reply;
    *out_error = text_of(reply);
    freeReplyObject(reply);
    return NULL;
}

const char *one_send(struct one_store *store, const struct one_increment *increment,
                     enum one_way way) {
    struct op ops[OPS_MAX] = {0}; /* those before it are no operations, and nobody's part */
    struct message message = {.producer = {0, increment->producer},
                              .number = increment->number,
                              .issued_ms = increment->issued_ms,
                              .ops = ops,
                              .count = increment->index + 1};

    assert_true(increment->index < OPS_MAX);
    ops[increment->index] =
        (struct op){OP_ADD, increment->delta, slice_str(increment->id), SLICE("like"), {NULL, 0}};
    assert_int_equal(redis_plan_make(&store->plan, &store->layout, &message), ERR_OK);
    assert_int_equal(store->plan.items_count, 1);
    /* As if of several operations: the long way. The index is still one. */
    if (way == ONE_LONG)
        store->plan.items[0].count = 2;
    redisReply *reply = call_script(store, &message);
    const char *text = text_of(reply);
    freeReplyObject(reply);
    return text;
}

/* ---- all that is stored ---- */

static int by_text(const void *a, const void *b) {
    return strcmp((*(redisReply *const *)a)->str, (*(redisReply *const *)b)->str);
}

void one_dump(struct one_store *store, struct buf *out) {
    redisReply *keys = redis_fixture_do(store->client, "KEYS *");

    qsort(keys->element, keys->elements, sizeof(*keys->element), by_text);
    for (size_t i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];
        redisReply *type = redis_fixture_do(store->client, "TYPE %b", key->str, key->len);
        redisReply *left = redis_fixture_do(store->client, "PTTL %b", key->str, key->len);
        redisReply *value = redis_fixture_do(store->client, "DUMP %b", key->str, key->len);

        buf_add(out, key->str, key->len);
        buf_add_char(out, ' ');
        buf_add_str(out, type->str);
        buf_add_char(out, ' ');
        buf_add_char(out, left->integer < 0 ? '-' : '+');
        buf_add_char(out, ' ');
        buf_add(out, value->str, value->len);
        freeReplyObject(type);
        freeReplyObject(left);
        freeReplyObject(value);
    }
    freeReplyObject(keys);
    assert_false(buf_failed(out));
}
