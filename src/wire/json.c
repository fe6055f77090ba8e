/* json.c - the structure of a JSON document, as a small pushdown automaton.
 *
 *     VALUE ──► (scalar) ──► AFTER ──► ',' ──► VALUE or KEY
 *       │                      ▲ └───► ']' '}' ──► AFTER, one level up
 *       ├─ '[' ──► ITEM_OR_END─┤
 *       └─ '{' ──► KEY_OR_END ─┘    AFTER at level 0 is the end
 *
 * The stack is one bit for each open level: array or object.
 */
#include "wire/json.h"

#include "wire/json_text.h"

enum { VALUE, ITEM_OR_END, KEY_OR_END, AFTER, FAILED };

void json_reader_init(struct json_reader *reader, struct slice document) {
    const char *begin = document.ptr ? document.ptr : ""; /* no body at all */

    *reader = (struct json_reader){
        .begin = begin,
        .now = begin,
        .end = begin + document.len,
        .state = VALUE,
    };
}

static enum json_type fail(struct json_reader *r, const char *what) {
    r->state = FAILED;
    r->error = (struct json_error){(size_t)(r->now - r->begin), what};
    return JSON_ERROR;
}

static enum json_type fail_inside(struct json_reader *r, struct json_error inside) {
    r->now += inside.at;
    return fail(r, inside.what);
}

/* RFC 8259 section 2: these four and no other white space. */
static inline void skip_space(struct json_reader *r) {
    while (r->now < r->end &&
           (*r->now == ' ' || *r->now == '\n' || *r->now == '\r' || *r->now == '\t'))
        r->now++;
}

static enum json_type open_level(struct json_reader *r, bool object) {
    if (r->depth == JSON_MAX_DEPTH)
        return fail(r, "arrays and objects are nested more than 32 deep");
    r->depth++;
    r->objects = r->objects << 1 | object;
    r->state = object ? KEY_OR_END : ITEM_OR_END;
    r->now++;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static enum json_type close_level(struct json_reader *r) {
    bool object = r->objects & 1;

    r->depth--;
    r->objects >>= 1;
    r->state = AFTER;
    r->now++;
    return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static enum json_type read_word(struct json_reader *r, struct slice word, enum json_type type) {
    if (!slice_starts(slice_of(r->now, (size_t)(r->end - r->now)), word))
        return fail(r, "expected a value");
    r->now += word.len;
    r->state = AFTER;
    return type;
}

static enum json_type read_string(struct json_reader *r, struct json_token *out) {
    struct json_error error;

    r->now++;
    const char *behind = json_scan_string(r->now, r->end, out, &error);
    if (!behind)
        return fail_inside(r, error);
    r->now = behind;
    r->state = AFTER;
    return JSON_STRING;
}

static enum json_type read_number(struct json_reader *r, struct json_token *out) {
    struct json_error error;
    const char *behind = json_scan_number(r->now, r->end, out, &error);

    if (!behind)
        return fail_inside(r, error);
    r->now = behind;
    r->state = AFTER;
    return JSON_NUMBER;
}

static enum json_type read_value(struct json_reader *r, struct json_token *out) {
    if (r->now == r->end)
        return fail(r, "the document ends where a value must be");
    switch (*r->now) {
    case '"':
        return read_string(r, out);
    case '{':
        return open_level(r, true);
    case '[':
        return open_level(r, false);
    case 't':
        return read_word(r, SLICE("true"), JSON_TRUE);
    case 'f':
        return read_word(r, SLICE("false"), JSON_FALSE);
    case 'n':
        return read_word(r, SLICE("null"), JSON_NULL);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return read_number(r, out);
    default:
        /* RFC 8259 section 8.1: a sender must not add one. */
        if (r->now == r->begin && *r->now == '\xEF')
            return fail(r, "begins with a byte order mark or isn't JSON; send UTF-8 without one");
        return fail(r, "expected a value");
    }
}

/* A member's name and the colon behind it. */
static enum json_type read_key(struct json_reader *r, struct json_token *out) {
    if (r->now == r->end || *r->now != '"')
        return fail(r, "expected a field name in quotes");
    if (read_string(r, out) == JSON_ERROR)
        return JSON_ERROR;
    skip_space(r);
    if (r->now == r->end || *r->now != ':')
        return fail(r, "expected ':' behind a field name");
    r->now++;
    r->state = VALUE;
    return JSON_KEY;
}

/* Behind a value: the next one, the end of its level, or the end of it all. */
static enum json_type read_after(struct json_reader *r, struct json_token *out) {
    bool object = r->objects & 1;

    if (r->depth == 0)
        return r->now == r->end ? JSON_END : fail(r, "there are bytes behind the document");
    if (r->now == r->end)
        return fail(r, object ? "the document ends inside an object"
                              : "the document ends inside an array");
    if (*r->now == (object ? '}' : ']'))
        return close_level(r);
    if (*r->now != ',')
        return fail(r, object ? "expected ',' or '}'" : "expected ',' or ']'");
    r->now++;
    skip_space(r);
    return object ? read_key(r, out) : read_value(r, out);
}

static enum json_type read_token(struct json_reader *r, struct json_token *out) {
    skip_space(r);
    switch (r->state) {
    case VALUE:
        return read_value(r, out);
    case ITEM_OR_END:
        return r->now < r->end && *r->now == ']' ? close_level(r) : read_value(r, out);
    case KEY_OR_END:
        return r->now < r->end && *r->now == '}' ? close_level(r) : read_key(r, out);
    case AFTER:
        return read_after(r, out);
    default:
        return JSON_ERROR;
    }
}

enum json_type json_next(struct json_reader *reader, struct json_token *out) {
    *out = (struct json_token){0};
    out->type = read_token(reader, out);
    return out->type;
}

bool json_skip(struct json_reader *reader, const struct json_token *first) {
    struct json_token token;

    if (first->type == JSON_ERROR)
        return false;
    if (first->type != JSON_ARRAY && first->type != JSON_OBJECT)
        return true;
    /* 'first' opened the level that is innermost now. */
    for (unsigned outside = reader->depth - 1; reader->depth > outside;)
        if (json_next(reader, &token) == JSON_ERROR)
            return false;
    return true;
}

const char *json_type_name(enum json_type type) {
    switch (type) {
    case JSON_NULL:
        return "null";
    case JSON_FALSE:
    case JSON_TRUE:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
    case JSON_KEY:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    case JSON_OBJECT:
        return "an object";
    default:
        return "nothing";
    }
}

bool json_validate(struct slice document, struct json_error *out_error) {
    struct json_reader reader;
    struct json_token token;

    json_reader_init(&reader, document);
    while (json_next(&reader, &token) != JSON_END) {
        if (token.type == JSON_ERROR) {
            *out_error = reader.error;
            return false;
        }
    }
    return true;
}
