/* place_set.c - see place_set.h. */
#include "gateway/place_set.h"

#include <stdlib.h>
#include <string.h>

void place_set_init(struct place_set *set, void (*freed)(struct place_set *set, size_t index)) {
    memset(set->place, 0, sizeof(set->place));
    list_init(&set->followers);
    set->freed = freed;
    (void)pthread_mutex_init(&set->lock, NULL);
}

void place_set_release(struct place_set *set) {
    (void)pthread_mutex_destroy(&set->lock);
}

void place_set_lock(struct place_set *set) {
    (void)pthread_mutex_lock(&set->lock);
}

void place_set_unlock(struct place_set *set) {
    (void)pthread_mutex_unlock(&set->lock);
}

/* ---- the places; all under the lock ---- */

static bool is_free(const struct place *place) {
    return !place->wanted && place->held == 0;
}

static void free_if_left(struct place_set *set, size_t index) {
    if (!is_free(&set->place[index]))
        return;
    set->place[index].instance.address[0] = '\0';
    set->freed(set, index);
}

static void let_go(struct place_set *set, size_t index) {
    set->place[index].wanted = false;
    free_if_left(set, index);
}

/* One that is leaving finishes leaving: the same address gets another place meanwhile. */
static struct place *find(struct place_set *set, const char *address) {
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        if (set->place[i].wanted && strcmp(set->place[i].instance.address, address) == 0)
            return &set->place[i];
    return NULL;
}

static struct place *find_free(struct place_set *set) {
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        if (is_free(&set->place[i]))
            return &set->place[i];
    return NULL;
}

static bool want(struct place_set *set, const struct instance *instance) {
    struct place *place = find(set, instance->address);

    if (place) {
        place->instance.weight = instance->weight;
        return true;
    }
    place = find_free(set);
    if (!place)
        return false;
    place->wanted = true;
    place->instance = *instance;
    return true;
}

/* A mailbox has room for far more than one of these from each set. */
static void tell(struct place_follower *follower) {
    if (follower->posted)
        return;
    follower->posted = true;
    if (mailbox_send(loop_mailbox(follower->loop), &follower->mail) != ERR_OK)
        abort();
}

bool place_set_change(struct place_set *set, const struct instances *instances) {
    bool all = true;

    place_set_lock(set);
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        if (set->place[i].wanted && !instances_have(instances, set->place[i].instance.address))
            let_go(set, i);
    for (unsigned i = 0; i < instances->count; i++)
        all = want(set, &instances->instance[i]) && all;
    for (struct list *node = set->followers.next; node != &set->followers; node = node->next)
        tell(CONTAINER_OF(node, struct place_follower, node));
    place_set_unlock(set);
    return all;
}

size_t place_set_count(struct place_set *set) {
    size_t count = 0;

    place_set_lock(set);
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        count += set->place[i].wanted;
    place_set_unlock(set);
    return count;
}

/* ---- a loop follows ---- */

enum step { KEEP, COME, WEIGH, LEAVE };

/* Under the lock. */
static enum step look(struct place_follower *follower, size_t index) {
    struct place *place = &follower->set->place[index];

    switch (follower->hold[index]) {
    case PLACE_NONE:
        if (!place->wanted)
            return KEEP;
        place->held++;
        follower->hold[index] = PLACE_HELD;
        return COME;
    case PLACE_HELD:
        if (place->wanted)
            return WEIGH;
        follower->hold[index] = PLACE_LEAVING;
        return LEAVE;
    case PLACE_LEAVING:
        break;
    }
    return KEEP;
}

static void act(struct place_follower *follower, size_t index, enum step step, uint32_t weight) {
    if (step == COME)
        follower->come(follower, index, weight);
    else if (step == WEIGH && follower->weigh)
        follower->weigh(follower, index, weight);
    else if (step == LEAVE)
        follower->leave(follower, index);
}

/* Whoever acts reports to the fleet, which takes the lock: first look, then act. */
void place_follow(struct place_follower *follower) {
    enum step step[INSTANCES_MAX];
    uint32_t weight[INSTANCES_MAX];

    place_set_lock(follower->set);
    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        step[i] = look(follower, i);
        weight[i] = follower->set->place[i].instance.weight;
    }
    place_set_unlock(follower->set);
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        act(follower, i, step[i], weight[i]);
}

void place_release(struct place_follower *follower, size_t index) {
    struct place_set *set = follower->set;

    follower->hold[index] = PLACE_NONE;
    place_set_lock(set);
    set->place[index].held--;
    free_if_left(set, index);
    place_set_unlock(set);
}

static void on_mail(struct mail *mail) {
    struct place_follower *follower = CONTAINER_OF(mail, struct place_follower, mail);

    place_set_lock(follower->set);
    follower->posted = false;
    place_set_unlock(follower->set);
    follower->changed(follower);
}

static void on_dropped(struct mail *mail) {
    (void)mail; /* part of the follower */
}

void place_join(struct place_follower *follower) {
    follower->mail = (struct mail){.run = on_mail, .drop = on_dropped};
    place_set_lock(follower->set);
    list_push_back(&follower->set->followers, &follower->node);
    place_set_unlock(follower->set);
}

bool place_leave(struct place_follower *follower) {
    place_set_lock(follower->set);
    list_remove(&follower->node);
    bool posted = follower->posted;
    place_set_unlock(follower->set);
    return posted;
}
