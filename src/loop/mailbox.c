/* mailbox.c - a list under a mutex, and a receiver that is woken as rarely as possible.
 *
 * When is it woken? 'sleep' is read and written only under the mutex that
 * guards the list:
 *
 *     receiver   lock; list empty? sleep = how : stay awake; unlock; sleep
 *     sender     lock; append; wake = sleep; sleep = AWAKE; unlock; if wake, wake
 *
 * Whichever takes the lock first, no mail is slept through: a sender before
 * the receiver leaves a list that isn't empty; a sender after it sees
 * that it sleeps. Only the first sender of a sleep wakes; to a busy receiver a
 * message costs no system call.
 *
 * A loop sleeps in its back end, which notices each write of the eventfd: it
 * need not be read. A thread without one sleeps on a semaphore. Either wake-up
 * may come late, when the receiver has run the message already, and then
 * ends a later sleep for nothing; or when it is about to free the mailbox,
 * which waits for it.
 */
#include "loop/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/mailbox_private.h"

#define MS_PER_S  1000
#define NS_PER_MS 1000000L
#define NS_PER_S  1000000000L

enum mailbox_sleep { AWAKE, IN_LOOP, IN_WAIT };

struct mailbox {
    int fd;     /* wakes from IN_LOOP, */
    sem_t bell; /* from IN_WAIT */
    size_t slots;

    pthread_mutex_t lock; /* guards all below */
    struct mail *first;
    struct mail **tail;
    size_t count;
    enum mailbox_sleep sleep;

    atomic_uint waking; /* senders that are still going to wake it */
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
    (void)sem_init(&mb->bell, 0, 0); /* can't fail for one process and 0 */
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
    while (atomic_load_explicit(&mb->waking, memory_order_acquire) > 0)
        (void)sched_yield();
    close(mb->fd);
    sem_destroy(&mb->bell);
    pthread_mutex_destroy(&mb->lock);
    free(mb);
}

static void wake_loop(struct mailbox *mb) {
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(mb->fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    assert(n == sizeof(one)); /* it never gets near 2^64, where it would be full */
}

/* The last that a sender does with it. */
static void wake(struct mailbox *mb, enum mailbox_sleep sleep) {
    if (sleep == AWAKE)
        return;
    if (sleep == IN_LOOP)
        wake_loop(mb);
    else
        (void)sem_post(&mb->bell);
    atomic_fetch_sub_explicit(&mb->waking, 1, memory_order_release);
}

enum err mailbox_send(struct mailbox *mb, struct mail *mail) {
    enum mailbox_sleep sleep;

    mail->next = NULL;
    pthread_mutex_lock(&mb->lock);
    if (mb->count == mb->slots) {
        pthread_mutex_unlock(&mb->lock);
        return ERR_BUSY;
    }
    *mb->tail = mail;
    mb->tail = &mail->next;
    mb->count++;
    sleep = mb->sleep;
    mb->sleep = AWAKE;
    if (sleep != AWAKE)
        atomic_fetch_add_explicit(&mb->waking, 1, memory_order_relaxed);
    pthread_mutex_unlock(&mb->lock);
    wake(mb, sleep);
    return ERR_OK;
}

size_t mailbox_drain(struct mailbox *mb) {
    struct mail *mail;
    size_t ran;

    pthread_mutex_lock(&mb->lock);
    mail = mb->first;
    ran = mb->count;
    mb->first = NULL;
    mb->tail = &mb->first;
    mb->count = 0;
    pthread_mutex_unlock(&mb->lock);

    for (struct mail *next; mail; mail = next) {
        next = mail->next; /* run() may free or send it again */
        mail->run(mail);
    }
    return ran;
}

static bool arm(struct mailbox *mb, enum mailbox_sleep sleep) {
    bool empty;

    pthread_mutex_lock(&mb->lock);
    empty = mb->count == 0;
    mb->sleep = empty ? sleep : AWAKE;
    pthread_mutex_unlock(&mb->lock);
    return empty;
}

bool mailbox_arm(struct mailbox *mb) {
    return arm(mb, IN_LOOP);
}

void mailbox_disarm(struct mailbox *mb) {
    pthread_mutex_lock(&mb->lock);
    mb->sleep = AWAKE;
    pthread_mutex_unlock(&mb->lock);
}

static struct timespec after_ms(int ms) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    long ns = now.tv_nsec + ms % MS_PER_S * NS_PER_MS;
    return (struct timespec){.tv_sec = now.tv_sec + ms / MS_PER_S + ns / NS_PER_S,
                             .tv_nsec = ns % NS_PER_S};
}

void mailbox_wait(struct mailbox *mb, int timeout_ms) {
    struct timespec end = {0};
    bool over = false;

    if (timeout_ms >= 0)
        end = after_ms(timeout_ms);
    while (!over && arm(mb, IN_WAIT)) {
        int failed =
            timeout_ms < 0 ? sem_wait(&mb->bell) : sem_clockwait(&mb->bell, CLOCK_MONOTONIC, &end);

        over = failed && errno == ETIMEDOUT;
        mailbox_disarm(mb);
    }
}

int mailbox_fd(const struct mailbox *mb) {
    return mb->fd;
}
