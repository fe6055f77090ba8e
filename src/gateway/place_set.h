/* place_set.h - places for the instances of a service, and the loops that follow who has one.
 *
 *     place_set_change() ──mail──► each loop: changed() ─► place_follow()
 *                                    wanted, not held  ─► come()
 *                                    held, not wanted  ─► leave(), once ─► … ─► place_release()
 *
 *     free ──► wanted ──► leaving ──► free       the set says so; the last loop has let go
 *
 * An index names the same instance for as long as a loop holds its place. One that comes back while
 * it leaves gets another place.
 *
 * Threads    place_set_change() on any thread, one call at a time; what takes a follower on its
 *            loop. The lock guards the places, and what their owner keeps beside them; it is never
 *            held for long, and never while come() and leave() run: they may take it.
 * Ownership  A follower is part of its user's object, and is let go of when no mail is under way.
 */
#ifndef GATEWAY_PLACE_SET_H
#define GATEWAY_PLACE_SET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/instance.h"
#include "base/list.h"
#include "loop/loop.h"
#include "loop/mailbox.h"

struct place {
    struct instance instance; /* its address is fixed while anybody holds it; "": free */
    bool wanted;
    unsigned held; /* by loops */
};

struct place_set {
    struct place place[INSTANCES_MAX]; /* under the lock, like */
    struct list followers;
    /* A place is free again: what its owner knew of it is to be forgotten. Under the lock. */
    void (*freed)(struct place_set *set, size_t index);
    pthread_mutex_t lock;
};

struct place_follower {
    /* The set has changed; or, after place_leave() has returned true, the last mail has come. */
    void (*changed)(struct place_follower *follower);
    /* The place is held now, until place_release(). */
    void (*come)(struct place_follower *follower, size_t index, uint32_t weight);
    /* Its weight, at every look while it is held and wanted. NULL: nobody asks. */
    void (*weigh)(struct place_follower *follower, size_t index, uint32_t weight);
    /* To be released as soon as nothing is under way to it. */
    void (*leave)(struct place_follower *follower, size_t index);
    struct place_set *set;
    struct loop *loop;
    enum place_hold { PLACE_NONE, PLACE_HELD, PLACE_LEAVING } hold[INSTANCES_MAX];
    struct list node; /* in set->followers; under the set's lock, like */
    bool posted;      /* the mail is under way */
    struct mail mail;
};

void place_set_init(struct place_set *set, void (*freed)(struct place_set *set, size_t index));
/* Nobody follows any more. */
void place_set_release(struct place_set *set);

void place_set_lock(struct place_set *set);
void place_set_unlock(struct place_set *set);

/* These are the instances from now on, each address once. False: not all have found a place,
 * because others that are leaving still have theirs; call again later. */
bool place_set_change(struct place_set *set, const struct instances *instances);

/* Those that are. */
size_t place_set_count(struct place_set *set);

/* From now on by mail. The callbacks, the set and the loop are filled in, the rest is zero. */
void place_join(struct place_follower *follower);
/* come(), weigh() and leave() for all that has changed since the last call. */
void place_follow(struct place_follower *follower);
/* No more mail. True: one is under way, and changed() runs once more. */
MUST_CHECK bool place_leave(struct place_follower *follower);
/* The loop lets go of a place. */
void place_release(struct place_follower *follower, size_t index);

#endif
