/* test_recovery.c - damaged folders: what opens, with which content, and what is refused. */
#include "store_fixture.h"

#define COMMITS 5

/* One commit over all spaces; the value is the same in each. */
static void commit_all(struct store *s, int n, bool durable) {
    char value[16];

    snprintf(value, sizeof(value), "%d", n);
    for (enum kv_space space = 0; space < KV_SPACES; space++)
        put_str(s->kv, space, "n", value);
    snprintf(value, sizeof(value), "n%d", n);
    put_str(s->kv, KV_COUNTER, value, "there");
    assert_int_equal(kv_commit(s->kv, durable), ERR_OK);
}

/* The last commit present, the same in all spaces, with every earlier one. */
static int last_commit(struct store *s) {
    int last = atoi(get_str(s->kv, KV_META, "n"));

    for (enum kv_space space = 0; space < KV_SPACES; space++)
        assert_int_equal(atoi(get_str(s->kv, space, "n")), last);
    for (int n = 1; n <= COMMITS; n++) {
        char key[16];

        snprintf(key, sizeof(key), "n%d", n);
        assert_string_equal(get_str(s->kv, KV_COUNTER, key), n <= last ? "there" : "");
    }
    return last;
}

/* A store of COMMITS commits as a crash leaves it: nothing of it is in the tables. 'out_ends'
 * are the log's lengths after each; 'out_log' is its path. */
static void make_crashed(struct store *s, off_t out_ends[COMMITS + 1], char out_log[256]) {
    char running[80];

    store_setup(s);
    store_must_open(s);
    find_last(s->data, ".log", out_log);
    out_ends[0] = file_size(out_log);
    for (int n = 1; n <= COMMITS; n++) {
        commit_all(s, n, true);
        out_ends[n] = file_size(out_log);
    }
    snprintf(running, sizeof(running), "%s/running", s->dir);
    copy_folder(s->data, running);
    store_close(s);
    copy_folder(running, s->data);
}

static void pristine(const struct store *s) {
    char running[80];

    snprintf(running, sizeof(running), "%s/running", s->dir);
    copy_folder(running, s->data);
    logged[0] = '\0';
}

static void test_cut_at_every_byte_of_the_last_commit(void **state) {
    (void)state;
    struct store s;
    off_t ends[COMMITS + 1];
    char log[256];

    make_crashed(&s, ends, log);
    for (off_t len = ends[COMMITS - 1]; len <= ends[COMMITS]; len++) {
        pristine(&s);
        assert_int_equal(truncate(log, len), 0);
        store_must_open(&s);
        assert_int_equal(last_commit(&s), len == ends[COMMITS] ? COMMITS : COMMITS - 1);
        assert_int_equal(logged[0] != '\0', len != ends[COMMITS] && len != ends[COMMITS - 1]);
        store_close(&s);
    }
    store_teardown(&s);
}

enum tail { ZEROED, GARBLED, LENGTHENED_ZERO, LENGTHENED_GARBAGE, TAILS };

static void damage_tail(enum tail tail, const char *log, const off_t ends[COMMITS + 1]) {
    static char bytes[5000];
    size_t last = (size_t)(ends[COMMITS] - ends[COMMITS - 1]);

    memset(bytes, tail == GARBLED || tail == LENGTHENED_GARBAGE ? 0xa5 : 0, sizeof(bytes));
    if (tail == ZEROED || tail == GARBLED) /* the second half of the last commit */
        overwrite(log, ends[COMMITS - 1] + (off_t)last / 2, bytes, last - last / 2);
    else
        overwrite(log, ends[COMMITS], bytes, sizeof(bytes));
}

static void test_torn_tails_are_cut(void **state) {
    (void)state;
    struct store s;
    off_t ends[COMMITS + 1];
    char log[256];

    make_crashed(&s, ends, log);
    for (enum tail tail = 0; tail < TAILS; tail++) {
        pristine(&s);
        damage_tail(tail, log, ends);
        store_must_open(&s);
        bool lost = tail == ZEROED || tail == GARBLED;
        assert_int_equal(last_commit(&s), lost ? COMMITS - 1 : COMMITS);
        assert_string_not_equal(logged, "");
        /* And it goes on from there. */
        commit_all(&s, COMMITS, true);
        store_close(&s);
        logged[0] = '\0';
        store_must_open(&s);
        assert_int_equal(last_commit(&s), COMMITS);
        assert_string_equal(logged, "");
        store_close(&s);
    }
    store_teardown(&s);
}

static void test_damage_inside_is_refused_at_every_byte(void **state) {
    (void)state;
    struct store s;
    off_t ends[COMMITS + 1];
    char log[256];

    make_crashed(&s, ends, log);
    for (off_t at = ends[1]; at < ends[COMMITS - 1]; at++) {
        flip(log, at);
        store_must_refuse(&s, ERR_CORRUPT, "restore");
        flip(log, at);
    }
    store_must_open(&s); /* a refusal changes nothing */
    assert_int_equal(last_commit(&s), COMMITS);
    store_teardown(&s);
}

