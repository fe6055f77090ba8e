/* transport_fixture.h - two ends of a socket pair on one loop, and all that they were told.
 *
 * What a decent peer can't be made to do is written into a bare descriptor instead.
 */
#ifndef TESTS_EDGE_TRANSPORT_FIXTURE_H
#define TESTS_EDGE_TRANSPORT_FIXTURE_H

#include "../loop/harness.h"
#include "tls_fixture.h"

#include "base/buf.h"
#include "edge/transport.h"

#define BIG (4 * MIB)

struct end;
typedef void (*react)(struct end *end);

/* One end, and all that it was told. */
struct end {
    const char *name;
    struct transport transport;
    struct buf in;
    struct slice alpn; /* at the first bytes */
    unsigned fins, broken, sent_ok, sent_closed, closed;
    bool live;
    bool paused;
    char problem[128];
    react on_bytes, on_fin, on_sent, on_broken;
    struct timer later;
    struct end *peer;
};

/* Of the test that runs. */
extern struct loop *loop;
extern struct tls *server_tls;
extern struct tls *client_tls;
extern struct end client;
extern struct end server;
extern char *big;
extern const struct stream_events end_events;

void end_close(struct end *end);
void end_release(struct end *end);
void run_until(bool (*what)(void));
void begin(struct end *end, const char *name, int fd, bool accepts, bool plain);
void make_pair(int out[2]);
void meet(bool plain);
/* The server against a bare descriptor. */
int meet_raw(void);
bool all_closed(void);
/* Closes what is still open; every end has heard of that once, and of each send too. */
void part(void);
void send_text(struct end *end, const char *text);
void send_big(struct end *end);
bool got(const struct end *end, const char *text);
void answer(struct end *end);
bool answered(void);
bool server_paused(void);
bool server_ended(void);
bool client_ended(void);
bool server_broke(void);
bool client_broke(void);
void resume(struct timer *timer);
void pause_a_moment(struct end *end);
void pause_for_long(struct end *end);
void fin(struct end *end);
void close_peer(struct end *end);
/* The handshake is over, and all that belongs to it was read: a close is a FIN, no reset. */
void meet_and_talk(void);
int open_loop(void **state);
int close_loop(void **state);

/* Runs the group on each back end; for main(). */
#define ROW(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)
int transport_run(const char *name, int (*group)(void));

#endif
