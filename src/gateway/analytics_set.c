/* analytics_set.c - analytics instances that come and go, and the loops' lines to them.
 *
 *     analytics_fleet_set() ──mail──► each loop: analytics_follow()
 *                                       wanted, no line     ─► a line, connect
 *                                       a line, not wanted  ─► leave; close behind its last part
 *                                                              └─► analytics_set_release()
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/analytics_remote_internal.h"

/* ---- the set; all under the lock ---- */

static void let_go(struct analytics_instance *instance) {
    instance->wanted = false;
    if (instance->held == 0)
        instance->taken = false;
}

static struct analytics_instance *find(struct analytics_fleet *fleet, const char *address) {
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        if (fleet->instances[i].wanted && strcmp(fleet->instances[i].address, address) == 0)
            return &fleet->instances[i];
    return NULL;
}

static bool want(struct analytics_fleet *fleet, const char *address) {
    if (find(fleet, address))
        return true;
    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        struct analytics_instance *instance = &fleet->instances[i];

        if (instance->taken)
            continue; /* one that is leaving finishes leaving */
        instance->taken = true;
        instance->wanted = true;
        instance->problem[0] = '\0';
        (void)snprintf(instance->address, sizeof(instance->address), "%s", address);
        return true;
    }
    return false;
}

/* A mailbox has room for far more than one of these from each fleet. */
static void tell(struct analytics_remote *remote) {
    if (remote->posted)
        return;
    remote->posted = true;
    if (mailbox_send(loop_mailbox(remote->loop), &remote->mail) != ERR_OK)
        abort();
}

bool analytics_fleet_set(struct analytics_fleet *fleet, const struct instances *set) {
    bool all = true;

    (void)pthread_mutex_lock(&fleet->lock);
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        if (fleet->instances[i].wanted && !instances_have(set, fleet->instances[i].address))
            let_go(&fleet->instances[i]);
    for (unsigned i = 0; i < set->count; i++)
        all = want(fleet, set->instance[i].address) && all;
    for (struct list *node = fleet->remotes.next; node != &fleet->remotes; node = node->next)
        tell(CONTAINER_OF(node, struct analytics_remote, node));
    (void)pthread_mutex_unlock(&fleet->lock);
    atomic_store(&fleet->updated_s, clock_wall_ms() / 1000);
    return all;
}

void analytics_set_release(struct analytics_fleet *fleet, size_t index) {
    struct analytics_instance *instance = &fleet->instances[index];

    (void)pthread_mutex_lock(&fleet->lock);
    instance->held--;
    if (instance->held == 0 && !instance->wanted)
        instance->taken = false;
    (void)pthread_mutex_unlock(&fleet->lock);
}

/* ---- a loop follows ---- */

enum { KEEP, COME, LEAVE };

static int look(struct analytics_remote *remote, size_t index) {
    struct analytics_instance *instance = &remote->fleet->instances[index];
    const struct analytics_line *line = &remote->lines[index];

    if (!line->used && instance->wanted) {
        instance->held++;
        return COME;
    }
    return line->used && !instance->wanted && !line->leaving ? LEAVE : KEEP;
}

/* Lines report to the fleet, which takes the lock: first look, then act. */
bool analytics_follow(struct analytics_remote *remote) {
    int what[INSTANCES_MAX];
    size_t asked = 0;
    bool made = true;

    (void)pthread_mutex_lock(&remote->fleet->lock);
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        what[i] = look(remote, i);
    (void)pthread_mutex_unlock(&remote->fleet->lock);
    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        if (what[i] == COME)
            made = analytics_line_connect(remote, i) && made;
        if (what[i] == LEAVE)
            analytics_line_leave(&remote->lines[i]);
        asked += analytics_line_asked(&remote->lines[i]);
    }
    /* Of several each is asked for everything down to the end of the page. */
    remote->upstream.reach = asked > 1 ? TOP_LIMIT_MAX : TOP_REACH_MAX;
    return made;
}

static void on_mail(struct mail *mail) {
    struct analytics_remote *remote = CONTAINER_OF(mail, struct analytics_remote, mail);

    (void)pthread_mutex_lock(&remote->fleet->lock);
    remote->posted = false;
    (void)pthread_mutex_unlock(&remote->fleet->lock);
    if (remote->close.closed)
        analytics_one_closed(remote);
    else
        (void)analytics_follow(remote); /* a line that memory had no room for fails its questions */
}

static void on_dropped(struct mail *mail) {
    (void)mail; /* part of the remote */
}

void analytics_set_join(struct analytics_remote *remote) {
    remote->mail = (struct mail){.run = on_mail, .drop = on_dropped};
    (void)pthread_mutex_lock(&remote->fleet->lock);
    list_push_back(&remote->fleet->remotes, &remote->node);
    (void)pthread_mutex_unlock(&remote->fleet->lock);
}

bool analytics_set_leave(struct analytics_remote *remote) {
    (void)pthread_mutex_lock(&remote->fleet->lock);
    list_remove(&remote->node);
    bool posted = remote->posted;
    (void)pthread_mutex_unlock(&remote->fleet->lock);
    return posted;
}
