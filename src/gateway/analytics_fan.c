/* analytics_fan.c - a question to every instance, and one answer made of theirs.
 *
 *     SENDING ─► every instance's call has ended ─► merge, or the worst that came ─► done
 */
#include <stdlib.h>

#include "core/analytics_merge.h"
#include "edge/analytics_codec.h"
#include "gateway/analytics_remote_internal.h"

#define FANS_MAX 1024

/* For a connection that is about to come. */
#define PATIENCE_MS 750
#define AGAIN_MS    10

struct fan;

struct part {
    struct grpc_out_call call;
    struct fan *fan;
    struct analytics_line *line;
    struct analytics_ask ask; /* what this instance is asked, and answers */
    bool sent;
};

struct fan {
    struct analytics_remote *remote;
    struct analytics_ask *ask;
    size_t count;   /* parts: the instances that there were when it was asked */
    size_t waiting; /* parts without an end, and one more while sending */
    int64_t give_up_ms;
    struct timer again; /* sends what isn't sent */
    struct part parts[];
};

/* ---- the end ---- */

static enum err worst(const struct fan *fan) {
    for (size_t i = 0; i < fan->count; i++)
        if (fan->parts[i].ask.err != ERR_OK)
            return fan->parts[i].ask.err;
    return fan->count ? ERR_OK : ERR_UNAVAILABLE;
}

static enum err merge(struct fan *fan) {
    struct analytics_ask *parts[INSTANCES_MAX];

    for (size_t i = 0; i < fan->count; i++)
        parts[i] = &fan->parts[i].ask;
    return analytics_merge(fan->ask, parts, fan->count);
}

/* Whoever counts what is missing has left, or hasn't come: as one of a list that can't be reached.
 */
static bool somebody_is_missing(const struct fan *fan) {
    const struct coverage *coverage = &fan->ask->coverage;

    return fan->remote->fleet->found && !coverage->moving && coverage_missing(coverage) > 0;
}

static void conclude(struct fan *fan) {
    struct analytics_ask *ask = fan->ask;

    ask->err = worst(fan);
    if (ask->err == ERR_OK)
        ask->err = merge(fan);
    if (ask->err != ERR_OK)
        return;
    analytics_fleet_cover(fan->remote->fleet, &ask->coverage);
    if (somebody_is_missing(fan))
        ask->err = ERR_UNAVAILABLE;
}

static void end(struct fan *fan) {
    struct analytics_ask *ask = fan->ask;

    conclude(fan);
    for (size_t i = 0; i < fan->count; i++)
        top_answer_release(&fan->parts[i].ask.top_answer);
    timer_stop(fan->remote->loop, &fan->again);
    fan->remote->fans--;
    free(fan);
    ask->done(ask);
}

static void part_ended(struct part *part, enum err err) {
    part->ask.err = err;
    analytics_line_answered(part->line);
    if (--part->fan->waiting == 0)
        end(part->fan);
}

/* ---- a call ---- */

static enum err meaning_of(const struct grpc_result *result) {
    switch (result->status) {
    case GRPC_OK:
        return ERR_OK;
    case GRPC_DEADLINE_EXCEEDED:
        return ERR_DEADLINE;
    case GRPC_RESOURCE_EXHAUSTED:
        return ERR_BUSY;
    case GRPC_UNIMPLEMENTED: /* it is another service's port */
    case GRPC_UNAVAILABLE:
    case GRPC_CANCELLED:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INTERNAL;
    }
}

static void send_again(struct fan *fan);

static void on_answer(struct grpc_out_call *call, const struct grpc_result *result) {
    struct part *part = CONTAINER_OF(call, struct part, call);
    enum err err = meaning_of(result);

    if (result->not_processed && loop_now_ms(part->fan->remote->loop) < part->fan->give_up_ms) {
        part->sent = false;
        send_again(part->fan);
        return;
    }
    if (err == ERR_OK)
        err = part->ask.kind == ASK_TOP
                  ? analytics_decode_top_answer(result->response, &part->ask)
                  : analytics_decode_stats_answer(result->response, &part->ask);
    part_ended(part, err == ERR_INVALID ? ERR_INTERNAL : err);
}

