/* sim.c - runs seeds, prints what went wrong in a timeline, and proves that the
 * checker would notice a missing rule.
 *
 *     sim --seeds 1..500              these seeds
 *     sim --seconds 10                as many as fit, from 1 or with --seeds 5000.. from there
 *     sim --rule-off DEDUP            the protocol without one of its rules
 *     sim --each-rule                 each rule off in turn: has to go wrong soon
 *     sim --each-rule --seeds 1..5000 how many of these go wrong
 *     sim --redis ...                 the store is a Redis with replicas
 *     sim --cluster ...               it is a Cluster: several of them, lanes that move
 *     sim --timeline 200              so many lines of a failing seed
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/rules.h"
#include "world.h"

#define FAILING_SHOWN  3
#define RULE_SEEDS_MAX 2000
#define ACKED_SHARE    4
#define SEEDS_TO_JUDGE 50
#define RECORDS_SHARE  2

/* clang-format off */
static const char *const rule_names[RULES] = {
    [RULE_DEDUP]         = "DEDUP",
    [RULE_TOO_OLD]       = "TOO_OLD",
    [RULE_AGE]           = "AGE",
    [RULE_KEEP_PRODUCER] = "KEEP_PRODUCER",
    [RULE_ONE_WRITE]     = "ONE_WRITE",
    [RULE_COMMIT_FIRST]  = "COMMIT_FIRST",
    [RULE_SYNC_FIRST]    = "SYNC_FIRST",
    [RULE_SAME_NUMBER]   = "SAME_NUMBER",
    [RULE_KEY_RECORD]    = "KEY_RECORD",
    [RULE_FINGERPRINT]   = "FINGERPRINT",
    [RULE_RANGE]         = "RANGE",
    [RULE_COALESCE_SIGN] = "COALESCE_SIGN",
    [RULE_CLAMP_TIME]    = "CLAMP_TIME",
    [RULE_WINDOW_SPAN]   = "WINDOW_SPAN",
    [RULE_PEER_SAID_SO]  = "PEER_SAID_SO",
    [RULE_SAME_STORE]    = "SAME_STORE",
    [RULE_WAIT]          = "WAIT",
    [RULE_WAIT_ALL]      = "WAIT_ALL",
    [RULE_WAIT_COUNT]    = "WAIT_COUNT",
    [RULE_STORE_SYNCS]   = "STORE_SYNCS",
    [RULE_TOUCH]         = "TOUCH",
    [RULE_TOUCH_READ]    = "TOUCH_READ",
    [RULE_RELAY_WAITS]   = "RELAY_WAITS",
    [RULE_NO_TIMEOUT]    = "NO_TIMEOUT",
    [RULE_HIGH_WATER]    = "HIGH_WATER",
    [RULE_ATOMIC_OFFSETS] = "ATOMIC_OFFSETS",
    [RULE_PART_UNKNOWN]  = "PART_UNKNOWN",
    [RULE_PART_AGAIN]    = "PART_AGAIN",
    [RULE_KEYS_WAIT]     = "KEYS_WAIT",
    [RULE_KEYS_THERE]    = "KEYS_THERE",
    [RULE_ALL_THERE]     = "ALL_THERE",
    [RULE_WAIT_EACH]     = "WAIT_EACH",
};
/* clang-format on */

/* Where it has to be missed. */
static bool is_of(enum sim_suite suite, unsigned rule) {
    if (suite == SUITE_EMBEDDED)
        return rule < RULE_WAIT;
    if (rule >= RULE_PART_UNKNOWN)
        return suite == SUITE_CLUSTER;
    return rule >= RULE_WAIT || rule == RULE_DEDUP || rule == RULE_SAME_NUMBER;
}

struct options {
    uint64_t first;
    uint64_t last;
    int64_t seconds; /* 0: no limit */
    size_t timeline;
    bool each_rule;
    enum sim_suite suite;
};

struct totals {
    uint64_t seeds;
    uint64_t failing;
    uint64_t operations;
    uint64_t acked;
    uint64_t events;
    uint64_t crashes;
    uint64_t records;
    uint64_t moves;
};

static const char *const suite_flags[] = {
    [SUITE_EMBEDDED] = "", [SUITE_REDIS] = " --redis", [SUITE_CLUSTER] = " --cluster"};

static void show_seed(uint64_t seed, const struct options *options) {
    (void)world_run(seed, options->suite, options->timeline);
    printf("to see it again: sim%s --seeds %" PRIu64 " --timeline 1000",
           suite_flags[options->suite], seed);
    for (unsigned rule = 0; rule < RULES; rule++)
        if (!RULE(rule))
            printf(" --rule-off %s", rule_names[rule]);
    printf("\n\n");
}

static void run_seed(uint64_t seed, const struct options *options, struct totals *totals) {
    struct world_result result = world_run(seed, options->suite, 0);

    totals->seeds++;
    totals->operations += result.operations;
    totals->acked += result.acked;
    totals->events += result.events;
    totals->crashes += result.crashes;
    totals->records += result.records;
    totals->moves += result.moves;
    if (result.violations == 0)
        return;
    if (totals->failing++ < FAILING_SHOWN)
        show_seed(seed, options);
    else
        printf("seed %" PRIu64 ": %zu violation(s)\n", seed, result.violations);
}

