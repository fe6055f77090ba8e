/* Partitions move between two instances while events come, clocks go and either crashes, at any
 * step, or one is cancelled: both together answer as the model that has all events. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analytics_model.h"
#include "core/analytics_merge.h"
#include "core/analytics_partition.h"
#include "edge/rocks_tally.h"
#include "test.h"

#define START_MS  (INT64_C(1790000000) * 1000)
#define HOUR_MS   INT64_C(3600000)
#define STORE_ID  77
#define OF        2 /* partitions */
#define INSTANCES 2
#define SEEDS     3
#define STEPS     900

struct instance {
    char folder[64];
    char name[4];
    struct rocks_tally *rocks;
    struct analytics *analytics;
};

/* One partition on its way, as somebody drives it who knows nothing but the instances' states. */
struct drive {
    bool under_way;
    uint32_t number;
    unsigned from, to;
    enum { LEAVE, WIPE, CARRY, READY, RELEASE, OWN } step;
    struct analytics_import import;
    struct buf page, next;
};

struct world {
    struct instance instances[INSTANCES];
    struct drive drive;
    struct model model;
    struct event_position at[MODEL_LANES];
    int64_t clock_ms;
    uint64_t random;
    unsigned seed;
    unsigned moved, cancelled, crashed;
};

static uint64_t below(struct world *world, uint64_t n) {
    world->random = world->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (world->random >> 33) % n;
}

static void start(struct world *world, struct instance *instance) {
    static const struct event_position none[MODEL_LANES];
    struct rocks_tally_conf rocks = {1 << 20, 1 << 20};
    struct analytics_conf conf = {
        .counters_max = 1000, .pending_max = 8192, .slice_rows = 2, .hash_seed = {world->seed, 5}};
    const char *detail = NULL;

    assert_int_equal(rocks_tally_open(instance->folder, &rocks, &instance->rocks, &detail), ERR_OK);
    assert_int_equal(analytics_open(rocks_tally_view(instance->rocks), &conf, world->clock_ms,
                                    &instance->analytics),
                     ERR_OK);
    assert_int_equal(analytics_source(instance->analytics, STORE_ID, MODEL_LANES, none), ERR_OK);
}

static void crash(struct instance *instance) {
    analytics_close(instance->analytics);
    rocks_tally_close(instance->rocks);
}

static bool owns(const struct instance *instance, unsigned index, uint32_t number) {
    enum partition_state state = analytics_partition(instance->analytics, number).state;

    return state == PARTITION_HERE || (state == PARTITION_UNMOVED && index == 0);
}

/* ---- events ---- */

static void happen(struct world *world) {
    struct model *model = &world->model;
    uint32_t counter = (uint32_t)(below(world, 2) ? below(world, 8) : below(world, MODEL_COUNTERS));
    uint32_t lane = counter % MODEL_LANES;
    uint32_t number = model->count[lane]++;

    assert_true(number < MODEL_EVENTS);
    world->at[lane].epoch = 1;
    world->at[lane].seq++;
    int64_t delta = (int64_t)below(world, 40) - 12;
    model->counter[lane][number] = counter;
    model->value[counter] += delta;
    model->events[lane][number] = (struct event){
        .lane = lane,
        .at = world->at[lane],
        .kind = OP_ADD,
        .resource_id = model_id(counter),
        .counter_type = model_type(counter),
        .delta = delta,
        .new_value = model->value[counter],
        .count = 1,
        .et_ms = world->clock_ms - (int64_t)(below(world, 5) ? 0 : below(world, 9)) * HOUR_MS / 3};
}

/* From its position on, and a bit before; who doesn't read the lane is given some too. */
static void deliver(struct world *world, unsigned index, uint32_t lane) {
    struct instance *instance = &world->instances[index];
    uint32_t next = (uint32_t)analytics_position(instance->analytics, lane).seq;
    uint32_t from = next - (uint32_t)below(world, (uint64_t)(next < 3 ? next : 3) + 1);
    uint32_t count = world->model.count[lane] - from;

    if (!owns(instance, index, lane % OF) &&
        analytics_partition(instance->analytics, lane % OF).state == PARTITION_UNMOVED)
        return; /* as configured */
    enum err err = analytics_apply(instance->analytics, &world->model.events[lane][from], count);
    if (err == ERR_BUSY) {
        assert_int_equal(analytics_commit(instance->analytics), ERR_OK);
        err = analytics_apply(instance->analytics, &world->model.events[lane][from], count);
    }
    assert_int_equal(err, ERR_OK);
}

