/* tls_pair.c */
#include "tls_pair.h"

void feed(struct side *side, struct slice bytes) {
    char plain[TLS_RECORD_BYTES];

    tls_session_input(side->session, bytes);
    while (!side->failed && !side->ended) {
        size_t len = 0;
        enum tls_step step = side->open
                                 ? tls_session_read(side->session, plain, sizeof(plain), &len)
                                 : tls_session_handshake(side->session);

        if (step == TLS_WAITS)
            break;
        side->failed = step == TLS_FAILED;
        side->ended = step == TLS_ENDED;
        if (step == TLS_DONE) {
            buf_add(&side->got, plain, len);
            side->open = true;
        }
    }
    assert_true(side->failed || side->ended || tls_session_rest(side->session).len == 0);
}

void carry(struct side *from, struct side *to, size_t piece) {
    struct buf bytes = from->out;
    struct slice rest = buf_slice(&bytes);

    from->out = (struct buf){0};
    while (rest.len && !to->failed) {
        size_t n = rest.len < piece ? rest.len : piece;

        feed(to, slice_of(rest.ptr, n));
        rest = slice_skip(rest, n);
    }
    buf_release(&bytes);
}

void settle(struct pair *p, size_t piece) {
    do {
        carry(&p->client, &p->server, piece);
        carry(&p->server, &p->client, piece);
    } while (p->client.out.len);
}

void pair_begin(struct pair *p, struct tls *client, struct tls *server, const char *name) {
    *p = (struct pair){0};
    p->client.session = tls_session_new(client, slice_str(name), &p->client.out);
    p->server.session = tls_session_new(server, (struct slice){NULL, 0}, &p->server.out);
    assert_non_null(p->client.session);
    assert_non_null(p->server.session);
    feed(&p->client, SLICE("")); /* ClientHello */
}

void side_release(struct side *side) {
    tls_session_free(side->session);
    buf_release(&side->out);
    buf_release(&side->got);
}

void pair_end(struct pair *p) {
    side_release(&p->client);
    side_release(&p->server);
}

void say(struct side *side, struct slice bytes) {
    while (bytes.len) {
        size_t taken = 0;

        assert_int_equal(tls_session_write(side->session, bytes, &taken), TLS_DONE);
        assert_in_range(taken, 1, TLS_RECORD_BYTES);
        bytes = slice_skip(bytes, taken);
    }
}

void assert_got(const struct side *side, struct slice want) {
    assert_true(slice_eq(buf_slice(&side->got), want));
}
