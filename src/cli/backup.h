/* backup.h - on SIGUSR2: the embedded store and analytics as they are at one moment, or the one of
 * them that this process has, in a folder that can be started from.
 *
 * The folder is linked to the files that are in use, which never change: it takes no room until
 * they are replaced. What analytics has counted there is what the store there has in or behind its
 * outbox.
 *
 * Threads    The main thread; counting goes on, questions to analytics wait.
 */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "base/config.h"
#include "cli/analytics.h"
#include "cli/store.h"

/* Says in the log what became of it. */
void backup_make(const struct config *config, const struct store *store,
                 struct analytics_part *analytics);

#endif
