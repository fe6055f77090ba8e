/* replay_main.c - runs a fuzz target over files, for compilers without libFuzzer.
 *
 *     fuzz_X FILE-OR-FOLDER...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t files;

static void give_up(const char *path) {
    perror(path);
    exit(1);
}

static void replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct buf bytes = {0};
    char piece[4096];
    size_t got;

    if (!file)
        give_up(path);
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_add(&bytes, piece, got);
    if (ferror(file) || buf_failed(&bytes))
        give_up(path);
    (void)fclose(file);
    /* A copy of the exact size, so that a sanitizer sees a read past its end. */
    uint8_t *exact = malloc(bytes.len ? bytes.len : 1);
    if (!exact)
        give_up(path);
    if (bytes.len)
        memcpy(exact, bytes.ptr, bytes.len);
    (void)LLVMFuzzerTestOneInput(exact, bytes.len);
    free(exact);
    buf_release(&bytes);
    files++;
}

static void replay_folder(const char *path) {
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir)
        give_up(path);
    while ((entry = readdir(dir))) {
        struct buf name = {0};

        if (entry->d_name[0] == '.')
            continue;
        buf_printf(&name, "%s/%s%c", path, entry->d_name, '\0');
        replay_file(name.ptr);
        buf_release(&name);
    }
    (void)closedir(dir);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct stat info;

        if (stat(argv[i], &info) != 0)
            give_up(argv[i]);
        if (S_ISDIR(info.st_mode))
            replay_folder(argv[i]);
        else
            replay_file(argv[i]);
    }
    (void)printf("%zu inputs replayed\n", files);
    /* A corpus that isn't there must not look like one that passes. */
    return files ? 0 : 1;
}
