/* test_redis_one.c - one increment alone: the short way through the script and the long one, on a
 * real Redis, in both layouts.
 *
 * Each rule of a lane is a row, driven to its edge by either way: replies, and what is stored, must
 * be as the row says. Then random histories on two databases, one of which goes the long way alone,
 * the other either way at random: duplicates cross from one to the other. Replies and every key's
 * DUMP must be equal. HGP_ROUNDS asks for more of them, HGP_SEED for one alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../core/core_random.h"
#include "core/message.h"
#include "redis_one.h"
#include "test.h"

#define ROUNDS   40
#define STEPS    60
#define COUNTERS 6

static struct redis_fixture server;

static const char *const way_names[] = {"short", "long"};
static const char *const layout_names[] = {"standalone", "Cluster"};

/* ---- one rule after the other ---- */

/* Times are milliseconds from ONE_T0. The increment is producer 3's, of counter "a". */
static const struct {
    const char *name;
    const char *before[3];
    int64_t wall, issued;
    uint64_t number;
    int64_t delta;
    const char *want; /* the reply without its clock; an error */
    const char *meta; /* seq, event time, bytes, producer 3; NULL: nothing changes but the clock */
} rows[] = {
    /* clang-format off */
    {"new", {0}, 0, 0, 1, 7, "N2c 1 @0 \\x91\\x07", "1 @0 78 1 @0"},
    {"time goes on", {0}, 5, 0, 1, 7, "N2c 1 @5 \\x91\\x07", "1 @5 78 1 @5"},
    {"negative", {0}, 0, 0, 1, -7, "N2c 1 @0 \\x91\\xf9", "1 @0 80 1 @0"},

    /* the lane */
    {"no meta", {"DEL M"}, 0, 0, 1, 7, "HGPEPOCH M has epoch none", NULL},
    {"another epoch", {"HSET M epoch 2"}, 0, 0, 1, 7, "HGPEPOCH M has epoch 2", NULL},
    {"halted", {"HSET M epoch halted"}, 0, 0, 1, 7, "HGPEPOCH M has epoch halted", NULL},
    {"another store", {"HSET M store 0123456789abcdee"}, 0, 0, 1, 7,
     "HGPEPOCH M is of store 0123456789abcdee", NULL},
    {"no sequence", {"HDEL M seq"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"a sequence that is none", {"HSET M seq x"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"no chain", {"HDEL M chain"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"no event time", {"HDEL M et"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"an event time that is none", {"HSET M et x"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"no forgotten", {"HDEL M forgotten"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"no bytes", {"HDEL M bytes"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"a producer that is none", {"HSET M P3 x"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"a producer without activity", {"HSET M P3 5"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"more than a producer", {"HSET M P3 5~@0~1"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"no producer in front", {"HSET M P3 -5~@0"}, 0, 0, 1, 7, "HGPDAMAGED M", NULL},
    {"windows aren't a hash", {"SET W x"}, 0, 0, 1, 7, "HGPDAMAGED W", NULL},
    {"the outbox isn't a stream", {"SET OUT x"}, 0, 0, 1, 7, "HGPDAMAGED OUT", NULL},
    {"an entry behind the sequence", {"XADD OUT 1-1 a b"}, 0, 0, 1, 7, "HGPDAMAGED OUT", NULL},
    {"an entry of a later epoch", {"XADD OUT 2-0 a b"}, 0, 0, 1, 7, "HGPDAMAGED OUT", NULL},
    {"an entry at the sequence", {"XADD OUT 1-5 a b", "HSET M seq 5"}, 0, 0, 1, 7,
     "N2c 1 @0 \\x91\\x07", "6 @0 78 1 @0"},

    /* the window */
    {"the first behind the window", {"HSET M P3 100~@0"}, 0, 0, 36, 7, "O", NULL},
    {"the last in the window", {"HSET M P3 100~@0"}, 0, 0, 37, 7, "N2c 1 @0 \\x91\\x07",
     "1 @0 78 100 @0"},
    {"behind the window, though it is in its slot",
     {"HSET M P3 100~@0", "HSET W S3:36 36~1c~1~5~77"}, 0, 0, 36, 7, "O", NULL},
    {"the highest again, unknown", {"HSET M P3 100~@0"}, 0, 0, 100, 7, "N2c 1 @0 \\x91\\x07",
     "1 @0 78 100 @0"},
    {"far ahead", {"HSET M P3 100~@0"}, 0, 0, 1000, 7, "N2c 1 @0 \\x91\\x07",
     "1 @0 78 1000 @0"},
    {"known", {"HSET M P3 100~@0", "HSET W S3:36 100~1c~1~5~77"}, 0, 0, 100, 7, "R1c 1 5 77",
     NULL},
    {"another in its slot", {"HSET M P3 64~@0", "HSET W S3:1 1~1c~1~5~77"}, 0, 0, 65, 7,
     "N2c 1 @0 \\x91\\x07", "1 @0 78 65 @0"},
    {"another's slot", {"HSET W S4:1 1~1c~1~5~77"}, 0, 0, 1, 7, "N2c 1 @0 \\x91\\x07",
     "1 @0 78 1 @0"},

    /* age, by the store's clock */
    {"just young enough", {0}, 0, -60000, 1, 7, "N2c 1 @0 \\x91\\x07", "1 @0 78 1 @0"},
    {"too old", {0}, 0, -60001, 1, 7, "O", NULL},
    {"just not ahead", {0}, 0, 300000, 1, 7, "N2c 1 @0 \\x91\\x07", "1 @0 78 1 @300000"},
    {"ahead", {0}, 0, 300001, 1, 7, "O", NULL},
    {"young by the clock that doesn't go back", {"HSET K clock @400000"}, 0, 400000, 1, 7,
     "N2c 1 @0 \\x91\\x07", "1 @0 78 1 @400000"},
    {"old by it", {"HSET K clock @60001"}, 0, 0, 1, 7, "O", NULL},
    {"old by the wall", {0}, 60001, 0, 1, 7, "O", NULL},
    {"no clock yet", {"HDEL K clock"}, 0, 0, 1, 7, "N2c 1 @0 \\x91\\x07", "1 @0 78 1 @0"},
    {"known, however old", {"HSET M P3 1~@0", "HSET W S3:1 1~1c~1~5~77"}, 0, -60001, 1, 7,
     "R1c 1 5 77", NULL},
    {"of what is forgotten", {"HSET M forgotten @-10"}, 0, -10, 1, 7, "O", NULL},
    {"behind what is forgotten", {"HSET M forgotten @-10"}, 0, -9, 1, 7, "N2c 1 @0 \\x91\\x07",
     "1 @0 78 1 @0"},
    {"known, though others are forgotten",
     {"HSET M P3 1~@0 forgotten @0", "HSET W S3:1 1~1c~1~5~77"}, 0, 0, 1, 7, "R1c 1 5 77", NULL},

    /* the outbox, of 1000 bytes at most */
    {"full", {"HSET M bytes 1000 consumers 1"}, 0, 0, 1, 7, "F", NULL},
    {"just not full", {"HSET M bytes 999 consumers 1"}, 0, 0, 1, 7, "N2c 1 @0 \\x91\\x07",
     "1 @0 1077 1 @0"},
    {"full, and nobody waits", {"HSET M bytes 1000 consumers 0"}, 0, 0, 1, 7,
     "N2c 1 @0 \\x91\\x07", "1 @0 1078 1 @0"},
    {"full, and nobody ever waited", {"HSET M bytes 1000"}, 0, 0, 1, 7, "N2c 1 @0 \\x91\\x07",
     "1 @0 1078 1 @0"},
    {"known, though full", {"HSET M P3 1~@0 bytes 1000 consumers 1", "HSET W S3:1 1~1c~1~5~77"}, 0,
     0, 1, 7, "R1c 1 5 77", NULL},
    {"too old, and full", {"HSET M bytes 1000 consumers 1"}, 0, -60001, 1, 7, "O", NULL},
    {"forgotten, and full", {"HSET M bytes 1000 consumers 1 forgotten @0"}, 0, 0, 1, 7, "O", NULL},

    /* times and numbers that only rise */
    {"event time doesn't go back", {"HSET M et @9"}, 5, 0, 1, 7, "N2c 1 @9 \\x91\\x07",
     "1 @9 78 1 @5"},
    {"activity is the latest", {"HSET M P3 1~@70"}, 5, 6, 2, 7, "N2c 1 @5 \\x91\\x07",
     "1 @5 78 2 @70"},
    {"activity is the message's", {"HSET M P3 1~@3"}, 5, 6, 2, 7, "N2c 1 @5 \\x91\\x07",
     "1 @5 78 2 @6"},

    /* what is exact in a double, and beyond */
    {"the last exact", {"COUNT a 9007199254740984"}, 0, 0, 1, 7,
     "N2c 1 @0 \\x91\\xcf\\x00\\x1f\\xff\\xff\\xff\\xff\\xff\\xff", "1 @0 93 1 @0"},
    {"the first that isn't", {"COUNT a 9007199254740985"}, 0, 0, 1, 7,
     "N1c 1 @0 9007199254740992", "1 @0 93 1 @0"},
    {"odd beyond", {"COUNT a 9007199254740986"}, 0, 0, 1, 7, "N1c 1 @0 9007199254740993",
     "1 @0 93 1 @0"},
    {"the last exact below", {"COUNT a -9007199254740984"}, 0, 0, 1, -7,
     "N2c 1 @0 \\x91\\xd3\\xff\\xe0\\x00\\x00\\x00\\x00\\x00\\x01", "1 @0 95 1 @0"},
    {"the first below that isn't", {"COUNT a -9007199254740985"}, 0, 0, 1, -7,
     "N1c 1 @0 -9007199254740992", "1 @0 95 1 @0"},
    {"the end", {"COUNT a 9223372036854775800"}, 0, 0, 1, 7, "N1c 1 @0 9223372036854775807",
     "1 @0 96 1 @0"},
    {"past the end", {"COUNT a 9223372036854775801"}, 0, 0, 1, 7,
     "N1c 1 @0 !9223372036854775801", "0 @0 0 1 @0"},
    {"past the end below", {"COUNT a -9223372036854775802"}, 0, 0, 1, -7,
     "N1c 1 @0 !-9223372036854775802", "0 @0 0 1 @0"},
    {"no integer", {"COUNT a x"}, 0, 0, 1, 7, "N1c 1 @0 ?", "0 @0 0 1 @0"},
    {"no counter", {"SPOIL a"}, 0, 0, 1, 7, "N1c 1 @0 ?", "0 @0 0 1 @0"},
    {"zero", {"COUNT a -7"}, 0, 0, 1, 7, "N2c 1 @0 \\x91\\x00", "1 @0 78 1 @0"},
    /* clang-format on */
};

static void compare_rule(size_t i, const char *what, bool cluster, enum one_way way,
                         const char *got, const char *want) {
    if (strcmp(got, want) != 0)
        fail_msg("%s (%s, %s way): %s is \"%s\", want \"%s\"", rows[i].name, layout_names[cluster],
                 way_names[way], what, got, want);
}

/* The reply's clock never goes back, and is stored with whatever else is. */
static void run_rule(size_t i, bool cluster, enum one_way way) {
    const struct one_increment increment = {.producer = 3,
                                            .number = rows[i].number,
                                            .issued_ms = ONE_T0 + rows[i].issued,
                                            .id = "a",
                                            .delta = rows[i].delta};
    bool refuses = strncmp(rows[i].want, "HGP", 3) == 0;
    struct buf before = {0};
    struct buf after = {0};
    struct one_store store;
    char want[256];
    char got[256];

    one_open(&store, &server, 0, cluster);
    for (size_t j = 0; j < 3 && rows[i].before[j]; j++)
        (void)one_do(&store, rows[i].before[j]);
    one_set_time(&store, ONE_T0 + rows[i].wall);
    int64_t clock = refuses ? 0 : strtoll(one_do(&store, "HGET K clock"), NULL, 10);
    if (clock < store.wall_ms)
        clock = store.wall_ms;
    one_dump(&store, &before);
    (void)snprintf(want, sizeof(want), "%s", one_words(&store, rows[i].want));
    if (!refuses)
        (void)snprintf(want, sizeof(want), "%" PRId64 "|%s|", clock,
                       one_words(&store, rows[i].want));
    compare_rule(i, "the reply", cluster, way, one_send(&store, &increment, way), want);
    if (rows[i].meta) {
        (void)snprintf(got, sizeof(got), "%s", one_do(&store, "HMGET M seq et bytes P3"));
        for (char *bar = got; (bar = strchr(bar, '|'));)
            *bar = ' ';
        compare_rule(i, "the lane", cluster, way, got, one_words(&store, rows[i].meta));
        (void)snprintf(want, sizeof(want), "%" PRId64, clock);
        compare_rule(i, "the clock", cluster, way, one_do(&store, "HGET K clock"), want);
    } else {
        one_dump(&store, &after);
        compare_rule(i, "what is stored", cluster, way,
                     slice_eq(buf_slice(&before), buf_slice(&after)) ? "same" : "changed", "same");
    }
    buf_release(&before);
    buf_release(&after);
    one_release(&store);
}

static void test_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int cluster = 0; cluster < 2; cluster++) {
            run_rule(i, cluster, ONE_SHORT);
            run_rule(i, cluster, ONE_LONG);
        }
    }
}

/* On a Cluster the clock is in it, which is looked at first. */
static void test_meta_is_no_hash(void **state) {
    (void)state;
    const struct one_increment increment = {
        .producer = 3, .number = 1, .issued_ms = ONE_T0, .id = "a", .delta = 7};

    for (enum one_way way = ONE_SHORT; way <= ONE_LONG; way++) {
        struct one_store store;

        one_open(&store, &server, 0, false);
        (void)one_do(&store, "SET M x");
        assert_string_equal(one_send(&store, &increment, way), one_words(&store, "HGPDAMAGED M"));
        assert_string_equal(one_do(&store, "COUNT a"), "");
        one_release(&store);
    }
}

/* Whoever is known, or finds the outbox full, writes the clock all the same (RELIABILITY 3.4). */
static void test_all_touch(void **state) {
    (void)state;
    static const char *const before[] = {"HSET W S3:1 1~1c~1~5~77", "HSET M bytes 1000 consumers 1",
                                         "HSET M forgotten @5"};
    const struct one_increment increment = {
        .producer = 3, .number = 1, .issued_ms = ONE_T0, .id = "a", .delta = 7};

    for (int i = 0; i < 3 * 4; i++) {
        struct one_store store;

        one_open(&store, &server, 0, i & 1);
        (void)one_do(&store, before[i / 4]);
        one_set_time(&store, ONE_T0 + 5);
        (void)one_send(&store, &increment, i & 2 ? ONE_SHORT : ONE_LONG);
        assert_string_equal(one_do(&store, "HGET K clock"), "4000000000005");
        assert_string_equal(one_do(&store, "HGET M seq"), "0");
        one_release(&store);
    }
}

/* Two increments, the first one behind two operations that are none. */
static void test_what_is_stored(void **state) {
    (void)state;
    static const struct one_increment first = {
        .producer = 3, .number = 1, .issued_ms = ONE_T0, .id = "100%", .delta = 7, .index = 2};
    static const struct one_increment second = {
        .producer = 3, .number = 2, .issued_ms = ONE_T0, .id = "100%", .delta = -3};

    for (int i = 0; i < 4; i++) {
        struct one_store store;
        enum one_way way = i & 2 ? ONE_SHORT : ONE_LONG;

        one_open(&store, &server, 0, i & 1);
        store.layout.coalesce = false;
        assert_string_equal(one_send(&store, &first, way),
                            "4000000000000|N2s 1 4000000000000 \\x91\\x07|");
        one_set_time(&store, ONE_T0 + 1);
        (void)one_do(&store, "HSET M et @9"); /* it doesn't go back */
        assert_string_equal(one_send(&store, &second, way),
                            "4000000000001|N2s 1 4000000000009 \\x91\\x04|");
        assert_string_equal(one_do(&store, "COUNT 100%"), "4");
        assert_string_equal(one_do(&store, "HMGET M epoch seq chain et bytes P3"),
                            "1|2|160b919e3892a499|4000000000009|163|2 4000000000001");
        assert_string_equal(one_do(&store, "HGETALL W"),
                            "00000000000000000000000000000003:1|1 2s 1 4000000000000 \\x91\\x07|"
                            "00000000000000000000000000000003:2|2 2s 1 4000000000009 \\x91\\x04");
        assert_string_equal(
            one_do(&store, "XRANGE OUT - +"),
            "1-1|t|4000000000000|c|bf7e2bdeb2b00220|p|00000000000000000000000000000003|n|1|s|1|e|"
            "a7 7 2 100%:like\\x00|"
            "1-2|t|4000000000009|c|160b919e3892a499|p|00000000000000000000000000000003|n|2|s|1|e|"
            "a-3 4 0 100%:like\\x00");
        one_release(&store);
    }
}

/* A stream that has been further, though nothing is left of it: increments stand without their
 * event. */
static void test_halts(void **state) {
    (void)state;
    const struct one_increment increment = {
        .producer = 3, .number = 1, .issued_ms = ONE_T0, .id = "a", .delta = 7};

    for (int i = 0; i < 4; i++) {
        struct one_store store;
        enum one_way way = i & 2 ? ONE_SHORT : ONE_LONG;
        char want[128];

        one_open(&store, &server, 0, i & 1);
        (void)one_do(&store, "XADD OUT 1-9 a b");
        (void)one_do(&store, "XDEL OUT 1-9");
        (void)snprintf(want, sizeof(want), "%s: ERR", one_words(&store, "HGPHALTED OUT"));
        assert_memory_equal(one_send(&store, &increment, way), want, strlen(want));
        assert_string_equal(one_do(&store, "COUNT a"), "7");
        assert_memory_equal(one_do(&store, "HGET M halted"), "ERR", 3);
        assert_string_equal(one_send(&store, &increment, way),
                            one_words(&store, "HGPEPOCH M has epoch halted"));
        assert_string_equal(one_do(&store, "COUNT a"), "7");
        one_release(&store);
    }
}

/* The short way ends nothing twice: an increment past what is exact is not made again behind it,
 * nor the first write. */
static void test_writes_once(void **state) {
    (void)state;
    const struct one_increment increment = {
        .producer = 3, .number = 1, .issued_ms = ONE_T0, .id = "a", .delta = 7};

    for (int i = 0; i < 4; i++) {
        struct one_store store;

        one_open(&store, &server, 0, false);
        (void)one_do(&store, i & 1 ? "COUNT a 9007199254740993" : "COUNT a 5");
        freeReplyObject(redis_fixture_do(store.client, "CONFIG RESETSTAT"));
        (void)one_send(&store, &increment, i & 2 ? ONE_SHORT : ONE_LONG);
        const char *stat = one_do(&store, "INFO commandstats");
        assert_non_null(strstr(stat, "cmdstat_hset:calls=3,")); /* clock, windows, meta */
        assert_non_null(strstr(stat, "cmdstat_incrby:calls=1,"));
        assert_non_null(strstr(stat, i == 3 ? "cmdstat_hmget:calls=2," : "cmdstat_hmget:calls=1,"));
        assert_non_null(strstr(stat, "cmdstat_xadd:calls=1,"));
        one_release(&store);
    }
}

/* ---- either way, and the long one alone ---- */

struct history {
    uint64_t seed, random;
    struct one_store stores[2];
    enum one_way way; /* of the first store, at this step */
    uint64_t highest[2];
    int64_t wall_ms;
    struct one_increment sent[STEPS];
    enum one_way sent_by[STEPS];
    int count;
};

/* Of all histories: what they have met. */
static struct {
    size_t applied, refused, past, full, old, crossed[2]; /* by the way of the duplicate */
} met;

static int64_t pick(uint64_t *random, const int64_t *from, size_t count) {
    return from[random_roll(random, count)];
}

static void both_do(struct history *h, const char *format, ...) {
    char words[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    for (int i = 0; i < 2; i++)
        (void)one_do(&h->stores[i], words);
}

/* Around each edge there is. */
static int64_t pick_value(uint64_t *random) {
    static const int64_t edges[] = {INT64_MAX,
                                    INT64_MIN,
                                    INT64_MAX - 1,
                                    INT64_MIN + 1,
                                    1ll << 53,
                                    -(1ll << 53),
                                    (1ll << 53) - 1,
                                    1 - (1ll << 53),
                                    1ll << 32,
                                    65536,
                                    128,
                                    0,
                                    -32,
                                    -33};
    int64_t near = (int64_t)random_roll(random, 5) - 2;
    int64_t value = pick(random, edges, sizeof(edges) / sizeof(edges[0]));

    return __builtin_add_overflow(value, near, &value) ? INT64_MAX : value;
}

static int64_t pick_delta(uint64_t *random) {
    int64_t delta =
        random_chance(random, 20) ? pick_value(random) : (int64_t)random_roll(random, 9) - 4;

    return delta ? delta : 1;
}

/* What others do to the store, or what befalls it: to both. */
static void disturb(struct history *h) {
    static const int64_t edges[] = {-60001, -60000, -1, 0, 1, 59000};
    uint64_t id = random_roll(&h->random, COUNTERS);
    int64_t edge_ms = h->wall_ms - ONE_T0 + pick(&h->random, edges, 6);

    switch (random_roll(&h->random, 12)) {
    case 0:
        both_do(h, "COUNT c%d %" PRId64, (int)id, pick_value(&h->random));
        break;
    case 1:
        both_do(h, "COUNT c%d %s", (int)id, random_chance(&h->random, 50) ? "x" : "01");
        break;
    case 2:
        both_do(h, "HSET M forgotten @%" PRId64, h->wall_ms - ONE_T0 - 3);
        break;
    case 3:
        both_do(h, "HSET M consumers %d", (int)random_roll(&h->random, 2));
        break;
    case 4:
        both_do(h, "HSET M bytes %d", 999 + (int)random_roll(&h->random, 3));
        break;
    case 5:
        both_do(h, "HSET M bytes 0");
        break;
    case 6:
        both_do(h, "HSET M et @%" PRId64,
                h->wall_ms - ONE_T0 + (int64_t)random_roll(&h->random, 9));
        break;
    case 7:
        both_do(h, "XTRIM OUT MAXLEN 3");
        break;
    case 8:
        both_do(h, "HSET K clock @%" PRId64, edge_ms);
        break;
    case 9: /* another instance has opened the lane, or not */
        for (int i = 0; i < 2; i++)
            h->stores[i].epochs[0] = random_chance(&h->random, 90) ? 1 : 2;
        h->stores[1].epochs[0] = h->stores[0].epochs[0];
        break;
    case 10: /* a producer is forgotten */
        both_do(h, "HDEL M P%d", 1 + (int)random_roll(&h->random, 2));
        break;
    default:
        for (int i = 0; i < 2; i++)
            h->stores[i].layout.coalesce =
                i ? h->stores[0].layout.coalesce : !h->stores[0].layout.coalesce;
    }
}

static struct one_increment make_increment(struct history *h) {
    static const int64_t edges[] = {-60001, -60000, -59999, 300000, 300001};
    static const char *const ids[COUNTERS] = {"c0", "c1", "c2", "c3", "c4", "c5"};
    uint64_t producer = random_roll(&h->random, 2);
    uint64_t *highest = &h->highest[producer];
    uint64_t number = *highest + 1;

    if (random_chance(&h->random, 15)) /* a gap, to be filled or not */
        number += random_roll(&h->random, 70);
    else if (random_chance(&h->random, 25)) /* about the window's end, or in it */
        number = *highest > 70
                     ? *highest - (random_chance(&h->random, 50) ? 62 + random_roll(&h->random, 4)
                                                                 : random_roll(&h->random, 64))
                     : number;
    if (number > *highest)
        *highest = number;
    return (struct one_increment){
        .producer = 1 + producer,
        .number = number,
        .issued_ms =
            h->wall_ms + (random_chance(&h->random, 15) ? pick(&h->random, edges, 5)
                                                        : -(int64_t)random_roll(&h->random, 10)),
        .id = ids[random_chance(&h->random, 60) ? 0 : random_roll(&h->random, COUNTERS)],
        .delta = pick_delta(&h->random),
        .index = random_chance(&h->random, 20) ? (uint32_t)random_roll(&h->random, 4) : 0};
}

static void count_reply(const char *reply, enum one_way way, enum one_way before) {
    const char *said = strchr(reply, '|');

    if (!said) {
        met.refused++;
        return;
    }
    met.applied += said[1] == 'N';
    met.past += said[1] == 'N' && strchr(said, '!');
    met.full += said[1] == 'F';
    met.old += said[1] == 'O';
    met.crossed[way] += said[1] == 'R' && way != before;
}

static void compare_stores(struct history *h, int step) {
    struct buf dumps[2] = {{0}, {0}};

    for (int i = 0; i < 2; i++)
        one_dump(&h->stores[i], &dumps[i]);
    if (!slice_eq(buf_slice(&dumps[0]), buf_slice(&dumps[1])))
        fail_msg("seed %" PRIu64 " (%s): what is stored differs at step %d", h->seed,
                 layout_names[h->stores[0].cluster], step);
    buf_release(&dumps[0]);
    buf_release(&dumps[1]);
}

static void step_history(struct history *h, int step) {
    bool again = h->count && random_chance(&h->random, 25);
    int at = again ? (int)random_roll(&h->random, (uint64_t)h->count) : h->count++;
    enum one_way way = random_chance(&h->random, 50) ? ONE_SHORT : ONE_LONG;
    char got[4096];

    if (!again) {
        h->sent[at] = make_increment(h);
        h->sent_by[at] = way;
    }
    (void)snprintf(got, sizeof(got), "%s", one_send(&h->stores[0], &h->sent[at], way));
    const char *want = one_send(&h->stores[1], &h->sent[at], ONE_LONG);
    if (strcmp(got, want) != 0)
        fail_msg("seed %" PRIu64 " (%s), step %d, number %" PRIu64 ": %s way %s, long %s", h->seed,
                 layout_names[h->stores[0].cluster], step, h->sent[at].number, way_names[way], got,
                 want);
    count_reply(got, way, h->sent_by[at]);
}

/* The clock of the wall may go back. */
static void move_time(struct history *h) {
    h->wall_ms += (int64_t)random_roll(&h->random, random_chance(&h->random, 3) ? 70000 : 20);
    if (random_chance(&h->random, 4))
        h->wall_ms -= (int64_t)random_roll(&h->random, 3000);
    one_set_time(&h->stores[0], h->wall_ms);
    one_set_time(&h->stores[1], h->wall_ms);
}

static void run_history(uint64_t seed, bool cluster) {
    struct history h = {.seed = seed, .random = seed, .wall_ms = ONE_T0};

    one_open(&h.stores[0], &server, 0, cluster);
    one_open(&h.stores[1], &server, 1, cluster);
    for (int step = 0; step < STEPS; step++) {
        move_time(&h);
        if (random_chance(&h.random, 30))
            disturb(&h);
        step_history(&h, step);
        compare_stores(&h, step);
    }
    one_release(&h.stores[0]);
    one_release(&h.stores[1]);
}

static void test_both_ways_are_one(void **state) {
    (void)state;
    const char *only = getenv("HGP_SEED");
    const char *rounds = getenv("HGP_ROUNDS");
    uint64_t from = only ? strtoull(only, NULL, 10) : 1;
    uint64_t to = only ? from : rounds ? strtoull(rounds, NULL, 10) : ROUNDS;

    for (uint64_t seed = from; seed <= to; seed++) {
        run_history(seed, false);
        run_history(seed, true);
    }
    print_message(
        "%zu applied (%zu past int64), %zu too old, %zu full, %zu refused, duplicates %zu "
        "and %zu the other way\n",
        met.applied, met.past, met.old, met.full, met.refused, met.crossed[ONE_SHORT],
        met.crossed[ONE_LONG]);
    assert_true(only || (met.applied && met.past && met.old && met.full && met.refused &&
                         met.crossed[ONE_SHORT] && met.crossed[ONE_LONG]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_meta_is_no_hash),
        cmocka_unit_test(test_all_touch),
        cmocka_unit_test(test_what_is_stored),
        cmocka_unit_test(test_halts),
        cmocka_unit_test(test_writes_once),
        cmocka_unit_test(test_both_ways_are_one),
    };

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    redisContext *client = redis_fixture_connect(&server);
    one_load(client);
    redisFree(client);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_fixture_stop(&server);
    return failed;
}