/* ---- a drive ---- */

static void begin_drive(struct world *world) {
    struct drive *drive = &world->drive;

    drive->number = (uint32_t)below(world, OF);
    drive->from = owns(&world->instances[0], 0, drive->number) ? 0 : 1;
    drive->to = 1 - drive->from;
    drive->under_way = true;
    drive->step = LEAVE;
}

static void again(struct drive *drive) {
    drive->step = LEAVE;
    analytics_import_release(&drive->import);
}

static void leave(struct world *world) {
    struct drive *drive = &world->drive;
    struct instance *from = &world->instances[drive->from];
    struct instance *to = &world->instances[drive->to];
    enum partition_state there = analytics_partition(to->analytics, drive->number).state;

    if (there == PARTITION_HERE) { /* the last step was done before a crash */
        drive->step = OWN;
        return;
    }
    assert_null(analytics_cant_leave(from->analytics, drive->number, OF));
    assert_int_equal(analytics_leave(from->analytics, drive->number, OF, slice_str(to->name)),
                     ERR_OK);
    assert_int_equal(analytics_commit(from->analytics), ERR_OK);
    struct analytics_partition partition = analytics_partition(from->analytics, drive->number);
    buf_clear(&drive->next);
    if (partition.state == PARTITION_GONE && there == PARTITION_READY) {
        drive->step = OWN;
        return;
    }
    assert_int_equal(analytics_arrive(to->analytics, &partition, slice_str(from->name)), ERR_OK);
    assert_int_equal(analytics_commit(to->analytics), ERR_OK);
    drive->step = WIPE;
}

static void carry(struct world *world) {
    struct drive *drive = &world->drive;
    struct instance *from = &world->instances[drive->from];
    struct instance *to = &world->instances[drive->to];
    struct analytics_partition partition = analytics_partition(from->analytics, drive->number);
    struct buf next = {0};
    enum err err;

    if (drive->step == WIPE) {
        err = analytics_wipe(to->analytics, &partition, buf_slice(&drive->next), &next);
    } else {
        assert_int_equal(analytics_export(from->analytics, &partition, buf_slice(&drive->next),
                                          &drive->page, &next),
                         ERR_OK);
        err = analytics_import_page(to->analytics, &drive->import, buf_slice(&drive->page));
    }
    if (err == ERR_BUSY) {
        assert_int_equal(analytics_commit(to->analytics), ERR_OK);
        buf_release(&next);
        return;
    }
    assert_int_equal(err, ERR_OK);
    buf_release(&drive->next);
    drive->next = next;
    if (next.len == 0)
        drive->step = drive->step == WIPE ? CARRY : READY;
}

static void drive_on(struct world *world) {
    struct drive *drive = &world->drive;
    struct analytics *from = world->instances[drive->from].analytics;
    struct analytics *to = world->instances[drive->to].analytics;

    if (drive->step == LEAVE) {
        leave(world);
    } else if (drive->step == WIPE || drive->step == CARRY) {
        carry(world);
    } else if (drive->step == READY) {
        assert_int_equal(analytics_ready(to, drive->number), ERR_OK);
        assert_int_equal(analytics_commit(to), ERR_OK);
        drive->step = RELEASE;
    } else if (drive->step == RELEASE) {
        assert_int_equal(
            analytics_release(from, drive->number, slice_str(world->instances[drive->to].name)),
            ERR_OK);
        assert_int_equal(analytics_commit(from), ERR_OK);
        drive->step = OWN;
    } else {
        assert_int_equal(analytics_own(to, drive->number), ERR_OK);
        assert_int_equal(analytics_commit(to), ERR_OK);
        analytics_import_release(&drive->import);
        drive->under_way = false;
        world->moved++;
    }
}

