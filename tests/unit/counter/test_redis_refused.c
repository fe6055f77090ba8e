/* test_redis_refused.c - which servers are counted in, and what is promised with them. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "counter/redis_internal.h"
#include "redis_world.h"

/* ---- what isn't ours to count in ---- */

static void test_lanes_differ(void **state) {
    (void)state;
    struct world w;
    const char *detail;

    world_open(&w, NULL);
    w.conf.lanes = 3;
    world_make_fleet(&w);
    assert_int_equal(world_probe(&w, NULL), ERR_OK);
    uint64_t id = redis_fleet_store_id(w.fleet);
    redis_fleet_free(w.fleet);
    w.conf.lanes = 4;
    world_make_fleet(&w);
    assert_int_equal(world_probe(&w, &detail), ERR_LAYOUT);
    assert_non_null(strstr(detail, "made with 3, the configuration asks for 4"));
    redis_fleet_free(w.fleet);
    w.conf.lanes = 0; /* what is there */
    world_make_fleet(&w);
    assert_int_equal(world_probe(&w, NULL), ERR_OK);
    assert_true(redis_fleet_store_id(w.fleet) == id);
    world_close(&w);
}

static void test_newer_and_damaged(void **state) {
    (void)state;
    static const struct {
        const char *command;
        enum err err;
        const char *says;
    } rows[] = {
        {"HSET hgp:meta format 2", ERR_NEWER, "format 2; this program reads up to 1"},
        {"HSET hgp:meta id xyz", ERR_CORRUPT, "damaged"},
        {"HSET hgp:meta lanes 99999", ERR_CORRUPT, "hgp:{4}:m"},
        {"DEL hgp:{2}:m", ERR_CORRUPT, "hgp:{2}:m is missing"},
        {"HDEL hgp:meta format", ERR_CORRUPT, "lost its fields"},
        {"DEL hgp:meta", ERR_CORRUPT, "lost its fields"},
        {"HSET hgp:{1}:m epoch halted", ERR_CORRUPT, "damaged"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        const char *detail;

        world_open(&w, NULL);
        redisContext *client = redis_fixture_connect(&w.server);
        world_make_fleet(&w);
        assert_int_equal(world_probe(&w, NULL), ERR_OK);
        redis_fleet_free(w.fleet);
        freeReplyObject(redis_fixture_do(client, rows[i].command));
        world_make_fleet(&w);
        enum err err = world_probe(&w, &detail);
        if (err != rows[i].err || !strstr(detail, rows[i].says))
            fail_msg("%s: %s, %s", rows[i].command, err_name(err), detail);
        redisFree(client);
        world_close(&w);
    }
}

/* A store that is emptied under us isn't laid out again behind our back. */
static void test_emptied(void **state) {
    (void)state;
    struct world w;
    struct op op = world_add_op("a", 1);

    world_open(&w, NULL);
    redisContext *client = redis_fixture_connect(&w.server);
    world_start(&w);
    w.pending = 10;
    world_run(&w, 10);
    freeReplyObject(redis_fixture_do(client, "FLUSHALL"));
    world_ask(&w, &op);
    world_run(&w, 1);
    assert_int_equal(w.ones[10].answer.err, ERR_LAYOUT);
    for (size_t i = 11; i < 14; i++) { /* neither connection, nor one made again */
        world_ask_until(&w, &op, loop_now_ms(w.loop) + 300);
        world_run(&w, 1);
        assert_int_not_equal(w.ones[i].answer.err, ERR_OK);
    }
    assert_int_equal(err_http(w.ones[13].answer.err), 504);
    redisReply *reply = redis_fixture_do(client, "DBSIZE");
    assert_int_equal(reply->integer, 0);
    freeReplyObject(reply);
    redisFree(client);
    world_close(&w);
}

static void test_durability(void **state) {
    (void)state;
    static const char *const everysec[] = {"--appendonly", "yes", NULL};
    static const char *const evicts[] = {"--appendonly",
                                         "yes",
                                         "--appendfsync",
                                         "always",
                                         "--aof-load-truncated",
                                         "no",
                                         "--maxmemory",
                                         "100mb",
                                         "--maxmemory-policy",
                                         "allkeys-lru",
                                         NULL};
    static const char *const cuts[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    static const struct {
        const char *name;
        const char *const *options;
        bool strict;
        enum err err;
        const char *says; /* guarantee, or the refusal */
    } rows[] = {
        {"always", world_always, true, ERR_OK, "a power loss of its machine"},
        {"cuts a torn AOF", cuts, true, ERR_INVALID, "unless aof-load-truncated is no"},
        {"cuts a torn AOF, not strict", cuts, false, ERR_OK, "unless aof-load-truncated is no"},
        {"everysec", everysec, true, ERR_INVALID, "up to 1 second"},
        {"everysec, not strict", everysec, false, ERR_OK, "up to 1 second"},
        {"memory only", NULL, true, ERR_INVALID, "appendonly is off"},
        {"memory only, not strict", NULL, false, ERR_OK, "appendonly is off"},
        {"evicts", evicts, true, ERR_INVALID, "allkeys-lru"},
        {"evicts, not strict", evicts, false, ERR_OK, "allkeys-lru may delete"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        char guarantee[512] = "";
        char mode[32];
        const char *detail;

        world_open(&w, rows[i].options);
        w.conf.durability = DURABILITY_LOCAL;
        w.conf.strict = rows[i].strict;
        world_make_fleet(&w);
        enum err err = world_probe(&w, &detail);
        redis_fleet_promise(w.fleet, mode, sizeof(mode), guarantee, sizeof(guarantee));
        if (err != rows[i].err || !strstr(err == ERR_OK ? guarantee : detail, rows[i].says))
            fail_msg("%s: %s, \"%s\", \"%s\"", rows[i].name, err_name(err), detail, guarantee);
        world_close(&w);
    }
}

/* A user who may do only what counting takes: INFO and CONFIG are denied. */
static void test_acl(void **state) {
    (void)state;
    static const char *const options[] = {
        "--user",   "svc",          "on",      ">pw",        "~counter:*", "~hgp:*", "-@all",
        "+evalsha", "+script|load", "+time",   "+hget",      "+hset",      "+hmget", "+hgetall",
        "+hdel",    "+hlen",        "+exists", "+xrevrange", "+xrange",    "+xadd",  "+xtrim",
        "+incrby",  "+get",         "+set",    "+pexpireat", NULL};
    struct world w;
    char guarantee[512];
    char mode[32];

    world_open(&w, options);
    (void)snprintf(w.conf.url.user, sizeof(w.conf.url.user), "svc");
    (void)snprintf(w.conf.url.password, sizeof(w.conf.url.password), "pw");
    world_start(&w);
    w.pending = 10;
    world_run(&w, 10);
    world_check_all_ok(&w);
    redis_fleet_promise(w.fleet, mode, sizeof(mode), guarantee, sizeof(guarantee));
    assert_non_null(strstr(guarantee, "our user may not ask"));
    world_close(&w);
}

/* Nothing is laid out in a server that isn't to be used. */
static void test_kinds(void **state) {
    (void)state;
    static const char *const cluster[] = {"--cluster-enabled", "yes", NULL};
    static const char *const replica[] = {"--replicaof", "127.0.0.1", "1", NULL};
    static const struct {
        const char *const *options;
        bool tcp, strict;
        enum err err;
        const char *says;
    } rows[] = {
        {cluster, true, false, ERR_INVALID, "part of a Redis Cluster"},
        {replica, false, false, ERR_UNAVAILABLE, "a replica"},
        {NULL, false, true, ERR_INVALID, "appendonly is off"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        const char *detail;

        world_open_on(&w, rows[i].options, rows[i].tcp);
        w.conf.strict = rows[i].strict;
        w.conf.durability = DURABILITY_LOCAL;
        world_make_fleet(&w);
        enum err err = world_probe(&w, &detail);
        if (err != rows[i].err || !strstr(detail, rows[i].says))
            fail_msg("row %zu: %s, %s", i, err_name(err), detail);
        redisContext *client = redis_fixture_connect(&w.server);
        redisReply *reply = redis_fixture_do(client, "DBSIZE");
        assert_int_equal(reply->integer, 0);
        freeReplyObject(reply);
        redisFree(client);
        world_close(&w);
    }
}

static void test_versions(void **state) {
    (void)state;
    static const struct {
        const char *version;
        enum err err;
    } rows[] = {
        {"5.0.14", ERR_INVALID}, {"6.0.16", ERR_INVALID}, {"6.2.0", ERR_OK},
        {"7.0.15", ERR_OK},      {"255.255.255", ERR_OK}, {"", ERR_OK},
    };
    const struct redis_fleet fleet = {.conf = {.strict = false}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_given given = {.appendonly = true};
        char detail[256] = "";

        (void)snprintf(given.version, sizeof(given.version), "%s", rows[i].version);
        enum err err = redis_fleet_judge(&fleet, &given, detail, sizeof(detail));
        if (err != rows[i].err || (err != ERR_OK && !strstr(detail, rows[i].version)))
            fail_msg("%s: %s, %s", rows[i].version, err_name(err), detail);
    }
}

/* Mode replicated: one that WAIT would not count yet is no replica to count on. */
static void test_replicas(void **state) {
    (void)state;
    static const struct {
        const char *info;
        int replicas, acking;
        enum err err;
    } rows[] = {
        {"", -1, -1, ERR_OK},
        {"connected_slaves:0\r\nmaster_repl_offset:7\r\n", 0, 0, ERR_UNAVAILABLE},
        {"connected_slaves:1\r\nslave0:ip=::1,port=1,state=online,offset=42,lag=1\r\n"
         "master_repl_offset:50\r\n",
         1, 1, ERR_OK},
        {"connected_slaves:1\r\nslave0:ip=::1,port=1,state=online,offset=0,lag=0\r\n"
         "master_repl_offset:50\r\n",
         1, 0, ERR_UNAVAILABLE},
        {"connected_slaves:1\r\nslave0:ip=::1,port=1,state=online,offset=0,lag=0\r\n"
         "master_repl_offset:0\r\n",
         1, 1, ERR_OK},
        {"connected_slaves:1\r\nslave0:ip=::1,port=1,state=online,offset=42,lag=9\r\n"
         "master_repl_offset:50\r\n",
         1, 0, ERR_UNAVAILABLE},
        {"connected_slaves:2\r\nslave0:ip=::1,port=1,state=send_bulk,offset=0,lag=0\r\n"
         "slave1:ip=::1,port=2,state=online,offset=50,lag=0\r\nmaster_repl_offset:50\r\n",
         1, 1, ERR_OK},
    };
    const struct redis_fleet fleet = {.conf = {.durability = DURABILITY_REPLICATED, .replicas = 1}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_given given = {.replicas = -1, .acking = -1};
        char detail[256] = "";

        redis_given_info(&given, slice_str(rows[i].info));
        enum err err = redis_fleet_judge(&fleet, &given, detail, sizeof(detail));
        if (given.replicas != rows[i].replicas || given.acking != rows[i].acking ||
            err != rows[i].err)
            fail_msg("row %zu: %d replicas, %d acknowledge, %s, %s", i, given.replicas,
                     given.acking, err_name(err), detail);
    }
}

int main(void) {
    log_setup(LOG_ERROR, LOG_CONSOLE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_differ), cmocka_unit_test(test_newer_and_damaged),
        cmocka_unit_test(test_emptied),      cmocka_unit_test(test_durability),
        cmocka_unit_test(test_acl),          cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_versions),     cmocka_unit_test(test_replicas),
    };
    struct redis_fixture server;

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    redis_fixture_stop(&server);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
