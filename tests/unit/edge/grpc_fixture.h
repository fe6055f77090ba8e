/* grpc_fixture.h - a gRPC server on a thread of its own, and a client that is nghttp2.
 *
 * The client blocks on a plain socket in the test's thread; what it waits for
 * fails the test after PATIENCE_MS instead of hanging.
 */
#ifndef TESTS_EDGE_GRPC_FIXTURE_H
#define TESTS_EDGE_GRPC_FIXTURE_H

#include "test.h"

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <semaphore.h>

#include "base/buf.h"
#include "grpc_echo.h"
#include "loop/mailbox.h"

#define PATIENCE_MS 20000
#define STREAMS_MAX 1000
#define MESSAGE_MAX (4u << 20)
#define FIXTURE_CONF                                                                               \
    (struct grpc_server_conf) {                                                                    \
        .connections_max = 8, .message_bytes_max = MESSAGE_MAX, .streams_max = STREAMS_MAX,        \
        .deadline_max_ms = 20000, .idle_ms = 20000, .write_ms = 20000, .keepalive_min_ms = 10000   \
    }

struct server {
    struct grpc_server_conf conf;
    struct grpc_echo echo; /* read it after server_stop() */
    uint64_t floods;       /* likewise */
    int port;
    struct loop *loop;
    struct grpc_server *grpc;
    pthread_t thread;
    sem_t ready;
    struct mail drain;
    bool draining; /* asked for */
};

/* The back end the tests of this round run on. */
extern enum loop_backend fixture_backend;

void server_start(struct server *s, const struct grpc_server_conf *conf);
/* Drains it, from its own thread; returns at once. */
void server_drain(struct server *s);
/* Drains it, if that hasn't begun, and waits for the end of the drain and the thread. Every call
 * that began has ended by then. */
void server_stop(struct server *s);

struct reply {
    int http;
    int status; /* -1: none came */
    char message[128];
    char accept[32];
    char echo[64];
    char fields[512]; /* all, a line each: "name: value\n" */
    unsigned interim; /* responses before this one (1xx) */
    size_t bytes;     /* of messages, with their prefixes */
    unsigned char first[32];
    bool closed;
    uint32_t reset; /* the code, when closed by a reset */
};

struct client {
    int fd;
    nghttp2_session *session;
    struct reply replies[STREAMS_MAX + 200]; /* of stream 2 i + 1 */
    struct buf bodies[STREAMS_MAX + 200];
    size_t sent[STREAMS_MAX + 200];
    unsigned closed;
    unsigned pings; /* acknowledged */
    unsigned goaways;
    int32_t goaway_last[4];
    uint32_t goaway_code;
    char goaway_text[64];
    bool end; /* the server's FIN or reset */
};

/* 'window' is its SETTINGS_INITIAL_WINDOW_SIZE. */
struct client *client_new(const struct server *s, uint32_t window);
/* One that opens no window by itself. */
struct client *client_new_stingy(const struct server *s, uint32_t window);
void client_free(struct client *c);

struct field {
    const char *name;
    const char *value;
};

/* A request with the standard fields, then 'fields' up to a NULL name: one named like a standard
 * one replaces it. 'body' as it is; 'end': half-close behind it. Returns the reply's index. */
unsigned client_request(struct client *c, const char *path, const struct field *fields,
                        struct slice body, bool end);
/* A unary call with one message. */
unsigned client_call(struct client *c, const char *path, struct slice message);
/* Appends a framed message. */
void frame_message(struct buf *body, bool compressed, struct slice message);

/* Writes what there is, then reads and writes until what it says has come. */
void client_flush(struct client *c);
void client_wait_closed(struct client *c, unsigned closed);
void client_wait_bytes(struct client *c, unsigned reply, size_t bytes);
void client_wait_goaways(struct client *c, unsigned goaways);
void client_wait_end(struct client *c);
/* Whatever comes within so long. */
void client_wait_ms(struct client *c, int ms);

/* A socket without nghttp2, for what a decent client can't be made to send. */
int raw_connect(const struct server *s);
/* Writes until all is written or the server closes: false then. */
bool raw_write(int fd, const void *bytes, size_t len);

/* Runs the group on each back end; one that the kernel refuses is reported as skipped. */
int fixture_run(const char *name, int (*group)(void));

#endif
