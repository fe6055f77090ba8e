/* private_file.h - files with secrets: keys, passwords. Others may not read them.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_PRIVATE_FILE_H
#define EDGE_PRIVATE_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"

/* Opens it for reading. NULL, with the reason in '*out_why': it can't be, or others may read it. */
FILE *private_file_open(const char *path, const char **out_why);

/* The first line, without its end. ERR_INVALID with a sentence in '*out_why': as above, or the line
 * is empty, longer than 'size' takes, or has a zero byte. 'out' is untouched then. */
MUST_CHECK enum err private_file_line(const char *path, char *out, size_t size,
                                      const char **out_why);

#endif
