/* config_yaml.c - libyaml's events, walked by recursive descent.
 *
 *     stream ─► document ─► map ─► (key ─► value | map)*
 *
 * A function returns false when reading can't go on; the problem is added by
 * then. Problems with a key or a value don't stop the reading.
 */
#include "wire/config_yaml.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/similar.h"

#define PATH_BYTES 256u

struct reader {
    yaml_parser_t parser;
    struct config *cfg;
    struct config_problems *problems;
    enum config_layer layer;
    const char *file;
    yaml_event_t event;               /* the one being looked at */
    bool has_event;                   /* 'event' needs yaml_event_delete() */
    char path[PATH_BYTES];            /* dotted, of where we are */
    unsigned key_line;                /* of the path's last key */
    unsigned value_line[CONFIG_KEYS]; /* where the key came first; 0: not yet */
    unsigned group_line[CONFIG_KEYS]; /* the same for a group, by its first row */
};

static unsigned line_of(const struct reader *reader) {
    return (unsigned)reader->event.start_mark.line + 1;
}

static void complain(struct reader *reader, const char *why) {
    config_problem(reader->problems, "%s:%u: %s", reader->file, line_of(reader), why);
}

static bool stop(struct reader *reader, const char *why) {
    complain(reader, why);
    return false;
}

static bool has_anchor(const yaml_event_t *event) {
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    default:
        return false;
    }
}

static bool has_tag(const yaml_event_t *event) {
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.tag;
    default:
        return false;
    }
}

/* The next event, or false. Aliases are how a small file becomes a huge
 * document ("billion laughs"), and none is needed here. */
static bool next(struct reader *reader) {
    if (reader->has_event)
        yaml_event_delete(&reader->event);
    reader->has_event = yaml_parser_parse(&reader->parser, &reader->event);
    if (!reader->has_event) {
        const char *what = reader->parser.problem ? reader->parser.problem : "out of memory";

        /* The text itself isn't shown: it may hold a password. */
        config_problem(reader->problems, "%s:%zu: not YAML: %s", reader->file,
                       reader->parser.problem_mark.line + 1, what);
        return false;
    }
    if (has_anchor(&reader->event))
        return stop(reader, "anchors and aliases are not allowed");
    if (has_tag(&reader->event))
        return stop(reader, "tags are not allowed");
    return true;
}

/* Past the value that the event begins. Bounded in depth because libyaml takes
 * time quadratic in the depth of open brackets: 256 KiB of them, a minute. */
static bool skip_value(struct reader *reader) {
    unsigned open = 0;

    for (;;) {
        yaml_event_type_t type = reader->event.type;

        if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
            open++;
        if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
            open--;
        if (open == 0)
            return true;
        if (open > CONFIG_YAML_DEPTH_MAX)
            return stop(reader, "nested too deep");
        if (!next(reader))
            return false;
    }
}

/* The first row of the group that the path names; CONFIG_KEYS: no group. */
static unsigned find_group(const char *path) {
    size_t len = strlen(path);
    unsigned i = 0;

    while (i < CONFIG_KEYS && !(strncmp(config_row((enum config_key)i)->key, path, len) == 0 &&
                                config_row((enum config_key)i)->key[len] == '.'))
        i++;
    return i;
}

/* True when 'first_line' was still free. */
static bool claim(struct reader *reader, unsigned *first_line) {
    if (*first_line) {
        config_problem(reader->problems, "%s:%u: %s is there twice, first in line %u", reader->file,
                       reader->key_line, reader->path, *first_line);
        return false;
    }
    *first_line = reader->key_line;
    return true;
}

static bool is_null(const yaml_event_t *event) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    const char *text = (const char *)event->data.scalar.value;

    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
        if (strcmp(text, nulls[i]) == 0)
            return true;
    return false;
}

static void take_scalar(struct reader *reader) {
    struct config_source source = {reader->layer, reader->key_line, reader->file};
    enum config_key key = config_find(reader->path);
    unsigned group = find_group(reader->path);
    const char *text = (const char *)reader->event.data.scalar.value;

    if (group != CONFIG_KEYS) {
        /* "limits:" with every key below it commented out. */
        if (claim(reader, &reader->group_line[group]) && !is_null(&reader->event))
            complain(reader, "a group of keys needs a map, not a value");
        return;
    }
    if (key != CONFIG_KEYS && !claim(reader, &reader->value_line[key]))
        return;
    if (strlen(text) != reader->event.data.scalar.length) {
        complain(reader, "a value has a NUL in it");
        return;
    }
    (void)config_set(reader->cfg, reader->path, is_null(&reader->event) ? "" : text, source,
                     reader->problems);
}

