/* redis_conn.c - connect, greet, pipeline, and start again.
 *
 * state       waits for                                    leaves by
 * WAITING     the pause, and the old stream's end          on_timer(), on_closed()
 * CONNECTING  the resolver, then one address after another on_resolved(), on_connected()
 * GREETING    replies to what greet() asked                on_greeted()
 * READY       users                                        lose()
 * CLOSED      the stream's end                             finish()
 */
#include "edge/redis_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/sanitizer.h"
#include "edge/redis_command.h"
#include "edge/redis_reader.h"
#include "edge/transport.h"
#include "loop/timer.h"

#define PROBLEM_BYTES 512
#define GREETINGS_MAX (3 + REDIS_SCRIPTS_MAX) /* a user, a database, our name */
#define CLIENT_NAME   "highgopress"
#define REPLY_CHUNK   ((size_t)16 * 1024)
#define REPLY_KEEP    (MEMORY_IS_WATCHED ? 0 : (size_t)64 * 1024)

enum state { WAITING, CONNECTING, GREETING, READY, CLOSED };

struct greeting {
    struct redis_request request;
    struct redis_conn *conn;
    const char *what;
    bool optional;
    bool last;
};

struct redis_conn {
    struct loop *loop;
    struct redis_conn_conf conf;
    enum state state;
    struct timer timer; /* the pause, the attempt's deadline, the oldest request's */
    struct loop_hook flush;
    int64_t pause_ms;
    uint64_t random;
    char problem[PROBLEM_BYTES];
    bool refused; /* that was the server's word for it */

    struct resolver_query *query;
    struct resolved addresses;
    size_t next_address;
    struct connector *connector;
    struct transport transport;
    bool open;    /* the transport's on_closed() is still to come */
    bool closing; /* and will */

