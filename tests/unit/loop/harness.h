/* harness.h - a loop under test, its recorded connections, and a client thread.
 *
 * The loop runs on the test's thread until the test has seen what it waits
 * for; the client is a second thread with plain blocking sockets. Nothing
 * sleeps to synchronise; a watchdog timer turns a hang into a failure.
 */
#ifndef TESTS_LOOP_HARNESS_H
#define TESTS_LOOP_HARNESS_H

#include "test.h"

#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "loop/loop.h"
#include "loop/mailbox.h"
#include "loop/stream.h"
#include "loop/timer.h"

#define MIB ((size_t)1 << 20)

struct world;

/* A connection as the server saw it. */
struct conn {
    struct world *world;
    struct stream *stream;
    char *in; /* all bytes received */
    size_t in_len;
    size_t in_capacity;
    unsigned reads;
    unsigned fins;
    unsigned broken;
    unsigned sent_ok;
    unsigned sent_closed;
    unsigned closed;
    size_t echoed;    /* the echo: bytes of 'in' handed to stream_send() so far, */
    char *echo_bytes; /* and those of a send under way */
};

/* What the test does in each callback; NULL does nothing. */
struct behaviour {
    void (*accepted)(struct conn *conn);
    void (*read)(struct conn *conn, struct slice bytes);
    void (*fin)(struct conn *conn);
    void (*sent)(struct conn *conn, enum err err);
    void (*broken)(struct conn *conn);
    void (*closed)(struct conn *conn);
};

struct world {
    struct loop *loop;
    struct listener *listener;
    int port;
    const struct behaviour *behaviour;
    struct conn *conns;
    size_t conn_count;
    size_t conn_max;
    size_t closed;
    struct timer watchdog;
    bool close_listener; /* close it in the first on_accept() */
    bool refuse;         /* close every stream in on_accept() */
    void *user;
    sem_t gate; /* a client waits here until the test has got to some point */
};

/* What the loops of this round are made of. */
extern struct loop_conf harness_conf;

/* A loop of those. */
struct loop *harness_loop(void);

/* 127.x.y.1, this process's own, in network byte order: a client elsewhere that goes on trying a
 * server that is gone, on a port that is ours now, must not be taken for the test's. */
in_addr_t harness_address(void);

/* A loop that listens on this process's own address, on a free port; up to 'conn_max'
 * connections. */
void world_open(struct world *w, const struct behaviour *behaviour, size_t conn_max);
/* Runs until loop_stop(); fails the test after a long time. */
void world_run(struct world *w);
/* Closes what is still open, and everything. */
void world_close(struct world *w);

/* Closing a connection from a test: remembers that it is closed. */
void conn_close(struct conn *conn);

/* The echo server: answers all bytes, closes after the peer's FIN. */
extern const struct behaviour echo_behaviour;

/* A thread that runs fn(w) and is joined by client_join(). */
pthread_t client_start(void (*fn)(struct world *w), struct world *w);
void client_join(pthread_t thread);

/* A blocking, connected socket. Aborts the test on failure. */
int client_connect(const struct world *w);
void client_write(int fd, const void *bytes, size_t len);
/* Reads exactly 'len'. */
void client_read(int fd, void *bytes, size_t len);
/* true: the peer's FIN and nothing before it. */
bool client_eof(int fd);
/* Closes with a reset. */
void client_reset(int fd);

/* Byte 'i' of the test pattern; its period isn't a power of two. */
static inline char pattern(size_t i) {
    return (char)(i % 251);
}
char *pattern_new(size_t len);
/* The first 'len' bytes are the pattern from 'from' on. */
bool pattern_is(const char *bytes, size_t len, size_t from);

/* Runs the group on each back end; one that the kernel refuses is reported as
 * skipped. For main(). */
int harness_run(const char *name, int (*group)(void));

#endif
