/* recount_internal.h - what the files of a recount share.
 *
 * recount.c      the calls, and one thread at a time
 * recount_all.c  a second service, and the change over
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

/* recount_all.c */

/* Why it can't be done here at all; NULL: it can. */
const char *recount_source_problem(const struct recount_conf *conf);

/* False: 'problem' says why, and all is as it was. */
bool recount_all(struct recount *recount, char *problem, size_t size);

#endif