    redisReader *reader;
    struct arena reply;  /* the one that is read, or answered with */
    redisReply *several; /* those to the oldest request's commands so far; NULL: none */
    struct buf gathered; /* this tick's commands */
    struct buf sending;  /* may not move while 'busy' */
    bool busy;
    struct list queued; /* requests in 'gathered' */
    struct list sent;
    size_t requests;
    struct greeting greetings[GREETINGS_MAX];

    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void connect_next(struct redis_conn *conn);

/* ---- down ---- */

static uint64_t next_random(uint64_t *state) { /* xorshift64 */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Half of the pause is random, so that the loops of many processes don't come back at once. */
static void wait_a_pause(struct redis_conn *conn) {
    int64_t half_ms = conn->pause_ms / 2;
    int64_t pause_ms = half_ms + (int64_t)(next_random(&conn->random) % (uint64_t)(half_ms + 1));

    timer_start(conn->loop, &conn->timer, pause_ms);
    conn->pause_ms *= 2;
    if (conn->pause_ms > conn->conf.backoff_max_ms)
        conn->pause_ms = conn->conf.backoff_max_ms;
}

static void give_back(struct redis_conn *conn, struct list *from, struct redis_outcome outcome) {
    struct list mine;
    struct list *node;

    /* Apart first: a callback may ask again. */
    list_init(&mine);
    while ((node = list_pop_front(from)))
        list_push_back(&mine, node);
    while ((node = list_pop_front(&mine))) {
        struct redis_request *request = CONTAINER_OF(node, struct redis_request, node);

        conn->requests--;
        request->done(request, &outcome);
    }
}

static void give_all_back(struct redis_conn *conn, enum err sent, enum err queued) {
    buf_clear(&conn->gathered);
    give_back(conn, &conn->sent, (struct redis_outcome){.err = sent});
    give_back(conn, &conn->queued, (struct redis_outcome){.err = queued, .refused = true});
}

static void let_go(struct redis_conn *conn) {
    timer_stop(conn->loop, &conn->timer);
    resolver_cancel(conn->query);
    conn->query = NULL;
    connector_cancel(conn->connector);
    conn->connector = NULL;
    redisReaderFree(conn->reader);
    conn->reader = NULL;
    conn->several = NULL;
    if (conn->open && !conn->closing) {
        conn->closing = true;
        transport_close(&conn->transport);
    }
}

/* From callbacks of the loop only. */
static void lose(struct redis_conn *conn, const char *why, struct slice detail) {
    if (conn->state == WAITING || conn->state == CLOSED)
        return;
    (void)snprintf(conn->problem, sizeof(conn->problem), "%s%s%.*s", why, detail.len ? ": " : "",
                   SLICE_ARGS(detail));
    conn->state = WAITING;
    let_go(conn);
    if (!conn->open)
        wait_a_pause(conn);
    give_all_back(conn, ERR_UNKNOWN, ERR_UNAVAILABLE);
    conn->conf.on_down(conn->conf.ctx);
}

static void finish(struct redis_conn *conn) {
    void (*closed)(void *ctx) = conn->closed;
    void *ctx = conn->closed_ctx;

    give_all_back(conn, ERR_CANCELLED, ERR_CANCELLED);
    timer_stop(conn->loop, &conn->timer);
    loop_hook_remove(&conn->flush);
    buf_release(&conn->gathered);
    arena_release(&conn->reply);
    buf_release(&conn->sending);
    free(conn);
    closed(ctx);
}

/* ---- sending ---- */

static void on_flush(struct loop_hook *hook) {
    struct redis_conn *conn = CONTAINER_OF(hook, struct redis_conn, flush);
    struct list *node;

    if (conn->gathered.len == 0 || conn->busy || !conn->open || conn->closing)
        return;
    struct buf swap = conn->sending;
    conn->sending = conn->gathered;
    conn->gathered = swap;
    buf_clear(&conn->gathered);
    while ((node = list_pop_front(&conn->queued)))
        list_push_back(&conn->sent, node);
    conn->busy = !transport_send(&conn->transport, buf_slice(&conn->sending));
}

static void take(struct redis_conn *conn, struct redis_request *request, int64_t deadline_ms) {
    request->several = 0;
    request->deadline_ms = deadline_ms;
    list_init(&request->node);
    list_push_back(&conn->queued, &request->node);
    conn->requests++;
    if (!timer_armed(&conn->timer))
        timer_start(conn->loop, &conn->timer, deadline_ms - loop_now_ms(conn->loop));
}

enum err redis_conn_ask(struct redis_conn *conn, struct redis_request *request,
                        struct slice command) {
    if (conn->state != READY)
        return ERR_UNREACHABLE;
    /* Nothing of a command that doesn't fit may stay. */
    if (!buf_reserve(&conn->gathered, command.len)) {
        conn->gathered.failed = false;
        return ERR_NO_MEMORY;
    }
    buf_add_slice(&conn->gathered, command);
    take(conn, request, loop_now_ms(conn->loop) + conn->conf.response_ms);
    return ERR_OK;
}

enum err redis_conn_ask_several(struct redis_conn *conn, struct redis_request *request,
                                struct slice commands, size_t count) {
    enum err err = redis_conn_ask(conn, request, commands);

    if (err == ERR_OK)
        request->several = count;
    return err;
}

/* ---- greeting ---- */

static void ready(struct redis_conn *conn) {
    conn->state = READY;
    conn->pause_ms = conn->conf.backoff_min_ms;
    timer_stop(conn->loop, &conn->timer);
    conn->conf.on_ready(conn->conf.ctx);
}

static void on_greeted(struct redis_request *request, const struct redis_outcome *outcome) {
    struct greeting *greeting = CONTAINER_OF(request, struct greeting, request);
    struct redis_conn *conn = greeting->conn;

    if (conn->state != GREETING)
        return;
    if (outcome->err == ERR_OK || (greeting->optional && redis_reply_denied(outcome->reply))) {
        if (greeting->last)
            ready(conn);
        return;
    }
    conn->refused = !redis_reply_passes(outcome->reply);
    conn->pause_ms = conn->conf.backoff_max_ms; /* it was reached: hurry won't help */
    lose(conn, greeting->what, redis_reply_text(outcome->reply));
}

static struct greeting *add_greeting(struct redis_conn *conn, size_t *count, const char *what) {
    struct greeting *greeting = &conn->greetings[(*count)++];

    *greeting = (struct greeting){.request.done = on_greeted, .conn = conn, .what = what};
    take(conn, &greeting->request, INT64_MAX);
    return greeting;
}

static void add_command(struct redis_conn *conn, size_t count, const struct slice *args) {
    redis_command_begin(&conn->gathered, count);
    for (size_t i = 0; i < count; i++)
        redis_command_arg(&conn->gathered, args[i]);
}

static void greet_user(struct redis_conn *conn, size_t *count) {
    const struct redis_url *url = conn->conf.url;
    struct slice args[] = {SLICE("AUTH"), slice_str(url->user), slice_str(url->password)};

    if (!url->password[0])
        return;
    if (!url->user[0]) /* before Redis 6 there were no users */
        args[1] = args[2];
    add_command(conn, url->user[0] ? 3 : 2, args);
    (void)add_greeting(conn, count, "Redis refuses the credentials");
}

static void greet_db(struct redis_conn *conn, size_t *count) {
    char db[16];
    int len = snprintf(db, sizeof(db), "%u", conn->conf.url->db);
    struct slice args[] = {SLICE("SELECT"), slice_of(db, (size_t)len)};

    if (conn->conf.url->db == 0)
        return;
    add_command(conn, ARRAY_LEN(args), args);
    (void)add_greeting(conn, count, "Redis refuses the database");
}

static void greet(struct redis_conn *conn) {
    struct slice name[] = {SLICE("CLIENT"), SLICE("SETNAME"), SLICE(CLIENT_NAME)};
    size_t count = 0;
    struct greeting *last;

    conn->state = GREETING;
    greet_user(conn, &count);
    greet_db(conn, &count);
    add_command(conn, ARRAY_LEN(name), name);
    last = add_greeting(conn, &count, "Redis doesn't take us");
    last->optional = true; /* a name is for people; a user may lack the right */
    for (size_t i = 0; i < REDIS_SCRIPTS_MAX && conn->conf.scripts->each[i]; i++) {
        struct slice load[] = {SLICE("SCRIPT"), SLICE("LOAD"), conn->conf.scripts->each[i]->text};

        add_command(conn, ARRAY_LEN(load), load);
        last = add_greeting(conn, &count, "Redis doesn't load a script of ours");
    }
    last->last = true;
    if (buf_failed(&conn->gathered))
        lose(conn, "out of memory", SLICE(""));
}

/* ---- the stream's events ---- */

/* All of them, when 'reply' was the last to the commands of a request; NULL before. */
static redisReply *gather(struct redis_conn *conn, size_t commands, redisReply *reply) {
    redisReply *several = conn->several;

    if (!several)
        several = conn->several = redis_reader_array(&conn->reply, commands);
    if (!several) {
        lose(conn, "out of memory", SLICE(""));
        return NULL;
    }
    several->element[several->elements++] = reply;
    if (several->elements < commands)
        return NULL;
    conn->several = NULL;
    return several;
}

static void answer(struct redis_conn *conn, redisReply *reply) {
    if (list_empty(&conn->sent)) {
        lose(conn, "Redis answers what nobody asked", SLICE(""));
        return;
    }
    struct redis_request *request = CONTAINER_OF(conn->sent.next, struct redis_request, node);
    if (request->several && !(reply = gather(conn, request->several, reply)))
        return;
    list_remove(&request->node);
    struct redis_outcome outcome = {.reply = (const struct redis_reply *)reply};

    outcome.err = redis_reply_err(outcome.reply, &outcome.refused);
    conn->requests--;
    request->done(request, &outcome);
    /* It won't get better on this connection: the server may have become a replica, or be loading.
     */
    if (outcome.err == ERR_UNAVAILABLE) {
        conn->pause_ms = conn->conf.backoff_max_ms;
        lose(conn, "Redis refuses commands", redis_reply_text(outcome.reply));
    }
}

static void on_read(void *ctx, struct slice bytes) {
    struct redis_conn *conn = ctx;
    redisReader *reader = conn->reader;
    void *reply = NULL;

    if (bytes.len == 0) {
        lose(conn, "Redis has closed the connection", SLICE(""));
        return;
    }
    if (!reader)
        return;
    if (redisReaderFeed(reader, bytes.ptr, bytes.len) != REDIS_OK) {
        lose(conn, "out of memory", SLICE(""));
        return;
    }
    /* A callback may lose or close the connection, and its reader with it. */
    while (conn->reader == reader) {
        if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
            lose(conn, "Redis doesn't speak its protocol", slice_str(reader->errstr));
            return;
        }
        if (!reply)
            return;
        answer(conn, reply);
        if (!conn->several)
            arena_reset(&conn->reply, REPLY_KEEP);
    }
}

static void on_sent(void *ctx, enum err err) {
    (void)err; /* a broken connection is on_broken() */
    ((struct redis_conn *)ctx)->busy = false;
}

static void on_broken(void *ctx) {
    struct redis_conn *conn = ctx;
    const char *problem = transport_peer_problem(&conn->transport);

    /* Before we have greeted it is the handshake that failed: no matter of time. */
    if (problem && conn->state == GREETING)
        conn->refused = true;
    lose(conn, problem ? "TLS with Redis failed" : "the connection to Redis broke",
         slice_str(problem ? problem : ""));
}

static void on_closed(void *ctx) {
    struct redis_conn *conn = ctx;

    conn->open = false;
    conn->closing = false;
    conn->busy = false;
    if (conn->state == CLOSED)
        finish(conn);
    else
        wait_a_pause(conn);
}

static const struct stream_events events = {
    .on_read = on_read, .on_sent = on_sent, .on_broken = on_broken, .on_closed = on_closed};

/* ---- connecting ---- */

/* Of "host:port" or "[v6]:port", as certificates name it. */
static struct slice host_of(const struct redis_conn *conn) {
    struct slice host = slice_str(conn->conf.url->address);
    const char *colon = memrchr(host.ptr, ':', host.len);

