/* store_fixture.h - a temporary data folder, the store in it, and the damage tests do to both.
 *
 * Header-only: each test program is one file.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "edge/rocks_kv.h"

#include "test.h"

/* Small, so that a test can fill it. */
static const struct rocks_kv_conf store_conf = {.block_cache_bytes = 1 << 20,
                                                .write_buffer_bytes = 1 << 20};

/* What the last log line said, in place of the real log. */
static char logged[256];

void log_write(enum log_level level, const char *msg, const struct log_field *fields,
               unsigned count) {
    (void)level;
    (void)fields;
    (void)count;
    snprintf(logged, sizeof(logged), "%s", msg);
}

struct store {
    char dir[64];  /* holds everything; removed at the end */
    char data[80]; /* the data folder; not made yet */
    struct rocks_kv *rocks;
    struct kv *kv;
    const char *detail;
};

static UNUSED void store_setup(struct store *store) {
    memset(store, 0, sizeof(*store));
    snprintf(store->dir, sizeof(store->dir), "/tmp/hgp-store-XXXXXX");
    assert_non_null(mkdtemp(store->dir));
    snprintf(store->data, sizeof(store->data), "%s/data", store->dir);
    logged[0] = '\0';
}

static UNUSED enum err store_open(struct store *store) {
    enum err err = rocks_kv_open(store->data, &store_conf, &store->rocks, &store->detail);

    store->kv = err == ERR_OK ? rocks_kv_view(store->rocks) : NULL;
    return err;
}

static UNUSED void store_must_open(struct store *store) {
    if (store_open(store) != ERR_OK)
        fail_msg("%s", store->detail);
}

static UNUSED void store_close(struct store *store) {
    rocks_kv_close(store->rocks);
    store->rocks = NULL;
    store->kv = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static UNUSED void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static UNUSED void store_teardown(struct store *store) {
    store_close(store);
    remove_tree(store->dir);
}

/* Fails the test unless the refusal was 'want' and its sentence names the folder and 'word'. */
static UNUSED void store_must_refuse(struct store *store, enum err want, const char *word) {
    enum err got = store_open(store);

    if (got != want)
        fail_msg("wanted %s, got %s: %s", err_name(want), err_name(got),
                 got == ERR_OK ? "it opened" : store->detail);
    if (!strstr(store->detail, store->data) || !strstr(store->detail, word))
        fail_msg("\"%s\" doesn't name the folder and \"%s\"", store->detail, word);
}

/* The path of the file of 'data' that ends in 'suffix' and sorts last; "" if there is none. */
static UNUSED void find_last(const char *data, const char *suffix, char out[256]) {
    DIR *dir = opendir(data);
    struct dirent *entry;
    char best[128] = "";

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);

        if (len >= strlen(suffix) && len < sizeof(best) &&
            strcmp(entry->d_name + len - strlen(suffix), suffix) == 0 &&
            strcmp(entry->d_name, best) > 0)
            memcpy(best, entry->d_name, len + 1);
    }
    closedir(dir);
    out[0] = '\0';
    if (best[0])
        snprintf(out, 256, "%s/%s", data, best);
}

static UNUSED off_t file_size(const char *path) {
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static UNUSED void overwrite(const char *path, off_t at, const void *bytes, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT, 0640);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

static UNUSED void flip(const char *path, off_t at) {
    char byte;
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)~byte;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static UNUSED void copy_folder(const char *from, const char *to) {
    char command[400];

    snprintf(command, sizeof(command), "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

static UNUSED void put_str(struct kv *kv, enum kv_space space, const char *key, const char *value) {
    kv_put(kv, space, slice_str(key), slice_str(value));
}

/* "" when absent; the string lives until the next call. */
static UNUSED const char *get_str(struct kv *kv, enum kv_space space, const char *key) {
    static struct buf buf;
    enum err err;

    buf_clear(&buf);
    err = kv_get(kv, space, slice_str(key), &buf);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        fail_msg("get: %s", err_name(err));
    buf_add_char(&buf, '\0');
    return buf.ptr;
}

#endif
