/* fake_channel.h - grpc_channel.h without a network: the test says what becomes of channels and
 * calls. */
#ifndef TESTS_UNIT_GATEWAY_FAKE_CHANNEL_H
#define TESTS_UNIT_GATEWAY_FAKE_CHANNEL_H

#include "base/buf.h"
#include "edge/grpc_channel.h"

#define FAKE_CHANNELS_MAX 4
#define FAKE_CALLS_MAX    16

struct fake_call {
    struct grpc_out_call *call;
    struct grpc_channel *channel;
    struct slice path;
    struct buf request;
    int64_t deadline_ms;
};

struct grpc_channel {
    struct grpc_channel_conf conf;
    enum grpc_channel_state state;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct fake {
    struct grpc_channel channels[FAKE_CHANNELS_MAX]; /* in the order of making */
    size_t channel_count;
    struct fake_call calls[FAKE_CALLS_MAX]; /* open, in the order of starting */
    size_t call_count;
    bool out_of_memory;  /* the next channel can't be made */
    enum err next_call;  /* what the next call is refused with */
    const char *problem; /* of every channel */
};

extern struct fake fake;

void fake_reset(void);

void fake_state(size_t channel, enum grpc_channel_state state);

/* Ends the open call 'i'. */
void fake_end(size_t i, const struct grpc_result *result);
void fake_answer(size_t i, struct slice response);

/* Closes what was told to close, as a later turn of the loop would. */
void fake_finish_closing(void);

#endif