    host.len = colon ? (size_t)(colon - host.ptr) : host.len;
    return host.len > 2 && host.ptr[0] == '[' ? slice_of(host.ptr + 1, host.len - 2) : host;
}

static void on_connected(void *ctx, struct stream *stream, int error) {
    struct redis_conn *conn = ctx;

    conn->connector = NULL;
    if (!stream) {
        errno = error;
        connect_next(conn);
        return;
    }
    struct tls *tls = conn->conf.url->is_tls ? conn->conf.tls : NULL;
    if (!transport_connect_tls(&conn->transport, stream, tls, host_of(conn))) {
        transport_init(&conn->transport, stream);
        conn->open = true;
        transport_start(&conn->transport, &events, conn);
        lose(conn, "out of memory", SLICE(""));
        return;
    }
    conn->open = true;
    transport_start(&conn->transport, &events, conn);
    arena_reset(&conn->reply, REPLY_KEEP); /* half of one may be there from the time before */
    conn->reader = redis_reader_new(&conn->reply);
    if (conn->reader)
        greet(conn);
    else
        lose(conn, "out of memory", SLICE(""));
}

/* errno: what the address before failed with. */
static void connect_next(struct redis_conn *conn) {
    while (!conn->connector && conn->next_address < conn->addresses.count) {
        size_t i = conn->next_address++;

        conn->connector =
            connector_new(conn->loop, (const struct sockaddr *)&conn->addresses.addresses[i],
                          conn->addresses.lens[i], on_connected, conn);
    }
    if (!conn->connector)
        lose(conn, "Redis can't be reached", slice_str(strerror(errno)));
}

static void on_resolved(void *ctx, const struct resolved *resolved, const char *problem) {
    struct redis_conn *conn = ctx;

    conn->query = NULL;
    if (problem) {
        lose(conn, "Redis can't be found", slice_str(problem));
        return;
    }
    conn->addresses = *resolved;
    errno = ENOENT;
    connect_next(conn);
}

static void find_socket(struct redis_conn *conn) {
    struct sockaddr_un *address = (struct sockaddr_un *)&conn->addresses.addresses[0];

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, conn->conf.url->address, strlen(conn->conf.url->address));
    conn->addresses.lens[0] = sizeof(*address);
    conn->addresses.count = 1;
    connect_next(conn);
}