static bool run_seeds(const struct options *options) {
    struct totals totals = {0};
    int64_t began_ms = clock_mono_ms();
    int64_t took_ms = 0;

    for (uint64_t seed = options->first; seed <= options->last; seed++) {
        run_seed(seed, options, &totals);
        took_ms = clock_mono_ms() - began_ms;
        if (options->seconds && took_ms >= options->seconds * 1000)
            break;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " clean, %" PRIu64 " failing; %" PRIu64
           " operations, %" PRIu64 " acknowledged, %" PRIu64 " events, %" PRIu64
           " crashes, %" PRIu64 " records in Kafka, %" PRIu64 " lanes moved; %.0f seeds/s\n",
           totals.seeds, totals.seeds - totals.failing, totals.failing, totals.operations,
           totals.acked, totals.events, totals.crashes, totals.records, totals.moves,
           (double)totals.seeds * 1000.0 / (double)(took_ms ? took_ms : 1));
    /* A world in which next to nothing succeeds would prove nothing. */
    if (totals.acked * ACKED_SHARE < totals.operations && totals.seeds >= SEEDS_TO_JUDGE) {
        printf("too little was acknowledged\n");
        return false;
    }
    if (options->suite != SUITE_EMBEDDED && totals.records < totals.events / RECORDS_SHARE &&
        totals.seeds >= SEEDS_TO_JUDGE) {
        printf("too little has come to Kafka\n");
        return false;
    }
    return totals.seeds > 0 && totals.failing == 0;
}

/* The self-test: the checker has to see each rule missing. */
static bool goes_wrong(unsigned rule, const struct options *options) {
    uint64_t tried = 0;
    struct world_result result = {0};

    while (tried < RULE_SEEDS_MAX && result.violations == 0)
        result = world_run(options->first + tried++, options->suite, 0);
    printf("without %-14s %s after %" PRIu64 " seed(s): %s\n", rule_names[rule],
           result.violations ? "red" : "STILL GREEN", tried, result.first);
    return result.violations > 0;
}

static bool count_wrong(unsigned rule, const struct options *options) {
    uint64_t wrong = 0;

    for (uint64_t seed = options->first; seed <= options->last; seed++)
        wrong += world_run(seed, options->suite, 0).violations > 0;
    printf("without %-14s %" PRIu64 " of %" PRIu64 " seeds are red\n", rule_names[rule], wrong,
           options->last - options->first + 1);
    return wrong > 0;
}

static bool run_each_rule(const struct options *options) {
    bool all = true;

    for (unsigned rule = 0; rule < RULES; rule++) {
        if (!is_of(options->suite, rule))
            continue;
        rules_off = 1ul << rule;
        all &= options->last == options->first || options->last == UINT64_MAX
                   ? goes_wrong(rule, options)
                   : count_wrong(rule, options);
    }
    rules_off = 0;
    return all;
}

static bool parse_rule(const char *name) {
    for (unsigned rule = 0; rule < RULES; rule++) {
        if (slice_eq_nocase(slice_str(name), slice_str(rule_names[rule]))) {
            rules_off |= 1ul << rule;
            return true;
        }
    }
    return false;
}

static bool parse_seeds(const char *text, struct options *options) {
    char *end;

    options->first = options->last = strtoull(text, &end, 10);
    if (end[0] == '.' && end[1] == '.') {
        end += 2;
        options->last = *end ? strtoull(end, &end, 10) : UINT64_MAX;
    }
    return *text && *end == '\0' && options->first <= options->last;
}

static bool parse(int argc, char **argv, struct options *options) {
    static const struct option known[] = {
        {"seeds", required_argument, NULL, 's'},    {"seconds", required_argument, NULL, 't'},
        {"rule-off", required_argument, NULL, 'r'}, {"each-rule", no_argument, NULL, 'e'},
        {"timeline", required_argument, NULL, 'l'}, {"redis", no_argument, NULL, 'd'},
        {"cluster", no_argument, NULL, 'c'},        {0},
    };
    bool good = true;
    int option;

    while (good && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 's')
            good = parse_seeds(optarg, options);
        else if (option == 't')
            options->seconds = strtoll(optarg, NULL, 10);
        else if (option == 'r')
            good = parse_rule(optarg);
        else if (option == 'l')
            options->timeline = (size_t)strtoull(optarg, NULL, 10);
        else if (option == 'e')
            options->each_rule = true;
        else if (option == 'd')
            options->suite = SUITE_REDIS;
        else if (option == 'c')
            options->suite = SUITE_CLUSTER;
        else
            good = false;
    }
    return good && optind == argc;
}

int main(int argc, char **argv) {
    struct options options = {.first = 1, .last = UINT64_MAX, .timeline = 60};

    if (!parse(argc, argv, &options) ||
        (!options.each_rule && options.last == UINT64_MAX && !options.seconds)) {
        fprintf(stderr,
                "usage: sim [--redis | --cluster] --seeds A..B | --seconds N [--rule-off NAME]\n"
                "           [--timeline LINES]\n"
                "       sim [--redis | --cluster] --each-rule [--seeds A | --seeds A..B]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return (options.each_rule ? run_each_rule(&options) : run_seeds(&options)) ? 0 : 1;
}
