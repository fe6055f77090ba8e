/* kafka.h - a simulated topic with its producers, and analytics that reads it.
 *
 *     relay ─produce─► session ══ in order, late ══► partition ──► analytics: high-water, totals
 *       ▲ ◄──acked────────┘  └ breaks: a piece of what was under way arrives, also much later
 *
 * A session is one life of an idempotent producer: inside it nothing is doubled, lost or swapped;
 * a new one ships again from what was confirmed. What a broker has acknowledged stays (RF 3,
 * min.insync 2). Analytics keeps offsets, high-waters and totals in one record, and dies.
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_KAFKA_H
#define TESTS_SIM_KAFKA_H

#include <stdbool.h>
#include <stddef.h>

#include "core/event.h"

struct kafka;
struct kafka_session;
struct world;

struct kafka *kafka_new(struct world *world);
void kafka_free(struct kafka *kafka);

struct kafka_user {
    void *ctx;
    /* In the order of produce(). */
    void (*acked)(void *ctx, void *tag);
    /* Fatal: nothing more is acknowledged. */
    void (*failed)(void *ctx);
};

struct kafka_session *kafka_session_new(struct kafka *kafka, const struct kafka_user *user);
void kafka_produce(struct kafka_session *session, const struct event *event, void *tag);
/* No more callbacks; what is under way may arrive. */
void kafka_session_close(struct kafka_session *session);

/* The end: analytics reads to the end, and totals and the topic are compared with the values
 * (I4, I5). Behind check_store(). */
void kafka_check(struct kafka *kafka);

size_t kafka_records(const struct kafka *kafka);

#endif
