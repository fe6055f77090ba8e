/* private_file.c - who may read it is asked of the open file: another can't be slipped in between.
 */
#include "edge/private_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_BYTES_MAX 1024

/* Who may read it can be us. Debian's ssl-cert lets a group read root's keys (0640). */
static bool is_private(const struct stat *st) {
    mode_t others = st->st_mode & (S_IRWXG | S_IRWXO);

    return others == 0 || (st->st_uid == 0 && others == S_IRGRP);
}

FILE *private_file_open(const char *path, const char **out_why) {
    FILE *in = fopen(path, "re");
    struct stat st;

    *out_why = NULL;
    if (!in || fstat(fileno(in), &st) != 0)
        *out_why = strerror(errno);
    else if (!is_private(&st))
        *out_why = "others may read it; say chmod 600 to it (or make it root's, with 640 and a "
                   "group for this service)";
    if (!*out_why)
        return in;
    if (in)
        (void)fclose(in);
    return NULL;
}

enum err private_file_line(const char *path, char *out, size_t size, const char **out_why) {
    char line[LINE_BYTES_MAX];
    FILE *in = private_file_open(path, out_why);

    if (!in)
        return ERR_INVALID;
    size_t read = fread(line, 1, sizeof(line), in);
    bool failed = ferror(in) != 0;
    (void)fclose(in);
    const char *end = memchr(line, '\n', read);
    size_t len = end ? (size_t)(end - line) : read;
    if (len > 0 && line[len - 1] == '\r')
        len--;
    if (failed)
        *out_why = "it can't be read";
    else if (len == 0)
        *out_why = "its first line is empty";
    else if (len >= size || len == sizeof(line))
        *out_why = "its first line is too long";
    else if (memchr(line, '\0', len))
        *out_why = "its first line has a zero byte";
    if (!*out_why) {
        memcpy(out, line, len);
        out[len] = '\0';
    }
    explicit_bzero(line, sizeof(line));
    return *out_why ? ERR_INVALID : ERR_OK;
}
