/* profile.h - what a seed's run is like: its size, and how much of which trouble it has. Each run
 * has some of the troubles, in all combinations.
 */
#ifndef TESTS_SIM_PROFILE_H
#define TESTS_SIM_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "rng.h"
#include "trace.h"

#define GATEWAYS_MAX 3
#define LANES_MAX    8
#define MASTERS_MAX  3

/* What is simulated. */
enum sim_suite { SUITE_EMBEDDED, SUITE_REDIS, SUITE_CLUSTER };

/* What an answer of a Redis promises (RELIABILITY 1). */
enum sim_ack { SIM_FAST, SIM_LOCAL, SIM_REPLICATED };

struct profile {
    bool local; /* durability: local; else fast */
    unsigned gateways;
    unsigned groups; /* of counters that are counted with */
    unsigned lanes;
    unsigned cache_counters;
    bool coalesce;
    unsigned ops;
    unsigned ops_max; /* per message */
    unsigned read_percent;
    unsigned in_flight_max;
    int64_t attempt_ms;

    unsigned slow_percent;   /* messages taking up to seconds */
    unsigned crash_permille; /* of commits: the owner dies around it */
    unsigned power_percent;  /* of those: with the machine */
    unsigned fail_commit_permille;
    unsigned fail_read_permille;       /* of messages: a read of the store near it */
    unsigned gateway_trouble_permille; /* of client steps: restart or pause of a gateway */
    bool clock_steps;
    bool silences;
    unsigned refuse_percent; /* of sends; with the split, of messages: by the counter, for sure */
    unsigned double_percent; /* requests arriving twice; with the split, broken connections whose
                                requests all arrive later */
    int64_t double_max_ms;   /* so late */

    bool split;
    unsigned counters; /* processes */
    bool shared;       /* they share a store outside of them; else the first one is its owner */
    bool foreign;      /* the last one has another store */
    unsigned break_permille;           /* of frames: the connection breaks right behind it */
    unsigned counter_trouble_permille; /* of client steps: kill or drain of a counter */

    unsigned lose_percent; /* without the split: of requests, and of replies */

    unsigned masters; /* of the Redis outside, each with replicas; 0: there is none */
    int64_t move_ms;  /* between two moves of a lane; 0: none */
    enum sim_ack ack;
    bool redis_syncs;           /* appendfsync always; else everysec */
    unsigned redis_lines;       /* connections of a process */
    int64_t redis_response_ms;  /* an answer that takes longer never comes */
    int64_t redis_trouble_ms;   /* between two troubles of a node; 0: none */
    unsigned relays;            /* processes that ship to Kafka; 0: none, and no Kafka */
    unsigned redis_lag_percent; /* of replication's steps: up to seconds */
};

struct profile profile_make(struct rng *rng, enum sim_suite suite);
void profile_trace(const struct profile *profile, struct trace *trace);

#endif
