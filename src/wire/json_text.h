/* json_text.h - reading the strings and numbers inside a JSON document; json.c's own.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef WIRE_JSON_TEXT_H
#define WIRE_JSON_TEXT_H

#include "base/swar.h"
#include "wire/json.h"

/* The first byte from 'p' on that doesn't stand for itself in a string (RFC 8259 section 7): a
 * quote, a backslash, a control character; 'end' without one. All bytes before it are or'ed into
 * '*seen', wherever in it. */
static inline const char *json_plain_end(const char *p, const char *end, uint64_t *seen) {
    while ((size_t)(end - p) >= SWAR_BYTES) {
        uint64_t word = swar_load(p);
        uint64_t marks = swar_below(word, 0x20) | swar_is(word, '"') | swar_is(word, '\\');

        if (marks) {
            *seen |= word & ((marks & -marks) - 1);
            return p + swar_first(marks);
        }
        *seen |= word;
        p += SWAR_BYTES;
    }
    for (; p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\'; p++)
        *seen |= (unsigned char)*p;
    return p;
}

/* Both begin at 'p', fill in out->raw and return where the token ends, or NULL
 * with '*out_error' set, its position relative to 'p'. */

/* 'p' is behind the opening quote; the result is behind the closing one. */
const char *json_scan_string(const char *p, const char *end, struct json_token *out,
                             struct json_error *out_error);

const char *json_scan_number(const char *p, const char *end, struct json_token *out,
                             struct json_error *out_error);

#endif
