/* test_wal_check.c - what is a torn tail and what is damage, on logs made here.
 *
 * The logs are written by the format's description, not by RocksDB, so that
 * every shape of damage, over several files, is a row.
 */
#include "store_fixture.h"

#include "base/buf.h"
#include "edge/crc32c.h"
#include "edge/rocks_marker.h"
#include "edge/wal_check.h"

#define BLOCK      32768u
#define NO_MARKER  UINT64_MAX
#define SCRIPT_MAX 8
#define FILES_MAX  3
#define SMALL      40u
#define TWO_BLOCKS 40000u
/* A gap and a change of length: the order isn't the alphabet's. */
#define FIRST_NUMBER  9
#define SECOND_NUMBER 999999
#define THIRD_NUMBER  1000000
#define NOT_CUT       SIZE_MAX

static void add_le(struct buf *buf, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        buf_add_char(buf, (char)(value >> (8 * i)));
}

static void add_fragment(struct buf *log, char type, struct slice payload) {
    char checked[BLOCK];

    checked[0] = type;
    memcpy(checked + 1, payload.ptr, payload.len);
    uint32_t crc = crc32c(checked, payload.len + 1);
    add_le(log, (crc >> 15 | crc << 17) + 0xa282ead8u, 4);
    add_le(log, payload.len, 2);
    buf_add_char(log, type);
    buf_add_slice(log, payload);
}

/* As RocksDB's log::Writer: padding where no header fits, fragments where a block ends. */
static void add_record(struct buf *log, struct slice payload) {
    bool first = true;

    for (;;) {
        size_t left = BLOCK - log->len % BLOCK;

        if (left < 7) {
            buf_add(log, "\0\0\0\0\0\0", left);
            left = BLOCK;
        }
        size_t len = payload.len < left - 7 ? payload.len : left - 7;
        bool last = len == payload.len;
        add_fragment(log, first ? (last ? 1 : 2) : (last ? 4 : 3), slice_of(payload.ptr, len));
        if (last)
            return;
        payload = slice_skip(payload, len);
        first = false;
    }
}

/* A batch of one write, numbered 'seq', of 'len' bytes. */
static void add_batch(struct buf *log, uint64_t seq, uint64_t synced_seq, size_t len) {
    struct buf batch = {0};
    char marker[ROCKS_MARKER_BYTES];

    add_le(&batch, seq, 8);
    add_le(&batch, 1, 4);
    if (synced_seq != NO_MARKER) {
        rocks_marker_write(marker, synced_seq);
        buf_add(&batch, "\3\14", 2);
        buf_add(&batch, marker, sizeof(marker));
    }
    while (batch.len < len)
        buf_add_char(&batch, 'x');
    add_record(log, buf_slice(&batch));
    buf_release(&batch);
}

/* One step of making a folder of logs. */
enum verb {
    END,
    FILE_NEXT, /* the following goes into the next file */
    SYNCED,    /* a record; all before it were on disk when it was written */
    UNSYNCED,  /* a record; only up to number 'arg' was on disk */
    BIG,       /* as SYNCED, over two blocks */
    BIG_UNSYNCED,
    ALIEN, /* without a marker */
    SKIP,  /* a record is missing here, whole */
    FLIP,  /* one byte in the middle of the last record */
    CUT,   /* drop 'arg' bytes at the end */
    ZEROES,
    GARBAGE,
    STALE,   /* a record of an earlier log, as old disk content has it */
    RECYCLED /* of a kind this store never writes */
};

struct step {
    enum verb verb;
    size_t arg;
};

struct scene {
    struct buf files[FILES_MAX];
    size_t file;
    uint64_t seq;
    size_t last_at; /* where the last record starts */
};

static void add_random(struct buf *log, size_t len) {
    unsigned seed = 7;

    while (len--)
        buf_add_char(log, (char)rand_r(&seed));
}

