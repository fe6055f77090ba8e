/* asked.c - tops and series wait for their turn.
 *
 *     port ─► mailbox ─► in order of asking ─► answered between pieces, and once in a turn
 *                           └─► past its deadline: that is the answer, whoever is before it
 *
 * Half of the thread is theirs at most while there is something to be counted, over any number of
 * turns: however many ask, counting goes on at half its speed, and they wait or are refused, as
 * each port has a limit. Where nothing is to be counted, all of it is theirs.
 */
#include <stdlib.h>

#include "analytics/internal.h"
#include "base/clock.h"

#define NS_PER_MS INT64_C(1000000)

/* Answers in a row; the last one may take longer. What is to be counted waits for them. */
#define SLICE_NS (1 * NS_PER_MS)

/* Of their half, before it is due: events that are on their way needn't find the thread asleep. */
#define AHEAD_NS (1 * NS_PER_MS)

/* ---- on the service's thread ---- */

static void queue(struct mail *mail) {
    struct analytics_question *question = CONTAINER_OF(mail, struct analytics_question, mail);

    list_push_back(&question->service->own.asked, &question->node);
}

/* All that are: it costs nothing. Once a millisecond, as there may be many. */
static void answer_late(struct analytics_service *service, int64_t now_ms) {
    struct list *node = service->own.asked.next;

    if (now_ms == service->own.late_ms)
        return;
    service->own.late_ms = now_ms;
    while (node != &service->own.asked) {
        struct analytics_question *question = CONTAINER_OF(node, struct analytics_question, node);

        node = node->next;
        if (now_ms < question->ask->deadline_ms)
            continue;
        list_remove(&question->node);
        analytics_answered(question, ERR_DEADLINE);
    }
}

static void look_again(struct analytics_service *service, int64_t delay_ms);

/* Of those who have asked, the first ones. */
static void answer_some(struct analytics_service *service) {
    int64_t began_ns = clock_mono_ns();
    int64_t now_ns = began_ns;
    struct list *node;

    (void)mailbox_drain(service->questions);
    if (list_empty(&service->own.asked))
        return;
    answer_late(service, began_ns / NS_PER_MS);
    while (now_ns - began_ns < SLICE_NS && (node = list_pop_front(&service->own.asked))) {
        analytics_answer(CONTAINER_OF(node, struct analytics_question, node));
        now_ns = clock_mono_ns();
    }
    time_share_took(&service->own.share, began_ns, now_ns);
    if (!list_empty(&service->own.asked))
        look_again(service, 0);
}

void analytics_answer_between(struct analytics_service *service) {
    if (time_share_due(&service->own.share, clock_mono_ns(), 0))
        answer_some(service);
}

/* No event is on its way, and no row is left that leaves its window. */
static bool is_idle(const struct analytics_service *service) {
    return service->own.reading == 0 && !timer_armed(&service->own.catch_up);
}

static void take_turn(struct analytics_service *service) {
    int64_t now_ns = clock_mono_ns();

    if (is_idle(service))
        time_share_waive(&service->own.share, now_ns);
    if (time_share_due(&service->own.share, now_ns, AHEAD_NS))
        answer_some(service);
    else
        look_again(service, 1); /* between pieces of what is counted until then, too */
}

static void next_turn(struct timer *timer) {
    take_turn(CONTAINER_OF(timer, struct analytics_service, own.turn));
}

static void look_again(struct analytics_service *service, int64_t delay_ms) {
    service->own.turn.fire = next_turn;
    if (!timer_armed(&service->own.turn))
        timer_start(service->loop, &service->own.turn, delay_ms);
}

/* Said before looking: what is asked behind the look is told anew. */
static void run_told(struct mail *mail) {
    struct analytics_service *service = CONTAINER_OF(mail, struct analytics_service, told);

    atomic_store(&service->told_sent, false);
    take_turn(service);
}

static void ignore(struct mail *mail) {
    (void)mail; /* part of the service */
}

static void drop(struct mail *mail) {
    free(CONTAINER_OF(mail, struct analytics_question, mail));
}

void analytics_asked_leave(struct analytics_service *service, const struct analytics_port *port) {
    (void)mailbox_drain(service->questions);
    struct list *node = service->own.asked.next;

    while (node != &service->own.asked) {
        struct analytics_question *question = CONTAINER_OF(node, struct analytics_question, node);

        node = node->next;
        if (question->port != port)
            continue;
        list_remove(&question->node);
        analytics_answered(question, ERR_UNAVAILABLE);
    }
}

void analytics_asked_release(struct analytics_service *service) {
    struct list *node;

    while ((node = list_pop_front(&service->own.asked)))
        free(CONTAINER_OF(node, struct analytics_question, node));
}

/* ---- on a port's loop ---- */

enum err analytics_ask_in_turn(struct analytics_service *service,
                               struct analytics_question *question) {
    question->mail = (struct mail){.run = queue, .drop = drop};
    enum err err = mailbox_send(service->questions, &question->mail);
    if (err != ERR_OK || atomic_exchange(&service->told_sent, true))
        return err;
    service->told = (struct mail){.run = run_told, .drop = ignore};
    if (mailbox_send(loop_mailbox(service->loop), &service->told) != ERR_OK)
        abort(); /* one at a time: the mailbox has room */
    return ERR_OK;
}
