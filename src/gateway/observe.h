/* observe.h - metrics and the log line of each answered request.
 *
 * Threads    The gateway's loop.
 */
#ifndef GATEWAY_OBSERVE_H
#define GATEWAY_OBSERVE_H

#include <stddef.h>
#include <stdint.h>

struct http_exchange;

/* http_app.replied: counts the request, times it, and logs it if it failed. */
void gateway_replied(void *ctx, const struct http_exchange *exchange, int status, size_t body_bytes,
                     int64_t duration_us);

#endif