static void play(struct scene *scene, struct step step) {
    struct buf *log = &scene->files[scene->file];
    bool big = step.verb == BIG || step.verb == BIG_UNSYNCED;

    switch (step.verb) {
    case FILE_NEXT:
        scene->file++;
        break;
    case SYNCED:
    case BIG:
    case UNSYNCED:
    case BIG_UNSYNCED:
    case ALIEN:
        scene->last_at = log->len;
        add_batch(log, scene->seq,
                  step.verb == ALIEN                                   ? NO_MARKER
                  : step.verb == UNSYNCED || step.verb == BIG_UNSYNCED ? step.arg
                                                                       : scene->seq - 1,
                  big ? TWO_BLOCKS : SMALL);
        scene->seq++;
        break;
    case SKIP:
        scene->seq++;
        break;
    case FLIP:
        log->ptr[scene->last_at + 30] ^= 1;
        break;
    case CUT:
        log->len -= step.arg;
        break;
    case ZEROES:
        for (size_t i = 0; i < step.arg; i++)
            buf_add_char(log, 0);
        break;
    case GARBAGE:
        add_random(log, step.arg);
        break;
    case STALE:
        add_batch(log, 1, 0, SMALL);
        break;
    case RECYCLED:
        add_fragment(log, 9, SLICE("12345678"));
        break;
    case END:
        break;
    }
}

