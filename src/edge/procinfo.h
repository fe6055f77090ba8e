/* procinfo.h - figures of this process, read from /proc/self.
 *
 * Threads    Any.
 * Limits     Opens and reads a few small files of the kernel: for a scrape, not
 *            for a request.
 */
#ifndef EDGE_PROCINFO_H
#define EDGE_PROCINFO_H

#include "base/err.h"
#include "wire/prom.h"

/* ERR_UNAVAILABLE  /proc isn't there or isn't what it should be. */
MUST_CHECK enum err procinfo_read(struct prom_process *out_process);

#endif
