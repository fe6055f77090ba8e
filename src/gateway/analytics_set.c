/* analytics_set.c - analytics instances that come and go, and the loops' lines to them. */
#include "base/clock.h"
#include "gateway/analytics_remote_internal.h"

static void freed(struct place_set *set, size_t index) {
    CONTAINER_OF(set, struct analytics_fleet, places)->instances[index].problem[0] = '\0';
}

void analytics_set_init(struct analytics_fleet *fleet) {
    place_set_init(&fleet->places, freed);
}

bool analytics_fleet_set(struct analytics_fleet *fleet, const struct instances *set) {
    bool all = place_set_change(&fleet->places, set);

    atomic_store(&fleet->updated_s, clock_wall_ms() / 1000);
    return all;
}

/* ---- a loop follows ---- */

static void on_come(struct place_follower *follower, size_t index, uint32_t weight) {
    struct analytics_remote *remote = CONTAINER_OF(follower, struct analytics_remote, follower);

    (void)weight; /* each counts other lanes: all are asked */
    analytics_line_init(&remote->lines[index], remote, index);
    analytics_line_connect(&remote->lines[index]);
}

static void on_leave(struct place_follower *follower, size_t index) {
    analytics_line_leave(&CONTAINER_OF(follower, struct analytics_remote, follower)->lines[index]);
}

static void follow(struct analytics_remote *remote) {
    size_t asked = 0;

    place_follow(&remote->follower);
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        asked += analytics_line_asked(&remote->lines[i]);
    /* Of several each is asked for everything down to the end of the page. */
    remote->upstream.reach = asked > 1 ? TOP_LIMIT_MAX : TOP_REACH_MAX;
}

static void on_change(struct place_follower *follower) {
    struct analytics_remote *remote = CONTAINER_OF(follower, struct analytics_remote, follower);

    if (remote->close.closed)
        analytics_one_closed(remote);
    else
        follow(remote);
}

void analytics_set_join(struct analytics_remote *remote) {
    remote->follower = (struct place_follower){
        .changed = on_change,
        .come = on_come,
        .leave = on_leave,
        .set = &remote->fleet->places,
        .loop = remote->loop,
    };
    place_join(&remote->follower);
    follow(remote);
}
