/* remote_set.c - counter addresses that come and go, and the loops' lines to them.
 *
 *     remote_fleet_set() ──mail──► each loop: remote_follow()
 *                                    wanted, no line      ─► a line, connect
 *                                    a line, not wanted   ─► leave; close after the last answer
 *                                                            └─► remote_set_release()
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/remote_internal.h"

/* ---- the set; all under the lock ---- */

static void free_place(struct remote_address *address) {
    address->taken = false;
    address->known = false;
    address->answers = false;
    address->text[0] = '\0';
    address->problem[0] = '\0';
}

static void let_go(struct remote_address *address) {
    address->wanted = false;
    if (address->held == 0)
        free_place(address);
}

/* One that is leaving finishes leaving; the same address gets another place meanwhile. */
static struct remote_address *find(struct remote_fleet *fleet, const char *text) {
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (fleet->address[i].wanted && strcmp(fleet->address[i].text, text) == 0)
            return &fleet->address[i];
    return NULL;
}

static struct remote_address *find_free(struct remote_fleet *fleet) {
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (!fleet->address[i].taken)
            return &fleet->address[i];
    return NULL;
}

static bool want(struct remote_fleet *fleet, const struct instance *counter) {
    struct remote_address *address = find(fleet, counter->address);

    if (!address) {
        address = find_free(fleet);
        if (!address)
            return false;
        address->taken = true;
        address->wanted = true;
        (void)snprintf(address->text, sizeof(address->text), "%s", counter->address);
    }
    address->weight = counter->weight;
    return true;
}

/* A mailbox has room for far more than one of these from each fleet. */
static void tell(struct remote *remote) {
    if (remote->posted)
        return;
    remote->posted = true;
    if (mailbox_send(loop_mailbox(remote->loop), &remote->mail) != ERR_OK)
        abort();
}

bool remote_fleet_set(struct remote_fleet *fleet, const struct instances *counters) {
    bool all = true;

    (void)pthread_mutex_lock(&fleet->lock);
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (fleet->address[i].wanted && !instances_have(counters, fleet->address[i].text))
            let_go(&fleet->address[i]);
    for (unsigned i = 0; i < counters->count; i++)
        all = want(fleet, &counters->instance[i]) && all;
    for (struct list *node = fleet->remotes.next; node != &fleet->remotes; node = node->next)
        tell(CONTAINER_OF(node, struct remote, node));
    (void)pthread_mutex_unlock(&fleet->lock);
    atomic_store(&fleet->updated_s, clock_wall_ms() / 1000);
    return all;
}

void remote_set_release(struct remote_fleet *fleet, size_t index) {
    struct remote_address *address = &fleet->address[index];

    (void)pthread_mutex_lock(&fleet->lock);
    address->held--;
    if (address->held == 0 && !address->wanted)
        free_place(address);
    (void)pthread_mutex_unlock(&fleet->lock);
}

/* ---- a loop follows ---- */

enum { KEEP, COME, LEAVE };

static int look(struct remote *remote, size_t index) {
    struct remote_address *address = &remote->fleet->address[index];
    struct remote_line *line = &remote->lines[index];

    if (line->used && address->wanted)
        peers_set_weight(&remote->peers, index, address->weight);
    if (!line->used && address->wanted) {
        address->held++;
        peers_add(&remote->peers, index, address->weight);
        remote_line_init(line, remote, index);
        return COME;
    }
    return line->used && !address->wanted && !line->leaving ? LEAVE : KEEP;
}

/* Lines report to the fleet, which takes the lock: first look, then act. */
void remote_follow(struct remote *remote) {
    int what[PEERS_MAX];

    if (!remote->connects || remote->close.closed)
        return;
    (void)pthread_mutex_lock(&remote->fleet->lock);
    for (size_t i = 0; i < PEERS_MAX; i++)
        what[i] = look(remote, i);
    (void)pthread_mutex_unlock(&remote->fleet->lock);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (what[i] == COME)
            remote_line_connect(&remote->lines[i]);
        if (what[i] == LEAVE)
            remote_line_leave(&remote->lines[i]);
    }
}

static void on_mail(struct mail *mail) {
    struct remote *remote = CONTAINER_OF(mail, struct remote, mail);

    (void)pthread_mutex_lock(&remote->fleet->lock);
    remote->posted = false;
    (void)pthread_mutex_unlock(&remote->fleet->lock);
    if (remote->close.closed)
        remote_one_closed(remote);
    else
        remote_follow(remote);
}

static void on_dropped(struct mail *mail) {
    (void)mail; /* part of the remote */
}

void remote_set_join(struct remote *remote) {
    remote->mail = (struct mail){.run = on_mail, .drop = on_dropped};
    (void)pthread_mutex_lock(&remote->fleet->lock);
    list_push_back(&remote->fleet->remotes, &remote->node);
    (void)pthread_mutex_unlock(&remote->fleet->lock);
}

bool remote_set_leave(struct remote *remote) {
    (void)pthread_mutex_lock(&remote->fleet->lock);
    list_remove(&remote->node);
    bool posted = remote->posted;
    (void)pthread_mutex_unlock(&remote->fleet->lock);
    return posted;
}
