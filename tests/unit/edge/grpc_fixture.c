/* grpc_fixture.c */
#include "grpc_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/stream.h"
#include "wire/grpc_frame.h"

enum loop_backend fixture_backend;

/* ---- the server ---------------------------------------------------------- */

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "grpc fixture: %s: %s\n", what, strerror(errno));
    abort();
}

static void stop(void *ctx) {
    struct server *s = ctx;

    loop_stop(s->loop);
}

static void run_drain(struct mail *mail) {
    struct server *s = CONTAINER_OF(mail, struct server, drain);

    grpc_server_drain(s->grpc, stop, s);
}

static void *serve(void *arg) {
    struct server *s = arg;
    struct grpc_method methods[GRPC_ECHO_METHODS];
    char name[64];
    int fd;

    grpc_echo_methods(&s->echo, methods);
    s->conf.methods = methods;
    s->conf.method_count = GRPC_ECHO_METHODS;
    s->conf.finished = grpc_echo_finished;
    s->conf.finished_ctx = &s->echo;
    must(loop_new(&(struct loop_conf){.backend = fixture_backend}, &s->loop) == ERR_OK, "loop_new");
    s->grpc = grpc_server_new(s->loop, &s->conf);
    must(s->grpc, "grpc_server_new");
    must(socket_listen(SLICE("127.0.0.1:0"), 0, &fd) == ERR_OK, "listen");
    socket_name(fd, name, sizeof(name));
    s->port = atoi(strrchr(name, ':') + 1);
    must(grpc_server_listen(s->grpc, fd) == ERR_OK, "grpc_server_listen");
    sem_post(&s->ready);
    must(loop_run(s->loop) == ERR_OK, "loop_run");
    s->floods = grpc_server_stats(s->grpc)->floods_total;
    must(grpc_server_stats(s->grpc)->calls == 0, "a call is left over");
    must(grpc_server_stats(s->grpc)->connections == 0, "a connection is left over");
    grpc_server_free(s->grpc);
    loop_free(s->loop);
    return NULL;
}

void server_start(struct server *s, const struct grpc_server_conf *conf) {
    memset(s, 0, sizeof(*s));
    s->conf = *conf;
    s->drain.run = run_drain;
    sem_init(&s->ready, 0, 0);
    must(pthread_create(&s->thread, NULL, serve, s) == 0, "pthread_create");
    sem_wait(&s->ready);
}

void server_drain(struct server *s) {
    struct mailbox *mailbox = loop_mailbox(s->loop);

    must(mailbox_send(mailbox, &s->drain) == ERR_OK, "mailbox_send");
    s->draining = true;
}

void server_stop(struct server *s) {
    if (!s->draining)
        server_drain(s);
    pthread_join(s->thread, NULL);
    sem_destroy(&s->ready);
}

/* ---- the client's callbacks ---------------------------------------------- */

static unsigned index_of(int32_t stream_id) {
    return (unsigned)(stream_id - 1) / 2;
}

static void copy_text(char *to, size_t room, const uint8_t *from, size_t len) {
    (void)snprintf(to, room, "%.*s", (int)len, (const char *)from);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    struct client *c = ctx;
    struct reply *r = &c->replies[index_of(frame->hd.stream_id)];
    struct slice n = slice_of((const char *)name, name_len);

    (void)session, (void)flags;
    size_t used = strlen(r->fields);
    (void)snprintf(r->fields + used, sizeof(r->fields) - used, "%.*s: %.*s\n", (int)name_len,
                   (const char *)name, (int)value_len, (const char *)value);
    if (slice_eq(n, SLICE(":status"))) {
        r->http = atoi((const char *)value);
        r->interim += r->http < 200;
    } else if (slice_eq(n, SLICE("grpc-status")))
        r->status = atoi((const char *)value);
    else if (slice_eq(n, SLICE("grpc-message")))
        copy_text(r->message, sizeof(r->message), value, value_len);
    else if (slice_eq(n, SLICE("grpc-accept-encoding")))
        copy_text(r->accept, sizeof(r->accept), value, value_len);
    else if (slice_starts(n, SLICE("x-echo")))
        copy_text(r->echo, sizeof(r->echo), value, value_len);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *bytes,
                   size_t len, void *ctx) {
    struct client *c = ctx;
    struct reply *r = &c->replies[index_of(stream_id)];

    (void)session, (void)flags;
    for (size_t i = 0; i < len && r->bytes + i < sizeof(r->first); i++)
        r->first[r->bytes + i] = bytes[i];
    r->bytes += len;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx) {
    struct client *c = ctx;
    struct reply *r = &c->replies[index_of(stream_id)];

    (void)session;
    r->closed = true;
    r->reset = code;
    c->closed++;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct client *c = ctx;

    (void)session;
    if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK)
        c->pings++;
    if (frame->hd.type != NGHTTP2_GOAWAY)
        return 0;
    c->goaway_last[c->goaways++ % 4] = frame->goaway.last_stream_id;
    c->goaway_code = frame->goaway.error_code;
    copy_text(c->goaway_text, sizeof(c->goaway_text), frame->goaway.opaque_data,
              frame->goaway.opaque_data_len);
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    struct client *c = ctx;
    unsigned i = index_of(stream_id);
    size_t left = c->bodies[i].len - c->sent[i];
    size_t n = left < room ? left : room;

    (void)session;
    if (n)
        memcpy(to, c->bodies[i].ptr + c->sent[i], n);
    c->sent[i] += n;
    if (n < left)
        return (ssize_t)n;
    if (source->fd) /* half-close */
        *flags = NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

/* ---- the client ---------------------------------------------------------- */

int raw_connect(const struct server *s) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)s->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

