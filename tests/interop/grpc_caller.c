/* grpc_caller.c - unary calls through grpc_channel, for servers that aren't ours.
 *
 *     grpc_caller LOOP HOST:PORT PATH COUNT AT_ONCE TIMEOUT_MS BYTES
 *
 * LOOP is epoll, io_uring or auto; BYTES is the length of each request. A call that surely wasn't
 * processed is made again, as often as it takes. Prints a line for each call,
 *
 *     STATUS same|other MESSAGE         same: the response is the request
 *
 * and at the end how often calls were made again and how often the channel was ready.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "edge/grpc_channel.h"
#include "loop/timer.h"

#define AGAIN_MS   5
#define GIVE_UP_MS 60000

struct one {
    struct grpc_out_call call;
    struct timer again;
};

static struct {
    struct loop *loop;
    struct grpc_channel *channel;
    const char *path;
    char *request;
    size_t bytes;
    int64_t timeout_ms;
    unsigned left; /* to be started */
    unsigned open;
    unsigned repeated;
    unsigned ready;
    struct timer give_up;
    struct one *ones;
} self;

static _Noreturn void die(const char *what) {
    fprintf(stderr, "grpc_caller: %s\n", what);
    exit(1);
}

static void start(struct one *one) {
    enum err err =
        grpc_channel_call(self.channel, &one->call, slice_str(self.path),
                          slice_of(self.request, self.bytes), clock_mono_ms() + self.timeout_ms);

    if (err == ERR_UNREACHABLE || err == ERR_BUSY)
        timer_start(self.loop, &one->again, AGAIN_MS);
    else if (err != ERR_OK)
        die(err_text(err));
}

static void on_again(struct timer *timer) {
    start(CONTAINER_OF(timer, struct one, again));
}

static void on_closed(void *ctx) {
    (void)ctx;
    loop_stop(self.loop);
}

static void next(struct one *one) {
    if (self.left > 0) {
        self.left--;
        start(one);
    } else if (--self.open == 0) {
        grpc_channel_close(self.channel, on_closed, NULL);
    }
}

static void on_done(struct grpc_out_call *call, const struct grpc_result *result) {
    struct one *one = CONTAINER_OF(call, struct one, call);
    bool same = slice_eq(result->response, slice_of(self.request, self.bytes));

    if (result->not_processed && result->status == GRPC_UNAVAILABLE) {
        self.repeated++;
        timer_start(self.loop, &one->again, AGAIN_MS);
        return;
    }
    printf("%d %s ", result->status, same ? "same" : "other");
    for (size_t i = 0; i < result->message.len; i++)
        printf(result->message.ptr[i] == '\n' ? "\\n" : "%c", result->message.ptr[i]);
    printf("\n");
    fflush(stdout);
    next(one);
}

static void on_state(void *ctx, enum grpc_channel_state state) {
    (void)ctx;
    if (state == GRPC_CHANNEL_READY)
        self.ready++;
    if (state == GRPC_CHANNEL_WAITING && grpc_channel_problem(self.channel))
        fprintf(stderr, "%s\n", grpc_channel_problem(self.channel));
}

static void on_give_up(struct timer *timer) {
    (void)timer;
    die("out of patience");
}

static enum loop_backend backend(const char *name) {
    if (strcmp(name, "auto") == 0)
        return LOOP_AUTO;
    return strcmp(name, "epoll") == 0 ? LOOP_EPOLL : LOOP_IO_URING;
}

static void begin(unsigned at_once) {
    self.ones = calloc(at_once, sizeof(*self.ones));
    if (!self.ones)
        die("no memory");
    for (unsigned i = 0; i < at_once; i++) {
        self.ones[i].call.done = on_done;
        self.ones[i].again.fire = on_again;
        self.open++;
        self.left--;
        start(&self.ones[i]);
    }
    self.give_up.fire = on_give_up;
    timer_start(self.loop, &self.give_up, GIVE_UP_MS);
}

static void run(const char *address, unsigned at_once) {
    struct grpc_channel_conf conf = {
        .resolver = resolver_new(),
        .address = slice_str(address),
        .connect_ms = 5000,
        .backoff_min_ms = 20,
        .backoff_max_ms = 500,
        .keepalive_ms = 10000,
        .keepalive_timeout_ms = 5000,
        .message_bytes_max = 4 << 20,
        .on_state = on_state,
        .seed = 1,
    };

    self.channel = grpc_channel_new(self.loop, &conf);
    if (!conf.resolver || !self.channel)
        die("no channel");
    begin(at_once);
    if (loop_run(self.loop) != ERR_OK)
        die("the loop failed");
    timer_stop(self.loop, &self.give_up);
    resolver_free(conf.resolver);
}

int main(int argc, char **argv) {
    struct loop_conf loop_conf;
    unsigned at_once;

    if (argc != 8)
        die("LOOP HOST:PORT PATH COUNT AT_ONCE TIMEOUT_MS BYTES");
    loop_conf.backend = backend(argv[1]);
    self.path = argv[3];
    self.left = (unsigned)atoi(argv[4]);
    at_once = (unsigned)atoi(argv[5]);
    self.timeout_ms = atoi(argv[6]);
    self.bytes = (size_t)atol(argv[7]);
    self.request = malloc(self.bytes + 1);
    if (!self.request || at_once == 0 || self.left < at_once)
        die("COUNT is at least AT_ONCE, and that is at least 1");
    for (size_t i = 0; i < self.bytes; i++)
        self.request[i] = (char)('a' + i % 23);
    if (loop_new(&loop_conf, &self.loop) != ERR_OK)
        die("no loop");
    run(argv[2], at_once);
    printf("repeated %u ready %u\n", self.repeated, self.ready);
    loop_free(self.loop);
    free(self.ones);
    free(self.request);
    return 0;
}