static enum partition_state driven(const struct world *world, unsigned index) {
    return analytics_partition(world->instances[index].analytics, world->drive.number).state;
}

/* As long as it isn't gone. */
static void cancel_drive(struct world *world) {
    struct drive *drive = &world->drive;
    struct analytics *from = world->instances[drive->from].analytics;
    struct analytics *to = world->instances[drive->to].analytics;

    if (driven(world, drive->from) != PARTITION_LEAVING)
        return;
    assert_int_equal(analytics_keep(from, drive->number), ERR_OK);
    assert_int_equal(analytics_commit(from), ERR_OK);
    if (driven(world, drive->to) >= PARTITION_ARRIVING)
        assert_int_equal(analytics_keep(to, drive->number), ERR_OK);
    assert_int_equal(analytics_commit(to), ERR_OK);
    analytics_import_release(&drive->import);
    drive->under_way = false;
    world->cancelled++;
}

/* ---- equality ---- */

static void ask_both(struct world *world, struct analytics_ask *ask, struct analytics_ask parts[]) {
    struct analytics_ask *both[INSTANCES] = {&parts[0], &parts[1]};

    for (unsigned i = 0; i < INSTANCES; i++) {
        struct analytics *a = world->instances[i].analytics;

        parts[i] = *ask;
        parts[i].top.limit += parts[i].top.offset;
        parts[i].top.offset = 0;
        assert_int_equal(analytics_move(a, world->clock_ms), ERR_OK);
        assert_int_equal(ask->kind == ASK_TOP
                             ? analytics_top(a, &parts[i].top, &parts[i].top_answer)
                             : analytics_series(a, &parts[i].stats, &parts[i].stats_answer),
                         ERR_OK);
        parts[i].as_of_ms = analytics_end_ms(a);
    }
    assert_int_equal(analytics_merge(ask, both, INSTANCES), ERR_OK);
}

static void check_top(struct world *world, uint32_t type, enum time_range range) {
    static struct analytics_ask parts[INSTANCES];
    static struct analytics_ask ask;
    uint32_t want[MODEL_IDS];

    memset(&ask, 0, sizeof(ask));
    ask.kind = ASK_TOP;
    ask.top = (struct top_query){model_type(type), range, 0, MODEL_IDS};
    ask_both(world, &ask, parts);
    size_t listed = model_top(&world->model, type, range, world->clock_ms, want);
    assert_true(ask.top_answer.certainty.exact);
    if (ask.top_answer.count != listed)
        fail_msg("seed %u: %s: %zu listed, wanted %zu", world->seed, time_range_name(range),
                 ask.top_answer.count, listed);
    for (size_t i = 0; i < listed; i++) {
        struct tally tally = model_tally(&world->model, want[i], range, world->clock_ms);
        const struct top_item *item = top_item(&ask.top_answer, i);

        if (!slice_eq(item->resource_id, model_id(want[i])) || item->tally.sum != tally.sum ||
            item->tally.increments != tally.increments)
            fail_msg("seed %u: %s %u: rank %zu: %.*s %lld, wanted %.*s %lld", world->seed,
                     time_range_name(range), type, i, SLICE_ARGS(item->resource_id),
                     (long long)item->tally.sum, SLICE_ARGS(model_id(want[i])),
                     (long long)tally.sum);
    }
    for (unsigned i = 0; i < INSTANCES; i++)
        top_answer_release(&parts[i].top_answer);
    top_answer_release(&ask.top_answer);
}

static void check_series(struct world *world, uint32_t counter, enum time_range range) {
    static struct analytics_ask parts[INSTANCES];
    static struct analytics_ask ask;
    static struct series_point want[RANGE_POINTS_MAX];
    struct tally tally = model_tally(&world->model, counter, range, world->clock_ms);

    memset(&ask, 0, sizeof(ask));
    ask.kind = ASK_STATS;
    ask.stats = (struct stats_query){model_id(counter), model_type(counter), range};
    ask_both(world, &ask, parts);
    size_t points = model_series(&world->model, counter, range, world->clock_ms, want);
    assert_true(ask.stats_answer.certainty.exact);
    assert_int_equal(ask.stats_answer.total.sum, tally.sum);
    if (ask.stats_answer.count == 0)
        return; /* never had an event */
    assert_int_equal(ask.stats_answer.count, points);
    assert_memory_equal(ask.stats_answer.points, want, points * sizeof(*want));
}

