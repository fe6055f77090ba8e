/* tls_pair.h - two sessions that talk to each other in memory. */
#ifndef TESTS_EDGE_TLS_PAIR_H
#define TESTS_EDGE_TLS_PAIR_H

#include "tls_fixture.h"

#include "base/buf.h"
#include "edge/tls_session.h"

struct side {
    struct tls_session *session;
    struct buf out;
    struct buf got;
    bool open;
    bool ended;
    bool failed;
};

struct pair {
    struct side client;
    struct side server;
};

/* What came, through the handshake and into 'got'. */
void feed(struct side *side, struct slice bytes);
/* What one has written, to the other, in pieces. */
void carry(struct side *from, struct side *to, size_t piece);
/* To and fro until neither has anything to say. */
void settle(struct pair *p, size_t piece);

/* Makes both; the ClientHello is in client.out. */
void pair_begin(struct pair *p, struct tls *client, struct tls *server, const char *name);
void pair_end(struct pair *p);
void side_release(struct side *side);

void say(struct side *side, struct slice bytes);
void assert_got(const struct side *side, struct slice want);

#endif