bool raw_write(int fd, const void *bytes, size_t len) {
    struct slice rest = slice_of(bytes, len);

    while (rest.len) {
        ssize_t n = send(fd, rest.ptr, rest.len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        rest = slice_skip(rest, (size_t)n);
    }
    return true;
}

static struct client *make_client(const struct server *s, uint32_t window, bool stingy) {
    struct client *c = calloc(1, sizeof(*c));
    nghttp2_settings_entry setting = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    nghttp2_session_callbacks *cbs;
    nghttp2_option *option;

    assert_non_null(c);
    for (size_t i = 0; i < ARRAY_LEN(c->replies); i++)
        c->replies[i].status = -1;
    c->fd = raw_connect(s);
    nghttp2_session_callbacks_new(&cbs);
    nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, stingy);
    assert_int_equal(nghttp2_session_client_new2(&c->session, cbs, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cbs);
    assert_int_equal(nghttp2_submit_settings(c->session, 0, &setting, 1), 0);
    client_flush(c);
    return c;
}

struct client *client_new(const struct server *s, uint32_t window) {
    return make_client(s, window, false);
}

struct client *client_new_stingy(const struct server *s, uint32_t window) {
    return make_client(s, window, true);
}

void client_free(struct client *c) {
    close(c->fd);
    nghttp2_session_del(c->session);
    for (size_t i = 0; i < ARRAY_LEN(c->bodies); i++)
        buf_release(&c->bodies[i]);
    free(c);
}

static void add_field(nghttp2_nv *nva, size_t *count, struct field field) {
    size_t i = 0;

    while (i < *count && strcmp((char *)nva[i].name, field.name) != 0)
        i++;
    if (i >= 6)
        i = *count; /* only the standard ones are replaced */
    nva[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)field.name, (uint8_t *)(uintptr_t)field.value,
                          strlen(field.name), strlen(field.value), 0};
    if (i == *count)
        ++*count;
}

unsigned client_request(struct client *c, const char *path, const struct field *fields,
                        struct slice body, bool end) {
    const struct field standard[] = {
        {":method", "POST"}, {":scheme", "http"}, {":path", path},
        {":authority", "t"}, {"te", "trailers"},  {"content-type", "application/grpc"},
    };
    nghttp2_nv nva[256];
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(standard); i++)
        add_field(nva, &count, standard[i]);
    for (; fields && fields->name; fields++)
        add_field(nva, &count, *fields);
    nghttp2_data_provider provider = {.source.fd = end, .read_callback = read_body};
    unsigned next = index_of((int32_t)nghttp2_session_get_next_stream_id(c->session));
    assert_true(next < ARRAY_LEN(c->bodies));
    buf_add_slice(&c->bodies[next], body);
    assert_true(nghttp2_submit_request(c->session, NULL, nva, count, &provider, NULL) > 0);
    return next;
}

void frame_message(struct buf *body, bool compressed, struct slice message) {
    unsigned char prefix[GRPC_PREFIX_BYTES];

    grpc_frame_prefix(prefix, compressed, (uint32_t)message.len);
    buf_add(body, prefix, sizeof(prefix));
    buf_add_slice(body, message);
}

unsigned client_call(struct client *c, const char *path, struct slice message) {
    struct buf body = {0};

    frame_message(&body, false, message);
    unsigned i = client_request(c, path, NULL, buf_slice(&body), true);
    buf_release(&body);
    return i;
}

void client_flush(struct client *c) {
    const uint8_t *bytes;
    ssize_t len;

    while ((len = nghttp2_session_mem_send(c->session, &bytes)) > 0)
        if (!raw_write(c->fd, bytes, (size_t)len))
            return;
    assert_int_equal(len, 0);
}

static bool wait_readable(const struct client *c, int ms) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    return poll(&p, 1, ms) > 0;
}

static void take_in(struct client *c) {
    uint8_t bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
    if (n <= 0)
        c->end = true;
    else
        assert_int_equal(nghttp2_session_mem_recv(c->session, bytes, (size_t)n), n);
    client_flush(c);
}

static void step(struct client *c, const char *what) {
    if (c->end)
        fail_msg("the server has closed, while waiting for %s", what);
    client_flush(c);
    if (!wait_readable(c, PATIENCE_MS))
        fail_msg("nothing came, while waiting for %s", what);
    take_in(c);
}

void client_wait_ms(struct client *c, int ms) {
    int64_t end_ms = clock_mono_ns() / 1000000 + ms;
    int64_t left_ms = ms;

    for (client_flush(c); left_ms > 0 && !c->end; left_ms = end_ms - clock_mono_ns() / 1000000)
        if (wait_readable(c, (int)left_ms))
            take_in(c);
}

void client_wait_closed(struct client *c, unsigned closed) {
    while (c->closed < closed)
        step(c, "the end of calls");
}

void client_wait_bytes(struct client *c, unsigned reply, size_t bytes) {
    while (c->replies[reply].bytes < bytes)
        step(c, "a message");
}

void client_wait_goaways(struct client *c, unsigned goaways) {
    while (c->goaways < goaways)
        step(c, "a GOAWAY");
}

void client_wait_end(struct client *c) {
    while (!c->end)
        step(c, "the end");
}

int fixture_run(const char *name, int (*group)(void)) {
    static const enum loop_backend backends[] = {LOOP_EPOLL, LOOP_IO_URING};
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
        struct loop *probe;

        fixture_backend = backends[i];
        if (loop_new(&(struct loop_conf){.backend = fixture_backend}, &probe) != ERR_OK) {
            fprintf(stderr, "%s: skipped on io_uring, which this kernel refuses\n", name);
            continue;
        }
        fprintf(stderr, "%s on %s\n", name, loop_backend_name(probe));
        loop_free(probe);
        failed += group();
    }
    return failed;
}
