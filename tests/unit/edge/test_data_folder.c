/* test_data_folder.c - which folders are taken, which are refused, and what the refusal says. */
#include "store_fixture.h"

static void write_file(const struct store *s, const char *name, const char *text) {
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", s->data, name);
    unlink(path);
    overwrite(path, 0, text, strlen(text));
}

static void test_parents_are_made(void **state) {
    (void)state;
    struct store s;
    struct stat st;

    store_setup(&s);
    snprintf(s.data, sizeof(s.data), "%s/a/b/c", s.dir);
    store_must_open(&s);
    assert_int_equal(stat(s.data, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    store_teardown(&s);
}

static void test_a_strangers_folder_is_left_alone(void **state) {
    (void)state;
    struct store s;
    char path[160];

    store_setup(&s);
    assert_int_equal(mkdir(s.data, 0750), 0);
    write_file(&s, "thesis.tex", "years of work");
    store_must_refuse(&s, ERR_INVALID, "thesis.tex");
    snprintf(path, sizeof(path), "%s/OWNER", s.data);
    assert_int_not_equal(access(path, F_OK), 0);
    store_teardown(&s);
}

static void test_a_fresh_file_system_is_empty(void **state) {
    (void)state;
    struct store s;
    char path[160];

    store_setup(&s);
    snprintf(path, sizeof(path), "%s/lost+found", s.data);
    assert_int_equal(mkdir(s.data, 0750), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    store_must_open(&s);
    store_teardown(&s);
}

/* clang-format off */
static const struct {
    const char *text;
    enum err want;
    const char *word;
} formats[] = {
    {"highgopress-store 2\n",          ERR_NEWER,   "format 2"},
    {"highgopress-store 7 creating\n", ERR_NEWER,   "format 7"},
    {"highgopress-store 99 x y z\n",   ERR_NEWER,   "version"},
    {"highgopress-store 0\n",          ERR_CORRUPT, "FORMAT"},
    {"highgopress-store 1 odd\n",      ERR_CORRUPT, "FORMAT"},
    {"highgopress-store\n",            ERR_CORRUPT, "FORMAT"},
    {"somebody else's\n",              ERR_CORRUPT, "FORMAT"},
    {"",                               ERR_CORRUPT, "FORMAT"},
};
/* clang-format on */

static void test_formats(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    store_must_open(&s);
    put_str(s.kv, KV_META, "a", "1");
    assert_int_equal(kv_commit(s.kv, true), ERR_OK);
    store_close(&s);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        write_file(&s, "FORMAT", formats[i].text);
        store_must_refuse(&s, formats[i].want, formats[i].word);
    }
    write_file(&s, "FORMAT", "highgopress-store 1\n");
    store_must_open(&s);
    assert_string_equal(get_str(s.kv, KV_META, "a"), "1");
    store_teardown(&s);
}

/* A crash while the store was made: nothing was ever acknowledged, so it is made again. */
static void test_an_interrupted_creation_goes_on(void **state) {
    (void)state;
    struct store s;
    char current[160];

    store_setup(&s);
    store_must_open(&s);
    store_close(&s);
    snprintf(current, sizeof(current), "%s/CURRENT", s.data);
    assert_int_equal(unlink(current), 0);
    store_must_refuse(&s, ERR_CORRUPT, "CURRENT");
    /* RocksDB makes its log after CURRENT: the start above has removed it, empty as it is. */
    write_file(&s, "FORMAT", "highgopress-store 1 creating\n");
    store_must_open(&s);
    store_close(&s);
    assert_int_equal(unlink(current), 0); /* made completely by now */
    store_must_refuse(&s, ERR_CORRUPT, "CURRENT");
    store_teardown(&s);
}

static void test_a_file_in_the_way(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    overwrite(s.data, 0, "x", 1);
    store_must_refuse(&s, ERR_IO, "file");
    char *end = s.data + strlen(s.data);
    snprintf(end, 8, "/sub");
    store_must_refuse(&s, ERR_IO, "file");
    store_teardown(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parents_are_made),
        cmocka_unit_test(test_a_strangers_folder_is_left_alone),
        cmocka_unit_test(test_a_fresh_file_system_is_empty),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_an_interrupted_creation_goes_on),
        cmocka_unit_test(test_a_file_in_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