/* Nothing is on its way. */
static void check_all(struct world *world) {
    for (unsigned i = 0; i < INSTANCES; i++) {
        for (uint32_t lane = 0; lane < MODEL_LANES; lane++)
            deliver(world, i, lane);
        while (analytics_veil_some(world->instances[i].analytics))
            ;
        assert_int_equal(analytics_move(world->instances[i].analytics, world->clock_ms), ERR_OK);
        while (analytics_is_behind(world->instances[i].analytics))
            assert_int_equal(analytics_catch_up(world->instances[i].analytics), ERR_OK);
    }
    for (uint32_t number = 0; number < OF; number++)
        assert_int_equal(
            owns(&world->instances[0], 0, number) + owns(&world->instances[1], 1, number), 1);
    for (unsigned range = 0; range < RANGES; range++) {
        for (uint32_t type = 0; type < MODEL_TYPES; type++)
            check_top(world, type, (enum time_range)range);
        check_series(world, (uint32_t)below(world, MODEL_COUNTERS), (enum time_range)range);
        check_series(world, (uint32_t)below(world, 8), (enum time_range)range);
    }
}

static void step(struct world *world) {
    unsigned index = (unsigned)below(world, INSTANCES);
    struct instance *instance = &world->instances[index];

    for (uint64_t i = below(world, 6); i > 0; i--)
        happen(world);
    if (below(world, 2))
        deliver(world, index, (uint32_t)below(world, MODEL_LANES));
    if (below(world, 8) == 0)
        world->clock_ms += (int64_t)below(world, 3 * HOUR_MS);
    if (below(world, 4) == 0)
        assert_int_equal(analytics_move(instance->analytics, world->clock_ms), ERR_OK);
    if (below(world, 6) == 0)
        assert_int_equal(analytics_commit(instance->analytics), ERR_OK);
    if (below(world, 4) == 0)
        (void)analytics_veil_some(instance->analytics);
    if (below(world, 40) == 0) {
        crash(instance);
        start(world, instance);
        world->crashed++;
        if (world->drive.under_way)
            again(&world->drive);
    }
    if (world->drive.under_way && below(world, 24) == 0)
        cancel_drive(world);
    else if (world->drive.under_way)
        drive_on(world);
    else if (below(world, 10) == 0)
        begin_drive(world);
    else if (below(world, 12) == 0)
        check_all(world);
}

static struct world *make(unsigned seed) {
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    world->seed = seed;
    world->random = seed;
    world->clock_ms = START_MS;
    for (unsigned i = 0; i < INSTANCES; i++) {
        struct instance *instance = &world->instances[i];

        instance->name[0] = (char)('a' + i);
        (void)snprintf(instance->folder, sizeof(instance->folder), "/tmp/hgp-partitions-XXXXXX");
        assert_non_null(mkdtemp(instance->folder));
        start(world, instance);
    }
    return world;
}

static void unmake(struct world *world) {
    for (unsigned i = 0; i < INSTANCES; i++) {
        char command[96];

        crash(&world->instances[i]);
        (void)snprintf(command, sizeof(command), "rm -r %s", world->instances[i].folder);
        assert_int_equal(system(command), 0);
    }
    analytics_import_release(&world->drive.import);
    buf_release(&world->drive.page);
    buf_release(&world->drive.next);
    free(world);
}

static void test_back_and_forth(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct world *world = make(seed);

        for (unsigned i = 0; i < STEPS; i++)
            step(world);
        while (world->drive.under_way)
            drive_on(world);
        check_all(world);
        assert_true(world->moved > 10);
        assert_true(world->cancelled > 3);
        assert_true(world->crashed > 10);
        unmake(world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back_and_forth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