static enum err start_call(struct part *part) {
    struct buf *out = &part->fan->remote->out;
    bool top = part->ask.kind == ASK_TOP;

    if (!part->line->channel)
        return ERR_NO_MEMORY;
    buf_clear(out);
    if (top)
        analytics_encode_top(out, &part->ask.top);
    else
        analytics_encode_stats(out, &part->ask.stats);
    if (buf_failed(out))
        return ERR_NO_MEMORY;
    return grpc_channel_call(part->line->channel, &part->call,
                             top ? SLICE(ANALYTICS_TOP_PATH) : SLICE(ANALYTICS_STATS_PATH),
                             buf_slice(out), part->fan->ask->deadline_ms);
}

/* It is being replaced, or another loop has found the instance already. */
static bool may_come(const struct analytics_line *line) {
    return !line->failed || analytics_fleet_there(line->remote->fleet, line->index);
}

static void send_part(struct part *part) {
    struct fan *fan = part->fan;

    if (part->sent)
        return;
    enum err err = start_call(part);
    if (err == ERR_UNREACHABLE && may_come(part->line) &&
        loop_now_ms(fan->remote->loop) < fan->give_up_ms) {
        send_again(fan);
        return;
    }
    part->sent = true;
    if (err != ERR_OK)
        part_ended(part, err == ERR_UNREACHABLE ? ERR_UNAVAILABLE : err);
}

/* One part more waits meanwhile, so that the fan outlives the loop. */
static void send_parts(struct timer *timer) {
    struct fan *fan = CONTAINER_OF(timer, struct fan, again);

    fan->waiting++;
    for (size_t i = 0; i < fan->count; i++)
        send_part(&fan->parts[i]);
    if (--fan->waiting == 0)
        end(fan);
}

static void send_again(struct fan *fan) {
    if (!timer_armed(&fan->again))
        timer_start(fan->remote->loop, &fan->again, AGAIN_MS);
}

/* Of several instances each is asked for everything down to the end of the page. */
static void ask_part(struct part *part, struct fan *fan, struct analytics_line *line) {
    *part = (struct part){.call.done = on_answer, .fan = fan, .line = line, .sent = false};
    line->parts++;
    part->ask.kind = fan->ask->kind;
    part->ask.top = fan->ask->top;
    part->ask.stats = fan->ask->stats;
    if (fan->count == 1)
        return;
    part->ask.top.limit += part->ask.top.offset;
    part->ask.top.offset = 0;
}

static size_t count_asked(const struct analytics_remote *remote) {
    size_t count = 0;

    for (size_t i = 0; i < INSTANCES_MAX; i++)
        count += analytics_line_asked(&remote->lines[i]);
    return count;
}

enum err analytics_fan_out(struct analytics_remote *remote, struct analytics_ask *ask) {
    size_t count = count_asked(remote);

    if (remote->fans >= FANS_MAX)
        return ERR_BUSY;
    struct fan *fan = calloc(1, sizeof(*fan) + count * sizeof(struct part));
    if (!fan)
        return ERR_NO_MEMORY;
    *fan = (struct fan){.remote = remote, .ask = ask, .count = count, .waiting = count};
    fan->again.fire = send_parts;
    fan->give_up_ms = loop_now_ms(remote->loop) + PATIENCE_MS;
    if (fan->give_up_ms > ask->deadline_ms)
        fan->give_up_ms = ask->deadline_ms;
    for (size_t i = 0, part = 0; i < INSTANCES_MAX; i++)
        if (analytics_line_asked(&remote->lines[i]))
            ask_part(&fan->parts[part++], fan, &remote->lines[i]);
    remote->fans++;
    /* done() never runs inside this function. */
    timer_start(remote->loop, &fan->again, 0);
    return ERR_OK;
}
