/* gunzip.h - one gzip member, decompressed up to a limit.
 *
 * Threads    One owner at a time; an inflater is used for one message after another.
 * Limits     Never writes more than 'bytes_max' and the byte that shows there is more (a
 *            decompression bomb: 1,000 to 1), and makes room in steps, not by what the input
 *            promises.
 */
#ifndef WIRE_GUNZIP_H
#define WIRE_GUNZIP_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct gunzip;

/* NULL when memory runs out. */
struct gunzip *gunzip_new(void);
/* NULL is fine. */
void gunzip_free(struct gunzip *gunzip);

/* Appends what 'in' holds.
 * ERR_INVALID    not one whole gzip member (RFC 1952), or something behind it
 * ERR_TOO_LARGE  more than 'bytes_max'
 * ERR_NO_MEMORY
 * On failure 'out' may hold a part. */
MUST_CHECK enum err gunzip_all(struct gunzip *gunzip, struct slice in, size_t bytes_max,
                               struct buf *out);

#endif
