/* mailbox.h - hand work from any thread to one receiving thread.
 *
 * The only door between threads: a bounded queue with many senders and one
 * receiver, who is woken when it sleeps. The receiver detaches what has
 * gathered in one go and runs it outside the lock.
 *
 * Threads    mailbox_send() on any thread; mailbox_drain() and mailbox_wait()
 *            on the receiver's; new and free while nobody else uses it.
 * Ownership  A message is the sender's until mailbox_send() returns ERR_OK,
 *            then the receiver's. After any other result it is still the
 *            sender's.
 * Limits     mailbox_send() never blocks on I/O and never allocates. The
 *            receiver is woken, by a system call, only when it may be asleep.
 * Order      Messages of one sender run in the order they were sent.
 */
#ifndef LOOP_MAILBOX_H
#define LOOP_MAILBOX_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

struct mailbox;

/* Embed this in what you send. */
struct mail {
    struct mail *next;               /* the mailbox's, while it is queued */
    void (*run)(struct mail *mail);  /* on the receiver's thread; owns mail */
    void (*drop)(struct mail *mail); /* instead of run(), at mailbox_free() */
};

/* Holds up to 'slots' messages. NULL when memory or descriptors run out. */
struct mailbox *mailbox_new(size_t slots);

/* Drops what was sent but never ran. NULL is fine. */
void mailbox_free(struct mailbox *mailbox);

/* ERR_BUSY  full: shed the work or retry later. */
MUST_CHECK enum err mailbox_send(struct mailbox *mailbox, struct mail *mail);

/* Runs all that was there at the call and returns how many ran. */
size_t mailbox_drain(struct mailbox *mailbox);

/* For a receiver without a loop: sleeps until there is mail or 'timeout_ms'
 * has passed (-1: no time-out). Returns at once when there is mail. */
void mailbox_wait(struct mailbox *mailbox, int timeout_ms);

/* For a receiver with a loop: an eventfd, written when mail came while it slept.
 * Nobody reads it, so that it stays readable: each write counts. Still the
 * mailbox's: don't close it. */
int mailbox_fd(const struct mailbox *mailbox);

#endif