/* clang-format off */
static const struct {
    const char *name;
    struct step steps[SCRIPT_MAX];
    enum err want;
    size_t left[FILES_MAX]; /* bytes of each file afterwards; NOT_CUT: as before */
    uint64_t live;          /* the oldest log that isn't in the tables; 0: all */
} rows[] = {
    {"no record",                {{END, 0}},                                   ERR_OK, {NOT_CUT, 0, 0}, 0},
    {"whole records",            {{SYNCED, 0}, {SYNCED, 0}, {BIG, 0}, {SYNCED, 0}},     ERR_OK, {NOT_CUT, 0, 0}, 0},
    {"torn header",              {{SYNCED, 0}, {SYNCED, 0}, {CUT, 42}},           ERR_OK, {47, 0, 0}, 0},
    {"torn body",                {{SYNCED, 0}, {SYNCED, 0}, {CUT, 1}},            ERR_OK, {47, 0, 0}, 0},
    {"torn only record",         {{SYNCED, 0}, {CUT, 1}},                      ERR_OK, {0, 0, 0}, 0},
    {"torn second block",        {{SYNCED, 0}, {BIG, 0}, {CUT, 3}},               ERR_OK, {47, 0, 0}, 0},
    {"torn last block",          {{SYNCED, 0}, {SYNCED, 0}, {FLIP, 0}},              ERR_OK, {47, 0, 0}, 0},
    {"first fragment torn",      {{SYNCED, 0}, {BIG, 0}, {FLIP, 0}},                 ERR_OK, {47, 0, 0}, 0},
    {"zeroes behind",            {{SYNCED, 0}, {ZEROES, 5000}},                ERR_OK, {47, 0, 0}, 0},
    {"few zeroes behind",        {{SYNCED, 0}, {ZEROES, 3}},                   ERR_OK, {47, 0, 0}, 0},
    {"blocks of zeroes behind",  {{SYNCED, 0}, {ZEROES, 90000}},               ERR_OK, {47, 0, 0}, 0},
    {"nothing but zeroes",       {{ZEROES, 5000}},                          ERR_OK, {0, 0, 0}, 0},
    {"garbage behind",           {{SYNCED, 0}, {GARBAGE, 70000}},              ERR_OK, {47, 0, 0}, 0},
    {"an old log behind",        {{SYNCED, 0}, {SYNCED, 0}, {STALE, 0}},             ERR_OK, {94, 0, 0}, 0},
    {"an old log behind zeroes", {{SYNCED, 0}, {ZEROES, 9}, {STALE, 0}},          ERR_OK, {47, 0, 0}, 0},
    {"damage, then a record",    {{SYNCED, 0}, {SYNCED, 0}, {FLIP, 0}, {SYNCED, 0}},    ERR_CORRUPT, {0}, 0},
    {"damage in the first",      {{SYNCED, 0}, {FLIP, 0}, {SYNCED, 0}},              ERR_CORRUPT, {0}, 0},
    {"damage, then a big one",   {{SYNCED, 0}, {BIG, 0}, {FLIP, 0}, {BIG, 0}},          ERR_CORRUPT, {0}, 0},
    {"damage, then a torn one",  {{SYNCED, 0}, {SYNCED, 0}, {FLIP, 0}, {BIG, 0}, {CUT, 9}}, ERR_CORRUPT, {0}, 0},
    {"a hole between records",   {{SYNCED, 0}, {SKIP, 0}, {SYNCED, 0}},              ERR_CORRUPT, {0}, 0},
    {"zeroes between records",   {{SYNCED, 0}, {SKIP, 0}, {ZEROES, 47}, {SYNCED, 0}}, ERR_CORRUPT, {0}, 0},
    {"damage, then no marker",   {{SYNCED, 0}, {SYNCED, 0}, {FLIP, 0}, {ALIEN, 0}},     ERR_CORRUPT, {0}, 0},
    {"unsynced, out of order",   {{SYNCED, 0}, {UNSYNCED, 100}, {FLIP, 0}, {UNSYNCED, 100}}, ERR_OK, {47, 0, 0}, 0},
    {"unsynced, a hole",         {{SYNCED, 0}, {SKIP, 0}, {UNSYNCED, 100}},       ERR_OK, {47, 0, 0}, 0},
    {"unsynced big, torn twice", {{SYNCED, 0}, {UNSYNCED, 100}, {FLIP, 0}, {BIG_UNSYNCED, 100}, {CUT, 9}}, ERR_OK, {47, 0, 0}, 0},
    {"unsynced, then synced",    {{SYNCED, 0}, {UNSYNCED, 100}, {FLIP, 0}, {UNSYNCED, 100}, {SYNCED, 0}}, ERR_CORRUPT, {0}, 0},
    {"unsynced first one",       {{UNSYNCED, 50}, {FLIP, 0}, {UNSYNCED, 50}, {UNSYNCED, 50}}, ERR_OK, {0, 0, 0}, 0},
    {"synced right before it",   {{UNSYNCED, 99}, {FLIP, 0}, {UNSYNCED, 99}, {UNSYNCED, 99}}, ERR_OK, {0, 0, 0}, 0},
    {"zeroes for the first",     {{SKIP, 0}, {SKIP, 0}, {ZEROES, 94}, {UNSYNCED, 50}}, ERR_OK, {0, 0, 0}, 0},
    {"synced later",             {{UNSYNCED, 50}, {FLIP, 0}, {UNSYNCED, 50}, {UNSYNCED, 100}}, ERR_CORRUPT, {0}, 0},
    {"unsynced first file",      {{UNSYNCED, 50}, {FLIP, 0}, {FILE_NEXT, 0}, {UNSYNCED, 50}}, ERR_OK, {0, 0, 0}, 0},
    {"synced first file",        {{UNSYNCED, 50}, {FLIP, 0}, {FILE_NEXT, 0}, {UNSYNCED, 50}, {UNSYNCED, 100}}, ERR_CORRUPT, {0}, 0},
    {"a file lost whole",        {{FILE_NEXT, 0}, {SKIP, 0}, {UNSYNCED, 50}},    ERR_OK, {0, 0, 0}, FIRST_NUMBER},
    {"the same, done with",      {{FILE_NEXT, 0}, {SKIP, 0}, {UNSYNCED, 50}},    ERR_OK, {0, NOT_CUT, 0}, SECOND_NUMBER},
    {"the same, synced",         {{FILE_NEXT, 0}, {SKIP, 0}, {SYNCED, 0}},       ERR_CORRUPT, {0}, FIRST_NUMBER},
    {"one between lost whole",   {{UNSYNCED, 50}, {FILE_NEXT, 0}, {SKIP, 0}, {FILE_NEXT, 0}, {UNSYNCED, 50}}, ERR_OK, {NOT_CUT, 0, 0}, FIRST_NUMBER},
    {"two whole files",          {{SYNCED, 0}, {FILE_NEXT, 0}, {SYNCED, 0}},         ERR_OK, {NOT_CUT, NOT_CUT, 0}, 0},
    {"files removed between",    {{SYNCED, 0}, {FILE_NEXT, 0}, {SKIP, 0}, {SYNCED, 0}}, ERR_OK, {NOT_CUT, NOT_CUT, 0}, SECOND_NUMBER},
    {"a file missing between",   {{SYNCED, 0}, {FILE_NEXT, 0}, {SKIP, 0}, {SYNCED, 0}}, ERR_CORRUPT, {0}, FIRST_NUMBER},
    {"unsynced end of a file",   {{SYNCED, 0}, {FILE_NEXT, 0}, {SKIP, 0}, {UNSYNCED, 100}}, ERR_OK, {NOT_CUT, 0, 0}, FIRST_NUMBER},
    {"the same, done with",      {{SYNCED, 0}, {FILE_NEXT, 0}, {SKIP, 0}, {UNSYNCED, 100}}, ERR_OK, {NOT_CUT, NOT_CUT, 0}, SECOND_NUMBER},
    {"damage in one done with",  {{SYNCED, 0}, {SYNCED, 0}, {FLIP, 0}, {FILE_NEXT, 0}, {SYNCED, 0}}, ERR_OK, {NOT_CUT, NOT_CUT, 0}, SECOND_NUMBER},
    {"torn in the second",       {{SYNCED, 0}, {FILE_NEXT, 0}, {SYNCED, 0}, {CUT, 1}}, ERR_OK, {NOT_CUT, 0, 0}, 0},
    {"torn, empty file behind",  {{SYNCED, 0}, {SYNCED, 0}, {CUT, 1}, {FILE_NEXT, 0}}, ERR_OK, {47, 0, 0}, 0},
    {"torn, zeroed file behind", {{SYNCED, 0}, {SYNCED, 0}, {CUT, 1}, {FILE_NEXT, 0}, {ZEROES, 99}}, ERR_OK, {47, 0, 0}, 0},
    {"torn, then a file",        {{SYNCED, 0}, {SYNCED, 0}, {CUT, 1}, {FILE_NEXT, 0}, {SYNCED, 0}}, ERR_CORRUPT, {0}, 0},
    {"unsynced, then a file",    {{SYNCED, 0}, {UNSYNCED, 100}, {CUT, 1}, {FILE_NEXT, 0}, {UNSYNCED, 100}}, ERR_OK, {47, 0, 0}, 0},
    {"a start without a write",  {{SYNCED, 0}, {FILE_NEXT, 0}},                   ERR_OK, {NOT_CUT, 0, 0}, 0},
    {"nothing but such starts",  {{FILE_NEXT, 0}, {FILE_NEXT, 0}},                ERR_OK, {0, 0, 0}, 0},
    {"a kind we never write",    {{SYNCED, 0}, {RECYCLED, 0}},                    ERR_NEWER, {0}, 0},
};
/* clang-format on */

