/* mailbox_private.h - how a sleeping receiver is told about mail.
 *
 * Private to src/loop. Threads: the receiver's.
 */
#ifndef LOOP_MAILBOX_PRIVATE_H
#define LOOP_MAILBOX_PRIVATE_H

#include <stdbool.h>

#include "base/attr.h"

struct mailbox;

/* Before sleeping. true: from now on a sender writes the eventfd; false: there
 * is mail already, don't sleep. */
MUST_CHECK bool mailbox_arm(struct mailbox *mailbox);

/* After sleeping, whatever the reason it ended. */
void mailbox_disarm(struct mailbox *mailbox);

#endif
