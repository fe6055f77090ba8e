/* uri.h - path parts and query parameters (RFC 3986).
 *
 * Threads    Pure functions, any thread.
 * Ownership  A decoded slice is the input itself when nothing was escaped,
 *            else it lives in the arena.
 */
#ifndef WIRE_URI_H
#define WIRE_URI_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

/* Takes the part up to the next '/' off the front of '*path', and that '/'.
 * The part is still escaped. */
struct slice uri_next_part(struct slice *path);

/* Percent-decodes one part; '+' is itself. ERR_INVALID for a broken escape,
 * a NUL, or a result that isn't UTF-8; '*out_detail' says which. */
MUST_CHECK enum err uri_decode_part(struct slice part, struct arena *arena, struct slice *out,
                                    const char **out_detail);

/* Takes "name=value" up to the next '&' off the front of '*query'; both still escaped, and a value
 * that isn't there is {NULL, 0}. False: there is none left. */
bool uri_next_pair(struct slice *query, struct slice *out_name, struct slice *out_value);

/* As uri_decode_part(), of a name or a value in a query: '+' is a space, as forms send it. */
MUST_CHECK enum err uri_decode_query(struct slice text, struct arena *arena, struct slice *out,
                                     const char **out_detail);

/* Valid UTF-8 as RFC 3629 has it: no surrogates, nothing overlong, at most U+10FFFF. */
bool utf8_valid(struct slice s);

#endif