static void refuse_unknown(struct reader *reader) {
    struct similar near = similar_to(reader->path);

    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);
        char group[CONFIG_NAME_BYTES];

        (void)snprintf(group, sizeof(group), "%.*s", (int)config_group_len(row), row->key);
        if (group[0])
            similar_offer(&near, group);
        similar_offer(&near, row->key);
    }
    config_problem(reader->problems, "%s:%u: there is no key \"%s\"%s%s", reader->file,
                   reader->key_line, reader->path, near.found[0] ? "; did you mean " : "",
                   near.found);
}

/* A map or a list where there should be one value, or a list where there
 * should be a map. */
static void refuse_shape(struct reader *reader, const char *shape) {
    bool is_key = config_find(reader->path) != CONFIG_KEYS;

    if (is_key || find_group(reader->path) != CONFIG_KEYS)
        config_problem(reader->problems, "%s:%u: %s needs %s, not a %s", reader->file,
                       reader->key_line, reader->path, is_key ? "one value" : "a map", shape);
    else
        refuse_unknown(reader);
}

static bool read_map(struct reader *reader, unsigned depth);

static bool take_map(struct reader *reader, unsigned depth) {
    unsigned group = find_group(reader->path);

    if (depth > CONFIG_YAML_DEPTH_MAX)
        return stop(reader, "nested too deep");
    if (group == CONFIG_KEYS) {
        refuse_shape(reader, "map");
        return skip_value(reader);
    }
    if (!claim(reader, &reader->group_line[group]))
        return skip_value(reader);
    return read_map(reader, depth);
}

/* The event is the key; adds it to the path. */
static bool enter_key(struct reader *reader) {
    size_t len = strlen(reader->path);

    if (reader->event.type != YAML_SCALAR_EVENT)
        return stop(reader, "a key must be plain text");
    reader->key_line = line_of(reader);
    const char *key = (const char *)reader->event.data.scalar.value;
    size_t key_len = reader->event.data.scalar.length;
    if (key_len != strlen(key) || key_len == 0 || len + 1 + key_len >= PATH_BYTES)
        return stop(reader, "a key is empty, too long or has a NUL in it");
    (void)snprintf(reader->path + len, PATH_BYTES - len, "%s%s", len ? "." : "", key);
    return true;
}

static bool take_value(struct reader *reader, unsigned depth) {
    switch (reader->event.type) {
    case YAML_SCALAR_EVENT:
        take_scalar(reader);
        return true;
    case YAML_MAPPING_START_EVENT:
        return take_map(reader, depth + 1);
    default:
        refuse_shape(reader, "list");
        return skip_value(reader);
    }
}

/* The event is the map's start; at its end when true. */
static bool read_map(struct reader *reader, unsigned depth) {
    size_t len = strlen(reader->path);

    for (;;) {
        if (!next(reader))
            return false;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return true;
        if (!enter_key(reader) || !next(reader) || !take_value(reader, depth))
            return false;
        reader->path[len] = '\0';
    }
}

static bool read_root(struct reader *reader) {
    if (reader->event.type == YAML_MAPPING_START_EVENT)
        return read_map(reader, 1);
    if (reader->event.type == YAML_SCALAR_EVENT && is_null(&reader->event))
        return true;
    return stop(reader, "the file must be a map of keys");
}

static void read_stream(struct reader *reader) {
    if (!next(reader) || !next(reader)) /* the stream's start, the document's start */
        return;
    if (reader->event.type == YAML_STREAM_END_EVENT)
        return;
    if (!next(reader) || !read_root(reader))
        return;
    if (!next(reader) || !next(reader)) /* the document's end, the stream's end */
        return;
    if (reader->event.type != YAML_STREAM_END_EVENT)
        complain(reader, "the file must be one document");
}

void config_yaml_read(struct config *cfg, struct slice text, enum config_layer layer,
                      const char *file, struct config_problems *problems) {
    struct reader reader = {.cfg = cfg, .problems = problems, .layer = layer, .file = file};

    if (text.len > CONFIG_YAML_BYTES_MAX) {
        config_problem(problems, "%s: larger than %u bytes", file, CONFIG_YAML_BYTES_MAX);
        return;
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        config_problem(problems, "%s: out of memory", file);
        return;
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.ptr, text.len);
    read_stream(&reader);
    if (reader.has_event)
        yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
}
