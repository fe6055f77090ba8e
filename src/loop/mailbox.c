/* mailbox.c - a list under a mutex, and an eventfd written as rarely as possible.
 *
 * When is the eventfd written? 'asleep' is read and written only under the
 * mutex that guards the list:
 *
 *     receiver   lock; list empty? asleep = true : stay awake; unlock; sleep
 *     sender     lock; append; wake = asleep; asleep = false; unlock; if wake, write
 *
 * Whichever takes the lock first, no mail is slept through: a sender before
 * the receiver leaves a list that isn't empty; a sender after it sees
 * 'asleep'. Only the first sender of a sleep writes; to a busy receiver a
 * message costs no system call.
 *
 * The write comes after the unlock, so the receiver may have run the message
 * before (woken by something else) and find the eventfd empty. 'signalled'
 * stays set then, and a later drain takes the count away.
 */
#include "loop/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/mailbox_private.h"

struct mailbox {
    int fd;
    size_t slots;

    pthread_mutex_t lock; /* guards all below */
    struct mail *first;
    struct mail **tail;
    size_t count;
    bool asleep;
    bool signalled; /* the eventfd was or is about to be written */
};

struct mailbox *mailbox_new(size_t slots) {
    struct mailbox *mb = calloc(1, sizeof(*mb));

    if (!mb)
        return NULL;
    mb->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mb->fd < 0) {
        free(mb);
        return NULL;
    }
    mb->slots = slots;
    mb->tail = &mb->first;
    pthread_mutex_init(&mb->lock, NULL);
    return mb;
}

void mailbox_free(struct mailbox *mb) {
    if (!mb)
        return;
    for (struct mail *mail = mb->first, *next; mail; mail = next) {
        next = mail->next;
        mail->drop(mail);
    }
    close(mb->fd);
    pthread_mutex_destroy(&mb->lock);
    free(mb);
}

static void wake(struct mailbox *mb) {
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(mb->fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    /* EAGAIN is a counter near 2^64, and then it is readable anyway. */
    assert(n == sizeof(one) || errno == EAGAIN);
}

enum err mailbox_send(struct mailbox *mb, struct mail *mail) {
    bool asleep;

    mail->next = NULL;
    pthread_mutex_lock(&mb->lock);
    if (mb->count == mb->slots) {
        pthread_mutex_unlock(&mb->lock);
        return ERR_BUSY;
    }
    *mb->tail = mail;
    mb->tail = &mail->next;
    mb->count++;
    asleep = mb->asleep;
    mb->asleep = false;
    if (asleep)
        mb->signalled = true;
    pthread_mutex_unlock(&mb->lock);
    if (asleep)
        wake(mb);
    return ERR_OK;
}

/* Empties the eventfd if its write has happened. */
static void clear_signal(struct mailbox *mb) {
    uint64_t count;

    if (read(mb->fd, &count, sizeof(count)) != sizeof(count))
        return;
    pthread_mutex_lock(&mb->lock);
    mb->signalled = false;
    pthread_mutex_unlock(&mb->lock);
}

size_t mailbox_drain(struct mailbox *mb) {
    struct mail *mail;
    bool signalled;
    size_t ran;

    pthread_mutex_lock(&mb->lock);
    mail = mb->first;
    ran = mb->count;
    signalled = mb->signalled;
    mb->first = NULL;
    mb->tail = &mb->first;
    mb->count = 0;
    pthread_mutex_unlock(&mb->lock);

    if (signalled)
        clear_signal(mb);
    for (struct mail *next; mail; mail = next) {
        next = mail->next; /* run() may free or send it again */
        mail->run(mail);
    }
    return ran;
}

bool mailbox_arm(struct mailbox *mb) {
    bool empty;

    pthread_mutex_lock(&mb->lock);
    empty = mb->count == 0;
    mb->asleep = empty;
    pthread_mutex_unlock(&mb->lock);
    return empty;
}

void mailbox_disarm(struct mailbox *mb) {
    pthread_mutex_lock(&mb->lock);
    mb->asleep = false;
    pthread_mutex_unlock(&mb->lock);
}

void mailbox_wait(struct mailbox *mb, int timeout_ms) {
    int64_t end_ms = timeout_ms < 0 ? 0 : clock_mono_ms() + timeout_ms;
    int left_ms = timeout_ms;

    while (mailbox_arm(mb)) {
        struct pollfd p = {.fd = mb->fd, .events = POLLIN};
        int n = poll(&p, 1, left_ms);

        mailbox_disarm(mb);
        if (n == 0)
            return;
        if (n > 0)
            clear_signal(mb); /* maybe the late write of mail that has run */
        if (timeout_ms >= 0) {
            int64_t now_ms = clock_mono_ms();

            left_ms = now_ms < end_ms ? (int)(end_ms - now_ms) : 0;
        }
    }
}

int mailbox_fd(const struct mailbox *mb) {
    return mb->fd;
}
