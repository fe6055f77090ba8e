/* help.h - the text of --help and --version.
 *
 * Threads    Any.
 * Limits     Lines of at most HELP_COLUMNS.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "base/buf.h"

#define HELP_COLUMNS 80u

/* Made from config.def: every key, grouped, with its default. */
void help_print(struct buf *out);

void version_print(struct buf *out);

#endif
