/* test_rocks_processes.c - two owners, and a disk that fills up.
 *
 * Everything that opens a store runs in a child of its own: RocksDB's thread
 * pool doesn't survive a fork.
 */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <rocksdb/c.h>

#include "store_fixture.h"

#define VALUE_BYTES  1000
#define SKIPPED      77
#define LOG_LIMIT    40000
#define TMPFS_LARGER "size=64m"

/* A failed assertion in the child ends it with cmocka's message; the status tells. */
static int in_child(void (*run)(void *), void *arg) {
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        run(arg);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a child cmocka's assertions would jump into the parent's state. */
static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "child: %s\n", what);
    _exit(1);
}

struct owner_test {
    struct store s;
    int ready[2];
    int finish[2];
    pid_t owner;
};

static void own(struct owner_test *t) {
    char byte = 0;

    must(store_open(&t->s) == ERR_OK, "the owner opens");
    must(write(t->ready[1], "r", 1) == 1, "write");
    close(t->finish[1]);
    must(read(t->finish[0], &byte, 1) == 0, "finish");
    store_close(&t->s);
    _exit(0);
}

static void be_refused(void *arg) {
    struct owner_test *t = arg;
    char pid[24];

    snprintf(pid, sizeof(pid), "process %d)", t->owner);
    must(store_open(&t->s) == ERR_LOCKED, "refused");
    fprintf(stderr, "%s\n", t->s.detail);
    must(strstr(t->s.detail, t->s.data) != NULL, "names the folder");
    must(strstr(t->s.detail, pid) != NULL, "names the owner");
}

static void open_it(void *arg) {
    struct owner_test *t = arg;

    must(store_open(&t->s) == ERR_OK, t->s.detail);
    /* In one process too. */
    struct store second = t->s;
    must(store_open(&second) == ERR_LOCKED, "a second one in the same process");
    must(store_open(&second) == ERR_LOCKED, "and still");
    store_close(&t->s);
}

static void test_one_owner(void **state) {
    (void)state;
    struct owner_test t;
    char byte;
    int status;

    store_setup(&t.s);
    assert_int_equal(pipe(t.ready), 0);
    assert_int_equal(pipe(t.finish), 0);
    t.owner = fork();
    assert_true(t.owner >= 0);
    if (t.owner == 0)
        own(&t);
    assert_int_equal(read(t.ready[0], &byte, 1), 1);
    assert_int_equal(in_child(be_refused, &t), 0);
    close(t.finish[1]);
    assert_int_equal(waitpid(t.owner, &status, 0), t.owner);
    assert_int_equal(status, 0);
    assert_int_equal(in_child(open_it, &t), 0); /* the lock went with its owner */
    close(t.finish[0]);
    close(t.ready[0]);
    close(t.ready[1]);
    store_teardown(&t.s);
}

/* ---- reading beside the owner ---- */

static void see(struct store *s, const char *want) {
    struct rocks_kv *seen = NULL;
    const char *detail = "";

    must(rocks_kv_look(s->data, &seen, &detail) == ERR_OK, detail);
    must(strcmp(get_str(rocks_kv_view(seen), KV_COUNTER, "a"), want) == 0, "what was written");
    put_str(rocks_kv_view(seen), KV_COUNTER, "a", "no");
    must(kv_commit(rocks_kv_view(seen), false) == ERR_IO, "it can't be written to");
    rocks_kv_close(seen);
}

static void write_and_see(void *arg) {
    struct store *s = arg;
    struct rocks_kv *seen = NULL;
    const char *detail = "";

    must(rocks_kv_look(s->data, &seen, &detail) == ERR_NOT_FOUND, "nothing is there yet");
    must(strstr(detail, s->data) != NULL, "it names the folder");
    must(store_open(s) == ERR_OK, "the owner opens");
    see(s, "");
    for (int i = 0; i < 3; i++) {
        char value[16];

        snprintf(value, sizeof(value), "%d", i);
        put_str(s->kv, KV_COUNTER, "a", value);
        must(kv_commit(s->kv, i % 2 == 0) == ERR_OK, "commit"); /* synced or not */
        see(s, value);
    }
    store_close(s);
    see(s, "2");
    must(store_open(s) == ERR_OK, "the owner opens again");
    must(strcmp(get_str(s->kv, KV_COUNTER, "a"), "2") == 0, "nothing has changed for it");
    store_close(s);
}

