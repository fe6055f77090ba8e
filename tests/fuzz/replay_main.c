/* replay_main.c - runs a fuzz target over files and folders, without a fuzzer.
 *
 * So that the corpora are tests for every compiler. Finding no file at all is a
 * failure: a corpus that moved away must not stay green.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path, size_t bytes, size_t *count) {
    /* Memory of the file's own size: reading past it is a report of ASan's. */
    uint8_t *data = malloc(bytes ? bytes : 1);
    FILE *file = fopen(path, "rb");
    bool whole = data && file && fread(data, 1, bytes, file) == bytes;

    if (file)
        fclose(file);
    if (whole) {
        LLVMFuzzerTestOneInput(data, bytes);
        (*count)++;
    } else {
        fprintf(stderr, "can't read %s\n", path);
    }
    free(data);
    return whole;
}

static bool replay_dir(const char *path, size_t *count) {
    DIR *dir = opendir(path);
    bool ok = dir != NULL;

    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        char name[4096];
        struct stat info;
        int len = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);

        if (*entry->d_name == '.')
            continue;
        ok = len > 0 && (size_t)len < sizeof(name) && stat(name, &info) == 0;
        if (ok && S_ISREG(info.st_mode))
            ok = replay_file(name, (size_t)info.st_size, count);
    }
    if (dir)
        closedir(dir);
    return ok;
}

int main(int argc, char **argv) {
    size_t count = 0;

    for (int i = 1; i < argc; i++) {
        struct stat info;
        bool ok = stat(argv[i], &info) == 0;

        if (ok && S_ISDIR(info.st_mode))
            ok = replay_dir(argv[i], &count);
        else if (ok)
            ok = replay_file(argv[i], (size_t)info.st_size, &count);
        if (!ok) {
            fprintf(stderr, "%s: can't replay %s\n", argv[0], argv[i]);
            return 1;
        }
    }
    printf("%zu inputs\n", count);
    return count ? 0 : 1;
}
