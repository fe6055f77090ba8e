/* url_text.h - what URLs of other servers have in common: '%41' for a byte, user:password@ in
 * front.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_URL_TEXT_H
#define EDGE_URL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

/* Decodes into 'out', NUL-terminated. False: too long, a bad escape, or a zero byte. */
MUST_CHECK bool url_unescape(struct slice from, char *out, size_t size);

/* Cuts 'text' at the first 'c' (the last: 'last'); the part behind it, {NULL, 0} when there is
 * none. */
struct slice url_cut(struct slice *text, char c, bool last);

/* Reads what stands before the last '@', if there is one: user[:password] or :password, each of up
 * to 'size' bytes; the rest is behind it. NULL, or a phrase that says what is wrong. */
MUST_CHECK const char *url_take_credentials(struct slice text, char *user, char *password,
                                            size_t size, struct slice *out_rest);

#endif
