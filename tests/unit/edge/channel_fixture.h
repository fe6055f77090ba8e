/* channel_fixture.h - a channel on the test's own loop, and a server made of raw frames.
 *
 * Everything happens in the test's thread: the loop is turned tick by tick until what the test
 * waits for has come (await() and its like fail the test after PATIENCE_MS), and between two ticks
 * the test reads and writes the server's end of the connection.
 */
#ifndef TESTS_EDGE_CHANNEL_FIXTURE_H
#define TESTS_EDGE_CHANNEL_FIXTURE_H

#include "grpc_fixture.h"

#include "edge/grpc_channel.h"
#include "loop/timer.h"

#define CALLS_MAX  64
#define FRAMES_MAX 8192

struct called {
    struct grpc_out_call call;
    struct world *world;
    unsigned done;
    enum grpc_status status;
    bool not_processed;
    char message[256];
    char *response; /* and a NUL */
    size_t response_len;
};

struct frame {
    uint8_t type;
    uint8_t flags;
    int32_t stream_id;
    char *payload;
    size_t len;
};

/* The server's end of one connection. */
struct raw {
    int fd;
    struct buf in;
    size_t parsed; /* of 'in' */
    struct frame frames[FRAMES_MAX];
    size_t frame_count;
    bool end; /* the client has closed */
};

struct world {
    const struct trace_context *trace; /* of the calls made next; NULL: none */
    struct loop *loop;
    struct resolver *resolver;
    struct grpc_channel *channel;
    struct grpc_channel_conf conf;
    enum grpc_channel_state states[64]; /* the first of them */
    size_t state_count;
    bool closed;
    int listening; /* the raw server's */
    char address[64];
    struct called calls[CALLS_MAX];
    size_t call_count;
    void (*on_done)(struct called *called);
    struct timer tick;
    struct loop_hook hook;
    int64_t began_ms;
};

/* A loop and a resolver; 'conf' is filled for tests: short pauses, long time-outs. */
void world_init(struct world *w);
/* A listening socket whose queue the kernel fills; its address goes into conf. */
void world_listen(struct world *w);
/* Makes the channel. */
void world_connect(struct world *w);
/* Closes the channel, if that hasn't happened, and everything. */
void world_release(struct world *w);

/* One tick of the loop, a millisecond long at most. */
void world_turn(struct world *w);
/* Turns until 'condition' holds. */
#define AWAIT(w, condition)                                                                        \
    do {                                                                                           \
        (w)->began_ms = loop_now_ms((w)->loop);                                                    \
        while (!(condition)) {                                                                     \
            world_turn(w);                                                                         \
            if (loop_now_ms((w)->loop) - (w)->began_ms > PATIENCE_MS)                              \
                fail_msg("%s:%d: waited in vain for %s", __FILE__, __LINE__, #condition);          \
        }                                                                                          \
    } while (0)

/* Starts a call; fails the test when it isn't taken. */
struct called *world_call(struct world *w, const char *path, struct slice request,
                          int64_t timeout_ms);
enum err world_try_call(struct world *w, const char *path, struct slice request, int64_t timeout_ms,
                        struct called **out);
void world_await_done(struct world *w, struct called *called);
void world_expect(const struct called *called, enum grpc_status status, bool not_processed);

/* ---- the raw server ---- */

/* Waits for the next connection. */
struct raw *raw_accept(struct world *w);
/* The same, answers SETTINGS and waits until the channel is ready. */
struct raw *raw_ready(struct world *w);
void raw_free(struct raw *r);
/* All of it: a world, a server and a channel that is ready; and its end. */
struct raw *world_open_raw(struct world *w);
void world_close_raw(struct world *w, struct raw *r);
/* A call whose request the server has read. */
struct called *world_requested(struct world *w, struct raw *r, int32_t stream_id);
/* The client has closed. */
bool raw_ended(struct raw *r);
/* Reads what has come; the number of complete frames so far. */
size_t raw_poll(struct raw *r);
/* Frames of this type that came, for this stream (-1: any). */
unsigned raw_count(struct raw *r, uint8_t type, int32_t stream_id);
/* The first of them, or NULL. */
const struct frame *raw_find(struct raw *r, uint8_t type, int32_t stream_id);
/* The request of a stream is complete. */
bool raw_requested(struct raw *r, int32_t stream_id);

void raw_send(struct raw *r, uint8_t type, uint8_t flags, int32_t stream_id, const void *payload,
              size_t len);
void raw_settings(struct raw *r, uint16_t id, uint32_t value); /* id 0: an empty frame */
void raw_goaway(struct raw *r, int32_t last, uint32_t code, const char *text);
void raw_reset(struct raw *r, int32_t stream_id, uint32_t code);
/* "name: value" lines, as literals without indexing. */
void raw_headers(struct raw *r, int32_t stream_id, const char *lines, bool end);
void raw_message(struct raw *r, int32_t stream_id, struct slice message);
/* Head, message and trailers of a good answer. */
void raw_answer(struct raw *r, int32_t stream_id, struct slice message);

#define GRPC_HEAD     ":status: 200\ncontent-type: application/grpc\n"
#define GRPC_TRAILERS "grpc-status: 0\n"

#endif
