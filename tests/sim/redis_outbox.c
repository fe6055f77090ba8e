/* redis_outbox.c - a consumer's commands: register, read events, report. */
#include <stdlib.h>

#include "core/outbox_read.h"
#include "redis_internal.h"

#define READ_BYTES 600
#define CONSUMER   SLICE("kafka")
/* Registered, and never reports: the outbox stays whole for the check at the end. */
#define KEEPER SLICE("keeper")

static enum err commit(struct redis_node *node) {
    enum err err = applier_commit(node->applier, false);

    (void)node_append(node, true);
    return err;
}

static enum err do_register(struct redis_node *node, struct command *command) {
    const struct event_position *at;
    enum err err = applier_consumer_add(node->applier, KEEPER, &at);

    if (err == ERR_OK)
        err = applier_consumer_add(node->applier, CONSUMER, &at);
    for (uint32_t i = 0; err == ERR_OK && i < node->redis->world->profile.lanes; i++)
        command->reported[i] = at[i];
    return err == ERR_OK ? commit(node) : err;
}

static enum err do_report(struct redis_node *node, const struct command *command) {
    enum err err = applier_consumer_report(node->applier, CONSUMER, command->lane, command->at);

    /* Beyond the end: of a history that is lost. */
    return err == ERR_OK ? commit(node) : ERR_OK;
}

/* Events outlive the reader; their slices point to the history's counters. */
static void copy_events(struct redis_node *node, struct command *command,
                        const struct outbox_reader *reader) {
    command->events = calloc(reader->count + 1, sizeof(*command->events));
    if (!command->events)
        abort();
    for (size_t i = 0; i < reader->count; i++) {
        struct event *event = &command->events[i];
        const struct sim_counter *counter =
            history_counter(&node->redis->world->history, reader->events[i].resource_id);

        if (!counter)
            abort();
        *event = reader->events[i];
        event->resource_id = slice_str(counter->id);
        event->counter_type = slice_str(counter->type);
    }
    command->events_count = reader->count;
}

static enum err do_read(struct redis_node *node, struct command *command) {
    struct outbox_reader reader = {0};
    enum err err = outbox_read(&reader, sim_kv_scanner(node->data.sim), command->lane, command->at,
                               applier_lane_end(node->applier, command->lane), READ_BYTES);

    if (err == ERR_OK)
        copy_events(node, command, &reader);
    else if (!redis_rewound(node->redis))
        trace_violation(&node->redis->world->trace, -1,
                        "I9: lane %u behind %llu-%llu can't be read: %s", command->lane,
                        (unsigned long long)command->at.epoch, (unsigned long long)command->at.seq,
                        err_name(err));
    outbox_reader_release(&reader);
    return err;
}

enum err server_outbox(struct redis_node *node, struct command *command) {
    if (command->kind == COMMAND_REGISTER)
        return do_register(node, command);
    if (command->kind == COMMAND_REPORT)
        return do_report(node, command);
    return do_read(node, command);
}
