/* recount_internal.h - what the files of a recount share.
 *
 * recount.c      the calls, and one thread at a time
 * recount_all.c  a second service, and the change over
 * recount_end.c  what of a topic it must have read for that
 */
#ifndef CLI_RECOUNT_INTERNAL_H
#define CLI_RECOUNT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cli/analytics.h"
#include "cli/recount.h"
#include "cli/store_values.h"

struct recount {
    struct recount_conf conf;
    pthread_t thread;
    bool started; /* and not joined */
    atomic_bool stopping;
    _Atomic uint64_t events;
    _Atomic uint64_t values;
    pthread_mutex_t lock;
    enum gateway_recount_state state; /* under the lock, as what follows */
    char phase[128];
    char detail[GATEWAY_DOWN_BYTES];
};

/* recount.c: what it does now, for people. */
void recount_say(struct recount *recount, const char *phase);
MUST_CHECK enum err recount_take_values(struct recount *recount, struct analytics_service *service);

/* recount_end.c: where a topic ended, behind all that the first service had counted at a moment. */
struct recount_end {
    const struct recount_conf *conf;
    struct kafka_consumer *consumer; /* NULL: not connected */
    uint32_t partitions;
    int64_t *at; /* by partition; NULL: not known */
};

/* False: not yet, as that isn't all in the topic, or no broker answers. Of 'live' until it is
 * forgotten. May take seconds. */
bool recount_end_known(struct recount_end *end, const struct analytics_reached *live);

/* All of it that is 'own's to read was read: of every partition, as a lane's events needn't be in
 * the one where they would be now (events.partitions was changed). */
bool recount_end_reached(const struct recount_end *end, const struct analytics_reached *own);
void recount_end_forget(struct recount_end *end);
void recount_end_release(struct recount_end *end);

/* recount_all.c */

/* False: 'problem' says why, and all is as it was. */
bool recount_all(struct recount *recount, char *problem, size_t size);

#endif
