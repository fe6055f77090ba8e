/* rules.h - the protocol's rules by name, so that a test can take one away.
 *
 * In the product RULE(x) is the constant true and costs nothing. The simulator
 * is built with HGP_RULE_SWITCHES and turns single rules off: a checker that
 * stays green then proves nothing (RELIABILITY 4, self-test).
 */
#ifndef CORE_RULES_H
#define CORE_RULES_H

#include <stdbool.h>

enum rule {
    RULE_DEDUP,         /* a message in the window is answered, not applied again (3.2) */
    RULE_TOO_OLD,       /* at or below the highest forgotten number: refused (3.2) */
    RULE_AGE,           /* issued more than MESSAGE_MAX_AGE_MS ago: refused (3.2) */
    RULE_KEEP_PRODUCER, /* a silent producer is kept PRODUCER_KEEP_MS (3.2) */
    RULE_ONE_WRITE,     /* counters, dedup and outbox in one atomic write (3.3) */
    RULE_COMMIT_FIRST,  /* answers leave after the commit, not before (3.3) */
    RULE_SYNC_FIRST,    /* mode local: the commit is durable before the answer (3.4) */
    RULE_SAME_NUMBER,   /* a retry carries the message's own number (3.2) */
    RULE_KEY_RECORD,    /* a client's key is looked up and recorded (3.5) */
    RULE_FINGERPRINT,   /* the same key with another payload is refused (3.5) */
    RULE_RANGE,         /* past int64: refused, the value untouched (3.3) */
    RULE_COALESCE_SIGN, /* only same-sign increments coalesce (3.3) */
    RULE_CLAMP_TIME,    /* a lane's event time never goes back (3.3) */
    RULE_WINDOW_SPAN,   /* n + MESSAGE_WINDOW waits for n (3.2) */
    RULE_PEER_SAID_SO,  /* an attempt was not applied only if the peer or HTTP/2 says so (2, row 3)
                         */
    RULE_SAME_STORE,    /* messages go to counters of one store only (DESIGN 5) */

    /* of a store with replicas, whose engine isn't ours */
    RULE_WAIT,        /* answers are held behind a WAIT (3.4) */
    RULE_WAIT_ALL,    /* for every replica that may be promoted, not for one of them (2, row 11) */
    RULE_WAIT_COUNT,  /* WAIT's reply is looked at: fewer than asked for is no success (3.4) */
    RULE_STORE_SYNCS, /* the store's nodes sync before they answer or acknowledge (2, row 8) */
    RULE_TOUCH,       /* a duplicate writes as well, so that a WAIT covers its original (1) */
    RULE_TOUCH_READ,  /* and so does what only reads, for the same reason */

    /* of the way of the events (3.6, 3.8) */
    RULE_RELAY_WAITS,    /* events are shipped when no failover can take them away */
    RULE_NO_TIMEOUT,     /* a producer never gives up one message of several */
    RULE_HIGH_WATER,     /* a consumer drops what it has had */
    RULE_ATOMIC_OFFSETS, /* and stores its offset with what it made of it */

    /* of a store on several servers (ADR 12) */
    RULE_PART_UNKNOWN, /* a part whose outcome is unknown makes its message's unknown */
    RULE_PART_AGAIN,   /* a part refused to a second attempt may have been applied by the first */
    RULE_KEYS_WAIT,    /* with clients' keys a part waits until a slot has moved */
    RULE_KEYS_THERE,   /* and is refused where a record of theirs may have gone already */
    RULE_ALL_THERE,    /* a part is applied where all of its counters are */
    RULE_WAIT_EACH,    /* answers wait for the replicas of every server that wrote */
    RULES
};

#ifdef HGP_RULE_SWITCHES
/* Bit r set: rule r is off. The test's, set before anything runs. */
extern unsigned long rules_off;
#define RULE(r) ((rules_off >> (r)&1ul) == 0)
#else
#define RULE(r) true
#endif

#endif
