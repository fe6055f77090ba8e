/* test_json_suite.c - JSONTestSuite: 95 accepted, 188 rejected, 35 pinned.
 *
 * The folder with the files is the argument; see run_json_suite.sh.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "test.h"
#include "wire/json.h"

enum { Y_FILES = 95, N_FILES = 188, I_FILES = 35 };

static const char *folder;

/* RFC 8259 leaves these open; this is what we do with them. The numbers are
 * fine as text, and become an error only when a field asks for an int64. */
/* clang-format off */
static const struct {
    const char *name;
    bool accepted;
} pinned[] = {
    {"i_number_double_huge_neg_exp.json",                  true },
    {"i_number_huge_exp.json",                             true },
    {"i_number_neg_int_huge_exp.json",                     true },
    {"i_number_pos_double_huge_exp.json",                  true },
    {"i_number_real_neg_overflow.json",                    true },
    {"i_number_real_pos_overflow.json",                    true },
    {"i_number_real_underflow.json",                       true },
    {"i_number_too_big_neg_int.json",                      true },
    {"i_number_too_big_pos_int.json",                      true },
    {"i_number_very_big_negative_int.json",                true },
    {"i_object_key_lone_2nd_surrogate.json",               false},
    {"i_string_1st_surrogate_but_2nd_missing.json",        false},
    {"i_string_1st_valid_surrogate_2nd_invalid.json",      false},
    {"i_string_UTF-16LE_with_BOM.json",                    false},
    {"i_string_UTF-8_invalid_sequence.json",               false},
    {"i_string_UTF8_surrogate_U+D800.json",                false},
    {"i_string_incomplete_surrogate_and_escape_valid.json", false},
    {"i_string_incomplete_surrogate_pair.json",            false},
    {"i_string_incomplete_surrogates_escape_valid.json",   false},
    {"i_string_invalid_lonely_surrogate.json",             false},
    {"i_string_invalid_surrogate.json",                    false},
    {"i_string_invalid_utf-8.json",                        false},
    {"i_string_inverted_surrogates_U+1D11E.json",          false},
    {"i_string_iso_latin_1.json",                          false},
    {"i_string_lone_second_surrogate.json",                false},
    {"i_string_lone_utf8_continuation_byte.json",          false},
    {"i_string_not_in_unicode_range.json",                 false},
    {"i_string_overlong_sequence_2_bytes.json",            false},
    {"i_string_overlong_sequence_6_bytes.json",            false},
    {"i_string_overlong_sequence_6_bytes_null.json",       false},
    {"i_string_truncated-utf-8.json",                      false},
    {"i_string_utf16BE_no_BOM.json",                       false},
    {"i_string_utf16LE_no_BOM.json",                       false},
    {"i_structure_500_nested_arrays.json",                 false},
    {"i_structure_UTF-8_BOM_empty_object.json",            false},
};
/* clang-format on */

static bool accepts(const char *name) {
    struct buf path = {0};
    struct buf bytes = {0};
    struct json_error error;
    char piece[4096];
    size_t got;

    buf_printf(&path, "%s/%s%c", folder, name, '\0');
    FILE *file = fopen(path.ptr, "rb");
    if (!file)
        fail_msg("can't open %s", path.ptr);
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_add(&bytes, piece, got);
    assert_false(ferror(file) || buf_failed(&bytes));
    assert_int_equal(fclose(file), 0);
    bool accepted = json_validate(buf_slice(&bytes), &error);
    buf_release(&bytes);
    buf_release(&path);
    return accepted;
}

/* Every file whose name begins with 'prefix' is accepted, or is rejected. */
static void check_all(const char *prefix, bool accepted, int want_files) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int files = 0;

    if (!dir)
        fail_msg("can't open the folder %s", folder);
    while ((entry = readdir(dir))) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        files++;
        if (accepts(entry->d_name) != accepted)
            fail_msg("%s: %s", entry->d_name, accepted ? "rejected" : "accepted");
    }
    closedir(dir);
    assert_int_equal(files, want_files);
}

static void test_y_accepted(void **state) {
    (void)state;
    check_all("y_", true, Y_FILES);
}

static void test_n_rejected(void **state) {
    (void)state;
    check_all("n_", false, N_FILES);
}

static void test_i_pinned(void **state) {
    (void)state;
    assert_int_equal(ARRAY_LEN(pinned), I_FILES);
    for (size_t i = 0; i < ARRAY_LEN(pinned); i++)
        if (accepts(pinned[i].name) != pinned[i].accepted)
            fail_msg("%s: %s", pinned[i].name, pinned[i].accepted ? "rejected" : "accepted");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_y_accepted),
        cmocka_unit_test(test_n_rejected),
        cmocka_unit_test(test_i_pinned),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