static void begin(struct redis_conn *conn) {
    conn->state = CONNECTING;
    conn->refused = false;
    conn->next_address = 0;
    conn->addresses.count = 0;
    timer_start(conn->loop, &conn->timer, conn->conf.connect_ms);
    if (conn->conf.url->is_unix) {
        find_socket(conn);
        return;
    }
    if (!conn->conf.url->address[0]) {
        lose(conn, "nobody has told its address yet", SLICE(""));
        return;
    }
    conn->query = resolver_ask(conn->conf.resolver, conn->loop, slice_str(conn->conf.url->address),
                               on_resolved, conn);
    if (!conn->query)
        lose(conn, "out of memory", SLICE(""));
}

/* Replies come in order, so the oldest request has waited longest. */
static void check_oldest(struct redis_conn *conn) {
    const struct list *node = list_empty(&conn->sent) ? conn->queued.next : conn->sent.next;
    int64_t now_ms = loop_now_ms(conn->loop);

    if (conn->requests == 0)
        return;
    const struct redis_request *oldest = CONTAINER_OF(node, struct redis_request, node);
    if (oldest->deadline_ms <= now_ms)
        lose(conn, "Redis doesn't answer in time", SLICE(""));
    else
        timer_start(conn->loop, &conn->timer, oldest->deadline_ms - now_ms);
}