static void test_a_look_beside_the_owner(void **state) {
    struct store s;

    (void)state;
    store_setup(&s);
    assert_int_equal(in_child(write_and_see, &s), 0);
    store_teardown(&s);
}

static size_t entries_of(const char *folder) {
    size_t count = 0;
    DIR *dir = opendir(folder);

    must(dir != NULL, folder);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

static void look_without_tmp(void *arg) {
    struct store *s = arg;

    must(setenv("TMPDIR", "/proc", 1) == 0, "setenv"); /* nobody can make a folder there */
    must(store_open(s) == ERR_OK, "the owner opens");
    put_str(s->kv, KV_COUNTER, "a", "1");
    must(kv_commit(s->kv, true) == ERR_OK, "commit");
    size_t before = entries_of(s->data);
    see(s, "1");
    must(entries_of(s->data) == before, "nothing is left in the store's folder");
    store_close(s);
}

/* A container may have nothing to write to but the store's folder. */
static void test_a_look_without_tmp(void **state) {
    struct store s;

    (void)state;
    store_setup(&s);
    assert_int_equal(in_child(look_without_tmp, &s), 0);
    store_teardown(&s);
}

/* ---- what looking on costs ---- */

#define LOOKED_AT 10000
#define LOOKS     10
/* A seek is a walk down a skip list, as is each record that is new: a few dozen comparisons. */
#define COMPARISONS_MAX 500

static void put_many(struct store *s) {
    for (int i = 0; i < LOOKED_AT; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k-%05d", i);
        put_str(s->kv, KV_COUNTER, key, "1");
    }
    must(kv_commit(s->kv, false) == ERR_OK, "commit");
}

static void look_again_and_seek(struct store *s, struct rocks_kv *seen, int round) {
    char key[16];
    char value[16];
    const char *detail = "";
    struct buf found = {0};
    struct buf record = {0};

    snprintf(key, sizeof(key), "k-%05d", round * (LOOKED_AT / LOOKS));
    snprintf(value, sizeof(value), "%d", round + 2);
    put_str(s->kv, KV_COUNTER, key, value);
    must(kv_commit(s->kv, false) == ERR_OK, "commit");
    must(rocks_kv_look_again(seen, &detail) == ERR_OK, detail);
    must(kv_seek(rocks_kv_view(seen), KV_COUNTER, slice_str(key), &found, &record) == ERR_OK,
         "it is there");
    must(slice_eq(buf_slice(&found), slice_str(key)), "it is the one");
    must(slice_eq(buf_slice(&record), slice_str(value)), "and as it is now");
    buf_release(&found);
    buf_release(&record);
}

/* `verify` looks again for each thousand counters: none of them may cost what all do. */
static void look_on(void *arg) {
    struct store *s = arg;
    struct rocks_kv *seen = NULL;
    const char *detail = "";

    must(store_open(s) == ERR_OK, "the owner opens");
    put_many(s);
    must(rocks_kv_look(s->data, &seen, &detail) == ERR_OK, detail);
    rocksdb_set_perf_level(rocksdb_enable_count);
    rocksdb_perfcontext_t *counts = rocksdb_perfcontext_create(); /* this thread's */
    for (int i = 0; i < LOOKS; i++) {
        rocksdb_perfcontext_reset(counts);
        look_again_and_seek(s, seen, i);
        uint64_t compared = rocksdb_perfcontext_metric(counts, rocksdb_user_key_comparison_count);
        must(compared > 0, "they are counted");
        must(compared <= COMPARISONS_MAX, "a look costs what is new and what is read");
    }
    rocksdb_perfcontext_destroy(counts);
    rocks_kv_close(seen);
    store_close(s);
}

static void test_looking_on_costs_what_is_new(void **state) {
    struct store s;

    (void)state;
    store_setup(&s);
    assert_int_equal(in_child(look_on, &s), 0);
    store_teardown(&s);
}

/* Commits until it fails; how many were acknowledged. */
static int commit_until_failure(struct store *s) {
    char value[VALUE_BYTES];
    char key[16];
    int acknowledged = 0;

    memset(value, 'v', sizeof(value));
    for (;; acknowledged++) {
        must(acknowledged < 100000, "the disk fills up");
        snprintf(key, sizeof(key), "%d", acknowledged);
        put_str(s->kv, KV_META, "last", key);
        kv_put(s->kv, KV_COUNTER, slice_str(key), slice_of(value, sizeof(value)));
        enum err err = kv_commit(s->kv, true);
        if (err == ERR_OK)
            continue;
        must(err == ERR_IO, "ERR_IO");
        must(rocks_kv_error(s->rocks)[0] != '\0', "says why");
        return acknowledged;
    }
}

/* The disk works again, but what is on it is unknown. */
static void stays_finished(struct store *s) {
    put_str(s->kv, KV_META, "after", "x");
    must(kv_commit(s->kv, true) == ERR_IO, "a later durable commit fails");
    put_str(s->kv, KV_META, "after", "x");
    must(kv_commit(s->kv, false) == ERR_IO, "a later commit fails");
    must(kv_sync(s->kv) == ERR_IO, "a later sync fails");
    store_close(s);
}

static void all_acknowledged_are_there(struct store *s, int acknowledged) {
    struct buf out = {0};
    char key[16];

    must(store_open(s) == ERR_OK, s->detail);
    for (int n = 0; n < acknowledged; n++) {
        snprintf(key, sizeof(key), "%d", n);
        buf_clear(&out);
        must(kv_get(s->kv, KV_COUNTER, slice_str(key), &out) == ERR_OK, "acknowledged is there");
        must(out.len == VALUE_BYTES, "whole");
    }
    must(kv_get(s->kv, KV_META, SLICE("after"), &out) == ERR_NOT_FOUND, "refused isn't there");
    /* The failed one may be there, in all spaces or in none. */
    snprintf(key, sizeof(key), "%d", acknowledged);
    bool there = kv_get(s->kv, KV_COUNTER, slice_str(key), &out) == ERR_OK;
    must(atoi(get_str(s->kv, KV_META, "last")) == (there ? acknowledged : acknowledged - 1),
         "all or nothing");
    buf_release(&out);
    store_close(s);
}

static void fail_at_a_limit(void *arg) {
    struct store *s = arg;
    struct rlimit limit;

    /* A write behind the limit is EFBIG instead of a signal. */
    signal(SIGXFSZ, SIG_IGN);
    must(getrlimit(RLIMIT_FSIZE, &limit) == 0, "getrlimit");
    rlim_t full = limit.rlim_cur;
    must(store_open(s) == ERR_OK, s->detail);
    limit.rlim_cur = LOG_LIMIT;
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    int acknowledged = commit_until_failure(s);
    must(acknowledged > 10, "some before");
    limit.rlim_cur = full;
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    stays_finished(s);
    all_acknowledged_are_there(s, acknowledged);
}

static void test_a_failed_write_finishes_the_store(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    assert_int_equal(in_child(fail_at_a_limit, &s), 0);
    store_teardown(&s);
}

static int disk_kib;

/* A real full disk: the log, the tables of a flush and RocksDB's own files all meet it. */
static void fail_on_full_disk(void *arg) {
    struct store *s = arg;
    char size[16];

    snprintf(size, sizeof(size), "size=%dk", disk_kib);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("hgp", s->dir, "tmpfs", 0, size) != 0)
        _exit(SKIPPED);
    must(store_open(s) == ERR_OK, s->detail);
    int acknowledged = commit_until_failure(s);
    must(acknowledged > 10, "some before");
    stays_finished(s);
    /* Still full: refused with a sentence, or opened; never a crash, never a loss. */
    enum err err = store_open(s);
    must(err == ERR_OK || (err == ERR_IO && strstr(s->detail, "space")), s->detail);
    store_close(s);
    must(mount("hgp", s->dir, "tmpfs", MS_REMOUNT, TMPFS_LARGER) == 0, "remount");
    all_acknowledged_are_there(s, acknowledged);
}

static void test_a_full_disk(void **state) {
    (void)state;
    struct store s;

    /* Each size fills up at another moment of writing, flushing and compacting. */
    for (disk_kib = 2048; disk_kib < 8192; disk_kib += 1300) {
        store_setup(&s);
        int status = in_child(fail_on_full_disk, &s);
        store_teardown(&s);
        if (status == SKIPPED)
            skip(); /* mounting needs privileges; the limit above stands in */
        if (status != 0)
            fail_msg("a disk of %d KiB", disk_kib);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_owner),
        cmocka_unit_test(test_a_look_beside_the_owner),
        cmocka_unit_test(test_a_look_without_tmp),
        cmocka_unit_test(test_looking_on_costs_what_is_new),
        cmocka_unit_test(test_a_failed_write_finishes_the_store),
        cmocka_unit_test(test_a_full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
