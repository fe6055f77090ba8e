/* totals.c - counting that pauses while somebody reads the store, and totals at the positions that
 * were read.
 *
 *     hold ─► lanes stand still ─► totals asked for ─► lanes go on ─► each is there ─► answered
 *               └─ a second has passed: they go on, and may pass what is asked for
 */
#include "analytics/internal.h"
#include "base/clock.h"

#define HOLD_MS 1000

/* For lanes that are behind. Short, as a drain waits for it. */
#define PATIENCE_MS 2000
#define LOOK_MS     50

static void go_on(struct analytics_service *service) {
    service->own.held = false;
    timer_stop(service->loop, &service->own.hold_end);
    analytics_read_on(service);
}

static void hold_is_over(struct timer *timer) {
    go_on(CONTAINER_OF(timer, struct analytics_service, own.hold_end));
}

void analytics_hold(struct analytics_service *service, struct hold_ask *out) {
    uint32_t lanes;

    service->own.held = true;
    service->own.hold_end.fire = hold_is_over;
    timer_start(service->loop, &service->own.hold_end, HOLD_MS);
    *out = (struct hold_ask){.store_id = analytics_store_id(service->own.analytics, &lanes),
                             .number = ++service->own.holds};
}

/* ---- those that wait ---- */

static bool is_there(struct analytics_service *service, struct analytics_question *question) {
    struct totals_ask *ask = &question->ask->totals;
    bool there = true;

    for (size_t i = 0; i < ask->count; i++) {
        if (ask->totals[i].state == TOTAL_AHEAD)
            analytics_total(service->own.analytics, &ask->totals[i]);
        there &= ask->totals[i].state != TOTAL_AHEAD;
    }
    return there;
}

void analytics_waiting_end(struct analytics_service *service, enum err err) {
    struct list *node;

    timer_stop(service->loop, &service->own.waiting_look);
    while ((node = list_pop_front(&service->own.waiting)))
        analytics_answered(CONTAINER_OF(node, struct analytics_question, node), err);
}

/* With 'late', those as well that have waited long enough. */
static void look(struct analytics_service *service, bool late) {
    struct list *node = service->own.waiting.next;

    while (node != &service->own.waiting) {
        struct analytics_question *question = CONTAINER_OF(node, struct analytics_question, node);

        node = node->next;
        if (!is_there(service, question) && !(late && clock_mono_ms() >= question->until_ms))
            continue;
        list_remove(&question->node);
        analytics_answered(question, ERR_OK);
    }
}

static void look_again(struct timer *timer) {
    struct analytics_service *service =
        CONTAINER_OF(timer, struct analytics_service, own.waiting_look);

    look(service, true);
    if (!list_empty(&service->own.waiting))
        timer_start(service->loop, timer, LOOK_MS);
}

bool analytics_wait(struct analytics_service *service, struct analytics_question *question) {
    const struct totals_ask *ask = &question->ask->totals;
    bool there = is_there(service, question);

    if (!there) {
        question->until_ms = clock_mono_ms() + PATIENCE_MS;
        list_push_back(&service->own.waiting, &question->node);
        service->own.waiting_look.fire = look_again;
        if (!timer_armed(&service->own.waiting_look))
            timer_start(service->loop, &service->own.waiting_look, LOOK_MS);
    }
    if (service->own.held && ask->hold == service->own.holds && !ask->more)
        go_on(service);
    return !there;
}

/* ---- while events are counted ---- */

/* Of the lane's positions that are waited for, the first. False: there is none. */
static bool next_stop(const struct analytics_service *service, uint32_t lane,
                      struct event_position *out) {
    bool any = false;

    for (const struct list *node = service->own.waiting.next; node != &service->own.waiting;
         node = node->next) {
        const struct totals_ask *ask =
            &CONTAINER_OF(node, struct analytics_question, node)->ask->totals;

        for (size_t i = 0; i < ask->count; i++) {
            const struct total *total = &ask->totals[i];

            if (total->lane != lane || total->state != TOTAL_AHEAD ||
                (any && !event_position_less(total->at, *out)))
                continue;
            *out = total->at;
            any = true;
        }
    }
    return any;
}

size_t analytics_until_stop(const struct analytics_service *service, const struct event *events,
                            size_t count) {
    struct event_position stop;
    size_t n = 0;

    if (list_empty(&service->own.waiting) || !next_stop(service, events[0].lane, &stop))
        return count;
    while (n < count && !event_position_less(stop, events[n].at))
        n++;
    return n ? n : count;
}

void analytics_stopped(struct analytics_service *service) {
    if (!list_empty(&service->own.waiting))
        look(service, false);
}