#define FIRST_SEQ 100

static void file_path(const struct store *s, size_t file, char out[128]) {
    static const unsigned numbers[FILES_MAX] = {FIRST_NUMBER, SECOND_NUMBER, THIRD_NUMBER};

    snprintf(out, 128, "%s/%06u.log", s->dir, numbers[file]);
}

static uint64_t live_number;

static enum err live(const char *folder, uint64_t *out_number, char *out_detail,
                     size_t detail_size) {
    (void)folder;
    (void)out_detail;
    (void)detail_size;
    *out_number = live_number;
    return ERR_OK;
}

static void check_row(size_t row) {
    struct store s;
    struct scene scene = {.seq = FIRST_SEQ};
    char path[128];
    char detail[1024] = "";

    store_setup(&s);
    for (size_t i = 0; i < SCRIPT_MAX; i++)
        play(&scene, rows[row].steps[i]);
    for (size_t i = 0; i <= scene.file; i++) {
        file_path(&s, i, path);
        overwrite(path, 0, scene.files[i].ptr, scene.files[i].len);
    }
    live_number = rows[row].live;
    enum err got = wal_check(s.dir, live, detail, sizeof(detail));
    if (got != rows[row].want)
        fail_msg("%s: %s (%s)", rows[row].name, err_name(got), detail);
    bool cut = false;
    bool at_end = got == ERR_OK; /* where empty files are removed */
    for (size_t i = scene.file + 1; i-- > 0;) {
        bool whole = got != ERR_OK || rows[row].left[i] == NOT_CUT;
        size_t left = whole ? scene.files[i].len : rows[row].left[i];

        cut = cut || left != scene.files[i].len;
        at_end = at_end && left == 0;
        file_path(&s, i, path);
        if (at_end != (access(path, F_OK) != 0))
            fail_msg("%s: file %zu is there: %d", rows[row].name, i, at_end);
        if (!at_end && (size_t)file_size(path) != left)
            fail_msg("%s: file %zu has %zu bytes, not %zu", rows[row].name, i,
                     (size_t)file_size(path), left);
    }
    if (cut != (logged[0] != '\0'))
        fail_msg("%s: a cut and a warning go together", rows[row].name);
    if (got == ERR_OK && wal_check(s.dir, live, detail, sizeof(detail)) != ERR_OK)
        fail_msg("%s: not clean after the cut: %s", rows[row].name, detail);
    if (got != ERR_OK && !strstr(detail, s.dir))
        fail_msg("%s: \"%s\" doesn't name the folder", rows[row].name, detail);
    for (size_t i = 0; i < FILES_MAX; i++)
        buf_release(&scene.files[i]);
    store_teardown(&s);
}

