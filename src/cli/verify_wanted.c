/* verify_wanted.c - a prefix, a list of counters, or all. */
#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "cli/verify_internal.h"
#include "edge/redis_name.h"

#define LIST_BYTES_MAX ((size_t)1 << 30)

static int read_list(struct verify *verify, const char *path) {
    struct buf *text = &verify->wanted.text;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    size_t got = 1;

    if (!file)
        return verify_give_up(verify, EX_NOINPUT, "%s: %s", path, strerror(errno));
    while (got && text->len < LIST_BYTES_MAX && buf_reserve(text, 65536)) {
        got = fread(text->ptr + text->len, 1, 65536, file);
        text->len += got;
    }
    bool bad = ferror(file) || buf_failed(text) || got;
    if (file != stdin)
        (void)fclose(file);
    return bad ? verify_give_up(verify, EX_NOINPUT, "%s: it can't be read, or is too long", path)
               : EX_OK;
}

int verify_wanted_read(struct verify *verify) {
    const char *prefix = verify->options->value[TOOL_FLAG_PREFIX];
    const char *list = verify->options->value[TOOL_FLAG_LIST];

    if (prefix && list)
        return verify_give_up(verify, EX_USAGE, "--prefix or --list, not both");
    verify->wanted.prefix = prefix ? slice_str(prefix) : SLICE("");
    verify->wanted.listed = list != NULL;
    return list ? read_list(verify, list) : EX_OK;
}

void verify_wanted_release(struct verify_wanted *wanted) {
    buf_release(&wanted->text);
}

bool verify_is_wanted(const struct verify_wanted *wanted, struct slice resource_id) {
    return slice_starts(resource_id, wanted->prefix);
}

bool verify_wanted_next(struct slice *list, struct slice *out_resource, struct buf *out_type,
                        struct slice *out_bad) {
    *out_bad = (struct slice){NULL, 0};
    while (list->len) {
        const char *end = memchr(list->ptr, '\n', list->len);
        struct slice line = slice_of(list->ptr, end ? (size_t)(end - list->ptr) : list->len);

        *list = slice_skip(*list, line.len + (end != NULL));
        if (!line.len)
            continue;
        if (redis_name_read(line, out_resource, out_type) == ERR_OK)
            return true;
        *out_bad = line;
        return false;
    }
    return false;
}

int verify_wanted_bad(const struct verify *verify, struct slice bad) {
    return verify_give_up(verify, EX_DATAERR, "--list: \"%.*s\" is no RESOURCE:TYPE",
                          SLICE_ARGS(bad));
}
