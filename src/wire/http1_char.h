/* http1_char.h - which byte may stand where in a request's head.
 *
 * Threads    Pure, any thread.
 */
#ifndef WIRE_HTTP1_CHAR_H
#define WIRE_HTTP1_CHAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Bits of http1_char[]. */
#define HTTP1_TOKEN 1u /* tchar (RFC 9110 5.6.2): methods, field names */
#define HTTP1_TARGET                                                                               \
    2u                 /* visible ASCII but '#', which starts a fragment (RFC 9112 3.2), and       \
                        * '\', which some readers take for '/' */
#define HTTP1_VALUE 4u /* field values: visible, space, tab, obs-text (RFC 9110 5.5) */
#define HTTP1_HOST  8u /* reg-name (RFC 3986 3.2.2) without escapes and ',' */

extern const uint8_t http1_char[256];

static inline bool http1_is(char c, unsigned set) {
    return (http1_char[(uint8_t)c] & set) != 0;
}

/* The first byte from 'at' on that isn't in 'set'. Four at a time: this is most of the gate's work.
 */
static inline const char *http1_span(const char *at, const char *end, unsigned set) {
    while (end - at >= 4 && http1_char[(uint8_t)at[0]] & http1_char[(uint8_t)at[1]] &
                                http1_char[(uint8_t)at[2]] & http1_char[(uint8_t)at[3]] & set)
        at += 4;
    while (at < end && http1_is(*at, set))
        at++;
    return at;
}

static inline bool http1_all(struct slice s, unsigned set) {
    return http1_span(s.ptr, s.ptr + s.len, set) == s.ptr + s.len;
}

static inline bool http1_is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The digit's value, or -1. */
static inline int http1_hex(char c) {
    if (http1_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
