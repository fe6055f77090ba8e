/* fake_channel.c - see fake_channel.h. */
#include "fake_channel.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

struct fake fake;

void fake_reset(void) {
    for (size_t i = 0; i < FAKE_CALLS_MAX; i++)
        buf_release(&fake.calls[i].request);
    fake = (struct fake){.next_call = ERR_OK};
}

struct grpc_channel *grpc_channel_new(struct loop *loop, const struct grpc_channel_conf *conf) {
    (void)loop;
    if (fake.out_of_memory)
        return NULL;
    assert_true(fake.channel_count < FAKE_CHANNELS_MAX);
    struct grpc_channel *channel = &fake.channels[fake.channel_count++];

    *channel = (struct grpc_channel){.conf = *conf, .state = GRPC_CHANNEL_CONNECTING};
    return channel;
}

void grpc_channel_close(struct grpc_channel *channel, void (*closed)(void *ctx), void *ctx) {
    assert_false(channel->closing);
    channel->closing = true;
    channel->closed = closed;
    channel->closed_ctx = ctx;
}

enum grpc_channel_state grpc_channel_state(const struct grpc_channel *channel) {
    return channel->state;
}

enum err grpc_channel_call(struct grpc_channel *channel, struct grpc_out_call *call,
                           struct slice path, struct slice request, int64_t deadline_ms) {
    enum err err = fake.next_call;

    fake.next_call = ERR_OK;
    if (err != ERR_OK)
        return err;
    if (channel->state != GRPC_CHANNEL_READY)
        return ERR_UNREACHABLE;
    assert_true(fake.call_count < FAKE_CALLS_MAX);
    struct fake_call *open = &fake.calls[fake.call_count++];

    open->call = call;
    open->channel = channel;
    open->path = path;
    open->deadline_ms = deadline_ms;
    buf_clear(&open->request);
    buf_add_slice(&open->request, request);
    return ERR_OK;
}

size_t grpc_channel_calls(const struct grpc_channel *channel) {
    size_t count = 0;

    for (size_t i = 0; i < fake.call_count; i++)
        count += fake.calls[i].channel == channel;
    return count;
}

const char *grpc_channel_problem(const struct grpc_channel *channel) {
    (void)channel;
    return fake.problem;
}

void fake_state(size_t channel, enum grpc_channel_state state) {
    struct grpc_channel *of = &fake.channels[channel];

    of->state = state;
    of->conf.on_state(of->conf.ctx, state);
}

void fake_end(size_t i, const struct grpc_result *result) {
    assert_true(i < fake.call_count);
    struct fake_call ended = fake.calls[i];

    fake.call_count--;
    memmove(&fake.calls[i], &fake.calls[i + 1], (fake.call_count - i) * sizeof(fake.calls[0]));
    fake.calls[fake.call_count] = (struct fake_call){.request = ended.request}; /* kept */
    ended.call->done(ended.call, result);
}

void fake_answer(size_t i, struct slice response) {
    fake_end(i, &(struct grpc_result){.status = GRPC_OK, .response = response});
}

static void end_calls(const struct grpc_channel *channel) {
    for (size_t i = 0; i < fake.call_count;) {
        if (fake.calls[i].channel == channel)
            fake_end(i, &(struct grpc_result){.status = GRPC_CANCELLED});
        else
            i++;
    }
}

void fake_finish_closing(void) {
    for (size_t i = 0; i < fake.channel_count; i++) {
        struct grpc_channel *channel = &fake.channels[i];

        if (!channel->closing)
            continue;
        channel->closing = false;
        end_calls(channel);
        channel->closed(channel->closed_ctx);
    }
}
