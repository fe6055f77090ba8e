/* verify_internal.h - what the files of `verify` share, and `recover` with them.
 *
 * verify.c         the order of things; store_reading.c reads a Redis by the same way
 * verify_wanted.c  which counters
 * verify_folder.c  the embedded store, and its outbox
 * verify_redis*.c  a Redis, and its outbox
 * verify_kafka.c   a topic
 * verify_totals.c  analytics' totals
 * verify_print.c   the verdict, for people and as JSON
 */
#ifndef CLI_VERIFY_INTERNAL_H
#define CLI_VERIFY_INTERNAL_H

#include "base/buf.h"
#include "cli/verify.h"
#include "core/audit.h"

/* Every counter whose resource_id begins with 'prefix', or those of a list. */
struct verify_wanted {
    struct slice prefix;
    bool listed;
    struct buf text; /* the list's file */
};

struct verify_totals;

typedef enum err (*verify_take_fn)(void *ctx, struct slice resource_id, struct slice counter_type,
                                   int64_t value);

struct verify {
    const struct config *config;
    const struct tool_options *options;
    FILE *out;
    FILE *err;
    struct verify_wanted wanted;
    struct audit *audit;          /* NULL until the store has been read */
    struct verify_totals *totals; /* NULL: analytics isn't asked */
    uint64_t store_id;
    char store[CONFIG_TEXT_BYTES + 64]; /* what was read, for people */
    char events[512];                   /* and where the events came from */
    const char *analytics;              /* who was asked; NULL: nobody */
    verify_take_fn take;                /* gets the counters, instead of the audit; may be NULL */
    void *take_ctx;
    int64_t wait_ms;
};

/* Says why it can't go on, and returns the exit code. */
int verify_give_up(const struct verify *verify, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* --wait, into 'wait_ms'. An exit code. */
MUST_CHECK int verify_read_wait(struct verify *verify);

/* verify_wanted.c */
MUST_CHECK int verify_wanted_read(struct verify *verify);
void verify_wanted_release(struct verify_wanted *wanted);
bool verify_is_wanted(const struct verify_wanted *wanted, struct slice resource_id);
/* The next of the list, taken off the front of '*list' (at first wanted->text). False at its end;
 * '*out_bad' is then a line that is none, or {NULL, 0}. The type is decoded into 'type'. */
MUST_CHECK bool verify_wanted_next(struct slice *list, struct slice *out_resource,
                                   struct buf *out_type, struct slice *out_bad);
int verify_wanted_bad(const struct verify *verify, struct slice bad);

/* Makes verify->audit, and hands it the lanes. 'at' is by lane. */
MUST_CHECK int verify_begin(struct verify *verify, uint32_t lanes, const struct event_position *at,
                            bool others_write);

/* verify_totals.c. Nothing happens where analytics isn't asked, but audit_counter(). */
MUST_CHECK int verify_totals_open(struct verify *verify);
void verify_totals_close(struct verify *verify);
/* Before a part of the store is read that takes well below a second: analytics stands still. */
MUST_CHECK int verify_hold(struct verify *verify);
/* Each counter of that part: audit_counter(). */
MUST_CHECK enum err verify_counter(struct verify *verify, uint32_t lane, struct slice resource_id,
                                   struct slice counter_type, int64_t value,
                                   struct event_position at);
/* Behind it. '*out_again': the part is to be held and read again. */
MUST_CHECK int verify_totals(struct verify *verify, bool *out_again);

/* verify_folder.c: the store in --data; its outbox as well where no topic is to be read. */
MUST_CHECK int verify_folder(struct verify *verify, bool outbox);

/* verify_redis.c: the same of the Redis in --store. */
MUST_CHECK int verify_redis(struct verify *verify, bool outbox);

/* verify_kafka.c: until all that is needed has come, or nothing for so long. */
MUST_CHECK int verify_kafka(struct verify *verify);

/* verify_print.c: the exit code. */
MUST_CHECK int verify_print(struct verify *verify);

#endif
