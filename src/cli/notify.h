/* notify.h - what a service manager is told, by systemd's protocol (sd_notify(3)).
 *
 * One datagram to the socket named by NOTIFY_SOCKET; without that variable everything here is
 * silent. A message that can't be delivered is lost: the manager has deadlines of its own.
 *
 * Threads    The main thread.
 */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1". */
void notify(const char *state);

/* RELOADING=1, with the time that the protocol wants beside it. READY=1 ends it. */
void notify_reloading(void);

/* How often WATCHDOG=1 is due: a third of what the manager allows this process between two of them.
 * 0: it doesn't watch. */
int64_t notify_watchdog_ms(void);

#endif
