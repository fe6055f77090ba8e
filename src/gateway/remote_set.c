/* remote_set.c - counters that come and go, and the loops' lines to them. */
#include "base/clock.h"
#include "gateway/remote_internal.h"

static void freed(struct place_set *set, size_t index) {
    struct remote_fleet *fleet = CONTAINER_OF(set, struct remote_fleet, places);
    struct remote_counter *counter = &fleet->counter[index];

    counter->known = false;
    counter->answers = false;
    counter->problem[0] = '\0';
}

void remote_set_init(struct remote_fleet *fleet) {
    place_set_init(&fleet->places, freed);
}

bool remote_fleet_set(struct remote_fleet *fleet, const struct instances *counters) {
    bool all = place_set_change(&fleet->places, counters);

    atomic_store(&fleet->updated_s, clock_wall_ms() / 1000);
    return all;
}

/* ---- a loop follows ---- */

static void on_come(struct place_follower *follower, size_t index, uint32_t weight) {
    struct remote *remote = CONTAINER_OF(follower, struct remote, follower);

    peers_add(&remote->peers, index, weight);
    remote_line_init(&remote->lines[index], remote, index);
    remote_line_connect(&remote->lines[index]);
}

static void on_weigh(struct place_follower *follower, size_t index, uint32_t weight) {
    peers_set_weight(&CONTAINER_OF(follower, struct remote, follower)->peers, index, weight);
}

static void on_leave(struct place_follower *follower, size_t index) {
    remote_line_leave(&CONTAINER_OF(follower, struct remote, follower)->lines[index]);
}

static void on_change(struct place_follower *follower) {
    struct remote *remote = CONTAINER_OF(follower, struct remote, follower);

    if (remote->close.closed)
        remote_one_closed(remote);
    else
        remote_follow(remote);
}

void remote_follow(struct remote *remote) {
    if (remote->connects)
        place_follow(&remote->follower);
}

void remote_set_join(struct remote *remote) {
    remote->follower = (struct place_follower){
        .changed = on_change,
        .come = on_come,
        .weigh = on_weigh,
        .leave = on_leave,
        .set = &remote->fleet->places,
        .loop = remote->loop,
    };
    place_join(&remote->follower);
}