static void on_timer(struct timer *timer) {
    struct redis_conn *conn = CONTAINER_OF(timer, struct redis_conn, timer);

    switch (conn->state) {
    case WAITING:
        begin(conn);
        break;
    case CONNECTING:
    case GREETING:
        lose(conn, "Redis can't be reached in time", SLICE(""));
        break;
    case READY:
        check_oldest(conn);
        break;
    case CLOSED:
        finish(conn);
        break;
    }
}

/* ---- life ---- */

struct redis_conn *redis_conn_new(struct loop *loop, const struct redis_conn_conf *conf) {
    struct redis_conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        return NULL;
    conn->loop = loop;
    conn->conf = *conf;
    conn->pause_ms = conf->backoff_min_ms;
    conn->random = conf->seed | 1;
    conn->timer.fire = on_timer;
    conn->flush.run = on_flush;
    arena_init(&conn->reply, REPLY_CHUNK, SIZE_MAX); /* as large as Redis makes them */
    list_init(&conn->queued);
    list_init(&conn->sent);
    loop_hook_add(loop, &conn->flush);
    timer_start(loop, &conn->timer, 0);
    return conn;
}

void redis_conn_close(struct redis_conn *conn, void (*closed)(void *ctx), void *ctx) {
    conn->closed = closed;
    conn->closed_ctx = ctx;
    conn->state = CLOSED;
    let_go(conn);
    if (!conn->open)
        timer_start(conn->loop, &conn->timer, 0);
}

bool redis_conn_ready(const struct redis_conn *conn) {
    return conn->state == READY;
}

size_t redis_conn_requests(const struct redis_conn *conn) {
    return conn->requests;
}

void redis_conn_give_up(struct redis_conn *conn, const char *why) {
    conn->pause_ms = conn->conf.backoff_max_ms; /* it was reached: hurry won't help */
    lose(conn, why, SLICE(""));
}

const char *redis_conn_problem(const struct redis_conn *conn) {
    return conn->problem;
}

bool redis_conn_refused(const struct redis_conn *conn) {
    return conn->refused;
}
