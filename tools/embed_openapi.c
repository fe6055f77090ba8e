/* embed_openapi.c - api/openapi.yaml as JSON in C, for the build:
 *
 *     embed_openapi OPENAPI.yaml OUT.c
 *
 * YAML's core schema as far as JSON goes: plain null, true, false and numbers are those, all else
 * is a string. Aliases are written out where they stand; there are no merge keys. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 64

struct json {
    char *text;
    size_t len;
};

static _Noreturn void fail(const char *what, size_t line) {
    fprintf(stderr, "embed_openapi: line %zu: %s\n", line + 1, what);
    exit(1);
}

/* RFC 8259 section 7. */
static void put_string(FILE *to, const unsigned char *text, size_t len) {
    fputc('"', to);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            fprintf(to, "\\%c", text[i]);
        else if (text[i] < 0x20)
            fprintf(to, "\\u%04x", text[i]);
        else
            fputc(text[i], to);
    }
    fputc('"', to);
}

static bool is_number(const char *text) {
    char *end;

    if (!strpbrk(text, "0123456789") || text[strspn(text, "+-.0123456789eE")] != '\0')
        return false;
    errno = 0;
    (void)strtod(text, &end);
    return errno == 0 && *end == '\0' && text[0] != '+' && text[0] != '.';
}

static void put_scalar(FILE *to, const yaml_node_t *node) {
    const char *text = (const char *)node->data.scalar.value;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (plain && (!*text || strcmp(text, "~") == 0))
        fputs("null", to);
    else if (plain && (strcmp(text, "null") == 0 || strcmp(text, "true") == 0 ||
                       strcmp(text, "false") == 0 || is_number(text)))
        fputs(text, to);
    else
        put_string(to, node->data.scalar.value, node->data.scalar.length);
}

static void put_node(FILE *to, yaml_document_t *yaml, int index, unsigned depth);

static void put_mapping(FILE *to, yaml_document_t *yaml, const yaml_node_t *node, unsigned depth) {
    const yaml_node_pair_t *start = node->data.mapping.pairs.start;

    fputc('{', to);
    for (const yaml_node_pair_t *pair = start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(yaml, pair->key);

        if (key->type != YAML_SCALAR_NODE)
            fail("a key that is not a scalar", key->start_mark.line);
        if (strcmp((const char *)key->data.scalar.value, "<<") == 0)
            fail("merge keys are not JSON's", key->start_mark.line);
        if (pair > start)
            fputc(',', to);
        put_string(to, key->data.scalar.value, key->data.scalar.length);
        fputc(':', to);
        put_node(to, yaml, pair->value, depth + 1);
    }
    fputc('}', to);
}

static void put_sequence(FILE *to, yaml_document_t *yaml, const yaml_node_t *node, unsigned depth) {
    const yaml_node_item_t *start = node->data.sequence.items.start;

    fputc('[', to);
    for (const yaml_node_item_t *item = start; item < node->data.sequence.items.top; item++) {
        if (item > start)
            fputc(',', to);
        put_node(to, yaml, *item, depth + 1);
    }
    fputc(']', to);
}

static void put_node(FILE *to, yaml_document_t *yaml, int index, unsigned depth) {
    const yaml_node_t *node = yaml_document_get_node(yaml, index);

    if (depth > DEPTH_MAX) /* an alias may stand inside what it names */
        fail("too deep", node->start_mark.line);
    if (node->type == YAML_MAPPING_NODE)
        put_mapping(to, yaml, node, depth);
    else if (node->type == YAML_SEQUENCE_NODE)
        put_sequence(to, yaml, node, depth);
    else
        put_scalar(to, node);
}

static struct json read_yaml(const char *path) {
    struct json json = {0};
    yaml_parser_t parser;
    yaml_document_t yaml;
    FILE *in = fopen(path, "rb");

    if (!in || !yaml_parser_initialize(&parser))
        fail("can't be read", 0);
    yaml_parser_set_input_file(&parser, in);
    if (!yaml_parser_load(&parser, &yaml))
        fail(parser.problem, parser.problem_mark.line);
    if (!yaml_document_get_root_node(&yaml))
        fail("is empty", 0);
    FILE *out = open_memstream(&json.text, &json.len);
    if (!out)
        fail("out of memory", 0);
    put_node(out, &yaml, 1, 0);
    if (fclose(out) != 0)
        fail("out of memory", 0);
    yaml_document_delete(&yaml);
    yaml_parser_delete(&parser);
    (void)fclose(in);
    return json;
}

/* A byte a number: C compilers needn't take a string literal this long. */
static bool write_c(const char *path, const struct json *json) {
    FILE *out = fopen(path, "w");

    if (!out)
        return false;
    fputs("/* Made by tools/embed_openapi. */\n#include \"gateway/openapi.h\"\n\n"
          "static const char text[] = {\n",
          out);
    for (size_t i = 0; i < json->len; i++)
        fprintf(out, "%d,%c", json->text[i], i % 20 == 19 ? '\n' : ' ');
    fputs("\n};\n\nconst struct slice openapi_json = {text, sizeof(text)};\n", out);
    return fclose(out) == 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fputs("usage: embed_openapi OPENAPI.yaml OUT.c\n", stderr);
        return 64;
    }
    struct json json = read_yaml(argv[1]);
    bool written = write_c(argv[2], &json);

    free(json.text);
    return written ? 0 : 1;
}