static void test_rows(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(rows); row++)
        check_row(row);
}

/* The last record in every position relative to a block's end, cut at every byte near it. */
static void test_every_block_position(void **state) {
    (void)state;
    struct store s;
    char path[128];
    char detail[1024];

    store_setup(&s);
    file_path(&s, 0, path);
    for (size_t tail = 0; tail < 24; tail++) {
        struct buf log = {0};

        add_batch(&log, 100, 99, BLOCK - 7 - 47 - tail);
        add_batch(&log, 101, 100, SMALL);
        size_t whole = log.len;
        add_batch(&log, 102, 101, SMALL);
        for (size_t len = whole; len <= log.len; len++) {
            unlink(path);
            overwrite(path, 0, log.ptr, len);
            if (wal_check(s.dir, live, detail, sizeof(detail)) != ERR_OK)
                fail_msg("%zu before the block's end, %zu bytes: %s", tail, len, detail);
            /* Padding up to the block's end is part of a clean log. */
            size_t left = (size_t)file_size(path);
            bool padded = len < log.len && len == BLOCK && BLOCK - whole < 7;
            if (left != (len == log.len || padded ? len : whole))
                fail_msg("%zu before the block's end, %zu bytes: %zu left", tail, len, left);
        }
        buf_release(&log);
    }
    store_teardown(&s);
}

/* Damage, and behind it a record in every position relative to a block's end, so that its marker
 * is split at every byte: the marker decides, wherever it lies. */
static void test_a_marker_over_a_block_end(void **state) {
    (void)state;
    struct store s;
    char path[128];
    char detail[1024];

    store_setup(&s);
    file_path(&s, 0, path);
    for (size_t tail = 0; tail <= 7 + SMALL; tail++) {
        for (unsigned synced = 0; synced < 2; synced++) {
            struct buf log = {0};

            add_batch(&log, 100, 99, BLOCK - 7 - 47 - tail);
            size_t damaged = log.len;
            add_batch(&log, 101, 100, SMALL);
            assert_int_equal(BLOCK - log.len, tail);
            add_batch(&log, 102, synced ? 101 : 100, SMALL);
            log.ptr[damaged + 30] ^= 1;
            unlink(path);
            overwrite(path, 0, log.ptr, log.len);
            enum err got = wal_check(s.dir, live, detail, sizeof(detail));
            size_t left = (size_t)file_size(path);
            if (got != (synced ? ERR_CORRUPT : ERR_OK) || left != (synced ? log.len : damaged))
                fail_msg("%zu before the block's end, %s: %s, %zu bytes left", tail,
                         synced ? "synced" : "unsynced", err_name(got), left);
            buf_release(&log);
        }
    }
    store_teardown(&s);
}

static void test_crc32c(void **state) {
    (void)state;
    char bytes[300];

    assert_int_equal(crc32c("123456789", 9), 0xe3069283);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    for (size_t len = 0; len < sizeof(bytes); len++)
        assert_int_equal(crc32c(bytes, len), crc32c_by_table(bytes, len));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_block_position),
        cmocka_unit_test(test_a_marker_over_a_block_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
