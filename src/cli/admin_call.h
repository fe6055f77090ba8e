/* admin_call.h - one request to the admin listener of a process on this machine.
 *
 * Threads    Before there are any: it blocks.
 */
#ifndef CLI_ADMIN_CALL_H
#define CLI_ADMIN_CALL_H

#include <stdint.h>

#include "base/attr.h"

#define ADMIN_ANSWER_BYTES 4096 /* a status line and what is behind it are far shorter */

/* 'what' is method and path, "GET /readyz". NULL: 'answer' is what came, status line, headers and
 * body, with a NUL; else why nothing did. */
MUST_CHECK const char *admin_call(const char *address, const char *what, int64_t wait_ms,
                                  char answer[ADMIN_ANSWER_BYTES]);

#endif
