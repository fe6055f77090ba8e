/* print_config.c - one line per row, groups as nested maps. */
#include "cli/print_config.h"

#define COMMENT_COLUMN 40u

/* As a YAML double-quoted scalar; config_set() let no control character in. */
static void put_quoted(struct slice text, struct buf *out) {
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, text.ptr[i]);
    }
    buf_add_char(out, '"');
}

static bool is_text(const struct config_row *row) {
    return row->kind == CONFIG_ADDRESS || row->kind == CONFIG_PATH || row->kind == CONFIG_NAMES ||
           row->kind == CONFIG_URL;
}

void print_config_group(enum config_key key, struct buf *out) {
    size_t len = config_group_len(config_row(key));
    const struct config_row *before = key ? config_row(key - 1) : NULL;

    if (len && !(before && strncmp(before->key, config_row(key)->key, len + 1) == 0))
        buf_printf(out, "%.*s:\n", (int)len, config_row(key)->key);
}

void print_config_row(const struct config *cfg, enum config_key key, struct buf *out) {
    const struct config_row *row = config_row(key);
    size_t group = config_group_len(row);
    struct buf value = {0};

    buf_printf(out, "%s%s: ", group ? "  " : "", row->key + (group ? group + 1 : 0));
    config_print_value(cfg, key, &value);
    if (is_text(row))
        put_quoted(buf_slice(&value), out);
    else
        buf_add_slice(out, buf_slice(&value));
    buf_release(&value);
}

void print_config(const struct config *cfg, struct buf *out) {
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        enum config_key key = (enum config_key)i;

        print_config_group(key, out);
        size_t start = out->len;
        print_config_row(cfg, key, out);
        do
            buf_add_char(out, ' ');
        while (!buf_failed(out) && out->len - start < COMMENT_COLUMN);
        buf_add_str(out, "# ");
        config_print_source(config_row(key), cfg->source[i], out);
        buf_add_char(out, '\n');
    }
}