static void test_the_refusal_names_the_way_to_accept_the_loss(void **state) {
    (void)state;
    struct store s;
    off_t ends[COMMITS + 1];
    char log[256];

    make_crashed(&s, ends, log);
    flip(log, ends[2] + 20);
    store_must_refuse(&s, ERR_CORRUPT, "truncate -s ");
    const char *command = strstr(s.detail, "truncate -s ");
    assert_int_equal(system(command), 0);
    store_must_open(&s);
    assert_int_equal(last_commit(&s), 2);
    store_teardown(&s);
}

/* Commits that weren't synced one by one: torn out of order they are a tail, until a sync. */
static void test_unsynced_commits_may_be_torn_in_any_order(void **state) {
    (void)state;
    struct store s;
    off_t ends[COMMITS + 1];
    char log[256];

    for (int sync_after = 0; sync_after <= COMMITS; sync_after++) {
        char running[80];

        store_setup(&s);
        store_must_open(&s);
        commit_all(&s, 1, true);
        find_last(s.data, ".log", log);
        for (int n = 2; n <= COMMITS; n++) {
            ends[n - 1] = file_size(log);
            commit_all(&s, n, false);
            if (n == sync_after)
                assert_int_equal(kv_sync(s.kv), ERR_OK);
        }
        snprintf(running, sizeof(running), "%s/running", s.dir);
        copy_folder(s.data, running);
        store_close(&s);
        pristine(&s);
        flip(log, ends[3] + 30); /* commit 4 */
        /* Synced after 4: commit 5 vouches for it. After 5: nothing behind does. */
        if (sync_after == 4) {
            store_must_refuse(&s, ERR_CORRUPT, "damaged at byte");
        } else {
            store_must_open(&s);
            assert_int_equal(last_commit(&s), 3);
        }
        store_teardown(&s);
    }
}

static void remove_last(const struct store *s, const char *suffix) {
    char path[256];

    find_last(s->data, suffix, path);
    assert_string_not_equal(path, "");
    assert_int_equal(unlink(path), 0);
}

static void remove_manifests(const struct store *s) {
    char command[200];

    snprintf(command, sizeof(command), "rm %s/MANIFEST-*", s->data);
    assert_int_equal(system(command), 0);
}

/* What is in the tables is gone or wrong. */
static void test_missing_files_are_refused(void **state) {
    (void)state;
    struct store s;
    off_t ends[COMMITS + 1];
    char log[256];

    make_crashed(&s, ends, log);
    store_must_open(&s); /* moves the log into tables */
    store_close(&s);
    for (int i = 0; i < 3; i++) {
        char kept[80];

        snprintf(kept, sizeof(kept), "%s/kept", s.dir);
        copy_folder(s.data, kept);
        if (i == 0)
            remove_last(&s, "CURRENT");
        else if (i == 1)
            remove_manifests(&s);
        else
            remove_last(&s, ".sst");
        store_must_refuse(&s, ERR_CORRUPT, "backup");
        assert_null(strstr(s.detail, "delete"));
        copy_folder(kept, s.data);
    }
    store_must_open(&s);
    assert_int_equal(last_commit(&s), COMMITS);
    store_teardown(&s);
}

/* Each byte of a table is either never looked at or its damage is reported: no wrong value. */
static void test_a_damaged_table_never_gives_a_wrong_value(void **state) {
    (void)state;
    struct store s;
    off_t ends[COMMITS + 1];
    char log[256];
    char sst[256];
    char kept[80];
    int refused = 0;

    make_crashed(&s, ends, log);
    store_must_open(&s);
    store_close(&s);
    snprintf(kept, sizeof(kept), "%s/kept", s.dir);
    copy_folder(s.data, kept);
    find_last(s.data, ".sst", sst);
    off_t size = file_size(sst);
    for (off_t at = 0; at < size; at += 1 + size / 60) {
        struct buf out = {0};

        copy_folder(kept, s.data);
        flip(sst, at);
        enum err err = store_open(&s);
        for (enum kv_space space = 0; err == ERR_OK && space < KV_SPACES; space++)
            err = kv_get(s.kv, space, SLICE("n"), &out);
        if (err == ERR_OK)
            assert_memory_equal(out.ptr, "55555", KV_SPACES);
        else if (err != ERR_CORRUPT)
            fail_msg("byte %ld: %s", (long)at, s.rocks ? rocks_kv_error(s.rocks) : s.detail);
        refused += err == ERR_CORRUPT;
        buf_release(&out);
        store_close(&s);
    }
    assert_true(refused > 0);
    store_teardown(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_byte_of_the_last_commit),
        cmocka_unit_test(test_torn_tails_are_cut),
        cmocka_unit_test(test_damage_inside_is_refused_at_every_byte),
        cmocka_unit_test(test_the_refusal_names_the_way_to_accept_the_loss),
        cmocka_unit_test(test_unsynced_commits_may_be_torn_in_any_order),
        cmocka_unit_test(test_missing_files_are_refused),
        cmocka_unit_test(test_a_damaged_table_never_gives_a_wrong_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
