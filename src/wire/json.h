/* json.h - a strict pull parser for JSON (RFC 8259) over bytes in memory.
 *
 * json_next() hands out one token at a time and checks the whole grammar on
 * the way; it neither recurses nor allocates. Anything RFC 8259 doesn't allow
 * is an error: comments, trailing commas, a byte order mark, bytes behind the
 * document, invalid UTF-8, and escapes of unpaired surrogates, which no UTF-8
 * text can hold.
 *
 * Threads    One owner at a time; the functions without a reader any thread.
 * Ownership  Tokens point into the document.
 * Limits     JSON_MAX_DEPTH arrays and objects inside each other. Numbers are
 *            text of any size until somebody asks for an int64.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

/* Stops nesting bombs; one bit of json_reader.objects for each level. */
#define JSON_MAX_DEPTH 32

enum json_type {
    JSON_ERROR, /* json_reader.error says what; every later call says it again */
    JSON_END,   /* the document is complete and nothing follows it */
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_KEY /* a member's name; its value is the next token */
};

struct json_token {
    enum json_type type;
    bool escaped;     /* KEY and STRING: 'raw' has escapes in it */
    struct slice raw; /* KEY and STRING: between the quotes; NUMBER: its text */
};

struct json_error {
    size_t at;        /* byte offset in the document */
    const char *what; /* a static sentence, NULL while there is no error */
};

/* Read 'error' and 'depth'; the rest is the parser's. */
struct json_reader {
    const char *begin;
    const char *now;
    const char *end;
    uint32_t objects;    /* a bit for each open level, the innermost lowest: 1 is an object */
    unsigned depth;      /* how many levels are open */
    unsigned char state; /* what may come next */
    struct json_error error;
};

/* 'document' must outlive the reader and its tokens. */
void json_reader_init(struct json_reader *reader, struct slice document);

/* The next token. JSON_END and JSON_ERROR repeat. */
enum json_type json_next(struct json_reader *reader, struct json_token *out);

/* Passes over the rest of the value that 'first' began; false on an error. */
MUST_CHECK bool json_skip(struct json_reader *reader, const struct json_token *first);

/* The text of a KEY or STRING: the document's own bytes when it has no
 * escapes, else decoded into the arena. ERR_NO_MEMORY past the arena's cap. */
MUST_CHECK enum err json_text(const struct json_token *token, struct arena *arena,
                              struct slice *out);

/* Is the text of a KEY or STRING 'text' (of at most JSON_TEXT_IS_MAX bytes)? Uses no arena. */
bool json_text_is(const struct json_token *token, struct slice text);
#define JSON_TEXT_IS_MAX 64

/* A NUMBER as an int64. False when it has a fraction or an exponent (also 1.0
 * and 1e0) or lies outside the range. */
MUST_CHECK bool json_i64(const struct json_token *token, int64_t *out);

/* "null", "a boolean", "a number" ... for sentences. */
const char *json_type_name(enum json_type type);

/* Is 'document' one JSON value, of any type? '*out_error' is set when it isn't. */
MUST_CHECK bool json_validate(struct slice document, struct json_error *out_error);

#endif
