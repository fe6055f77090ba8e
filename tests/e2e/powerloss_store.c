/* powerloss_store.c - writes numbered operations to a store, or checks which are there.
 *
 *     powerloss_store write DATA local|fast|seldom|broken LIMIT
 *     powerloss_store check DATA
 *
 * Operation n touches every space in one commit. "write" goes on behind the
 * last one and prints "ack n" when n and everything before it must survive a
 * power cut: after each commit, or after each sync in "fast". "seldom" syncs
 * so rarely that several logs lie between two of them. "broken" acknowledges
 * what it didn't sync, so that the test can prove itself. "check" prints
 * "last n" when exactly 1 ... n are there, each in all spaces.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "edge/rocks_kv.h"

#define SYNC_OFTEN  16
#define SYNC_SELDOM 1500
#define VALUE_LARGE 80000 /* several blocks of the log */

/* Small: several logs and tables within seconds. */
static const struct rocks_kv_conf conf = {.block_cache_bytes = 1 << 20,
                                          .write_buffer_bytes = 256 << 10};

void log_write(enum log_level level, const char *msg, const struct log_field *fields,
               unsigned count) {
    (void)level;
    (void)fields;
    (void)count;
    fprintf(stderr, "%s\n", msg);
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static struct slice number_key(uint64_t n, char out[32]) {
    snprintf(out, 32, "%020" PRIu64, n);
    return slice_str(out);
}

/* Of many lengths, from the number alone. */
static size_t value_len(uint64_t n) {
    uint64_t mixed = n * 0x9e3779b97f4a7c15u >> 32;

    return mixed % 97 == 0 ? VALUE_LARGE : mixed % 900;
}

static uint64_t last_of(struct kv *kv, enum kv_space space) {
    struct buf out = {0};
    uint64_t last = 0;
    enum err err = kv_get(kv, space, SLICE("last"), &out);

    if (err != ERR_OK && err != ERR_NOT_FOUND)
        die("get", err_text(err));
    buf_add_char(&out, '\0');
    last = strtoull(out.ptr, NULL, 10);
    buf_release(&out);
    return last;
}

static void stage(struct kv *kv, uint64_t n) {
    static char value[VALUE_LARGE];
    char key[32];

    number_key(n, key);
    memset(value, (int)(n & 0xff), sizeof(value));
    for (enum kv_space space = 0; space < KV_SPACES; space++)
        kv_put(kv, space, SLICE("last"), slice_str(key));
    kv_put(kv, KV_COUNTER, slice_str(key), slice_of(value, value_len(n)));
    kv_put(kv, KV_OUTBOX, slice_str(key), slice_str(key));
}

static void ack(uint64_t n) {
    char line[32];
    int len = snprintf(line, sizeof(line), "ack %" PRIu64 "\n", n);

    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        exit(1);
}

static void write_all(struct kv *kv, const char *mode, uint64_t limit) {
    bool durable = strcmp(mode, "local") == 0;
    bool fast = strcmp(mode, "fast") == 0 || strcmp(mode, "seldom") == 0;
    unsigned every = strcmp(mode, "seldom") == 0 ? SYNC_SELDOM : SYNC_OFTEN;
    uint64_t n = last_of(kv, KV_META);

    for (uint64_t end = n + limit; n < end;) {
        stage(kv, ++n);
        if (kv_commit(kv, durable) != ERR_OK)
            die("commit", "failed");
        if (fast && n % every == 0 && kv_sync(kv) != ERR_OK)
            die("sync", "failed");
        if (!fast || n % every == 0)
            ack(n);
    }
}

/* Every operation up to 'last' and nothing behind it. */
static void check_space(struct kv *kv, enum kv_space space, uint64_t last) {
    struct buf key = {0};
    struct buf value = {0};
    char want[32];
    uint64_t n = 0;

    buf_add_char(&key, '0');
    while (kv_seek(kv, space, buf_slice(&key), &key, &value) == ERR_OK &&
           !slice_eq(buf_slice(&key), SLICE("last"))) {
        n++;
        if (!slice_eq(buf_slice(&key), number_key(n, want)))
            die("a hole before", want);
        if (space == KV_COUNTER && value.len != value_len(n))
            die("a wrong value at", want);
        buf_add_char(&key, '\0');
    }
    if (n != last)
        die("the end isn't the last one but", number_key(n, want).ptr);
    buf_release(&key);
    buf_release(&value);
}

static void check_all(struct kv *kv) {
    uint64_t last = last_of(kv, KV_META);

    for (enum kv_space space = 0; space < KV_SPACES; space++)
        if (last_of(kv, space) != last)
            die("spaces", "a commit is there in parts");
    check_space(kv, KV_COUNTER, last);
    check_space(kv, KV_OUTBOX, last);
    printf("last %" PRIu64 "\n", last);
}

int main(int argc, char **argv) {
    struct rocks_kv *rocks;
    const char *detail;

    if (argc < 3)
        die("usage", "powerloss_store write DATA local|fast|seldom|broken LIMIT | check DATA");
    if (rocks_kv_open(argv[2], &conf, &rocks, &detail) != ERR_OK)
        die("open", detail);
    if (argc == 5)
        write_all(rocks_kv_view(rocks), argv[3], strtoull(argv[4], NULL, 10));
    else
        check_all(rocks_kv_view(rocks));
    rocks_kv_close(rocks);
    return 0;
}
