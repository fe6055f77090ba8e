/* move.c - the steps in order, and what each answer means. */
#include "cli/move.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/build_info.h"
#include "cli/exit.h"
#include "cli/rpc.h"
#include "cli/secure.h"
#include "edge/handover_codec.h"

#define AGAIN_MS  20
#define ANSWER_MS 60000 /* something large may have to be written to a disk first */

struct side {
    const char *address;
    struct rpc *rpc;
    struct buf answer;
    struct handover_response response; /* points into the answer */
    char name[ANALYTICS_PEER_BYTES];
};

struct moving {
    FILE *err;
    uint32_t partition;
    struct secure secure;
    struct side from;
    struct side to;
    struct buf request;
    struct buf cursor;
    uint64_t bytes;
};

static int fail(const struct moving *m, int code, const char *what, const char *why) {
    (void)fprintf(m->err, BUILD_NAME " move: %s: %s\n", what, why);
    return code;
}

/* ---- one step ---- */

static int ask(struct moving *m, struct side *side, struct handover_request request) {
    const char *problem = "";

    request.partition = m->partition;
    handover_write_request(&m->request, &request);
    enum err err = buf_failed(&m->request)
                       ? ERR_NO_MEMORY
                       : rpc_call(side->rpc, SLICE(HANDOVER_STEP_PATH), buf_slice(&m->request),
                                  &side->answer, &problem);
    if (err == ERR_OK)
        err = handover_read_response(buf_slice(&side->answer), &side->response);
    if (err == ERR_OK)
        return EX_OK;
    return fail(m, err == ERR_NO_MEMORY ? EX_OSERR : EX_UNAVAILABLE, side->address,
                problem[0] ? problem : err_text(err));
}

static int ask_kind(struct moving *m, struct side *side, enum handover_kind kind,
                    const struct side *peer) {
    return ask(m, side,
               (struct handover_request){
                   .kind = kind, .peer = slice_str(peer->name), .attempt = side->response.attempt});
}

static void rest(void) {
    struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};

    (void)nanosleep(&pause, NULL);
}

/* Of the one that gets it; whoever has too much to store is asked again. */
static int ask_again(struct moving *m, struct handover_request request) {
    int code;

    request.attempt = m->to.response.attempt;
    while ((code = ask(m, &m->to, request)) == EX_OK && m->to.response.again)
        rest();
    return code;
}

static bool keep_cursor(struct moving *m, struct slice cursor) {
    buf_clear(&m->cursor);
    buf_add_slice(&m->cursor, cursor);
    return m->cursor.len > 0;
}

/* ---- the whole ---- */

static int wipe(struct moving *m) {
    int code;

    buf_clear(&m->cursor);
    do {
        code = ask_again(
            m, (struct handover_request){.kind = HANDOVER_WIPE, .cursor = buf_slice(&m->cursor)});
    } while (code == EX_OK && keep_cursor(m, m->to.response.cursor));
    return code;
}

static int carry(struct moving *m) {
    int code;
    bool more = true;

    buf_clear(&m->cursor);
    do {
        code =
            ask(m, &m->from,
                (struct handover_request){.kind = HANDOVER_READ, .cursor = buf_slice(&m->cursor)});
        if (code != EX_OK)
            break;
        more = keep_cursor(m, m->from.response.cursor);
        m->bytes += m->from.response.records.len;
        code = ask_again(m, (struct handover_request){.kind = HANDOVER_WRITE,
                                                      .records = m->from.response.records});
    } while (code == EX_OK && more);
    return code;
}

static int copy(struct moving *m) {
    const struct handover_response *from = &m->from.response;
    int code = ask(m, &m->to,
                   (struct handover_request){.kind = HANDOVER_ARRIVE,
                                             .peer = slice_str(m->from.name),
                                             .of = from->of,
                                             .moves = from->moves,
                                             .store_id = from->store_id,
                                             .lanes = from->lanes,
                                             .next = from->next});

    if (code == EX_OK)
        code = wipe(m);
    if (code == EX_OK)
        code = carry(m);
    return code == EX_OK ? ask_kind(m, &m->to, HANDOVER_READY, &m->from) : code;
}

/* Only a complete copy of what nobody counts any more can go on without the copying. */
static int hand_over(struct moving *m) {
    int code = ask_kind(m, &m->from, HANDOVER_LEAVE, &m->to);
    bool copied =
        m->from.response.state == PARTITION_GONE && m->to.response.state == PARTITION_READY;

    if (code == EX_OK && !copied)
        code = copy(m);
    if (code == EX_OK)
        code = ask_kind(m, &m->from, HANDOVER_RELEASE, &m->to);
    return code == EX_OK ? ask_kind(m, &m->to, HANDOVER_OWN, &m->from) : code;
}

static int cancel(struct moving *m) {
    int code = ask_kind(m, &m->from, HANDOVER_KEEP, &m->to);

    return code == EX_OK && m->to.response.state >= PARTITION_ARRIVING
               ? ask_kind(m, &m->to, HANDOVER_KEEP, &m->from)
               : code;
}

static int look(struct moving *m, struct side *side) {
    int code = ask(m, side, (struct handover_request){.kind = HANDOVER_LOOK});

    if (code == EX_OK)
        (void)snprintf(side->name, sizeof(side->name), "%.*s", SLICE_ARGS(side->response.name));
    return code;
}

static int run(struct moving *m, bool back, FILE *out) {
    int code = look(m, &m->from);

    if (code == EX_OK)
        code = look(m, &m->to);
    if (code != EX_OK)
        return code;
    if (strcmp(m->from.name, m->to.name) == 0)
        return fail(m, EX_USAGE, "--from and --to", "are the same process");
    if (back) {
        code = cancel(m);
    } else if (m->to.response.state != PARTITION_HERE || !m->to.response.reads) {
        code = hand_over(m);
    } else if (m->from.response.reads) {
        return fail(m, EX_DATAERR, m->from.address, "reads this partition, and so does the other");
    }
    if (code == EX_OK)
        (void)fprintf(out, "partition %" PRIu32 " is at %s%s; %" PRIu64 " bytes were carried\n",
                      m->partition, back ? m->from.address : m->to.address,
                      back ? " as before" : "", m->bytes);
    return code;
}

/* ---- begin and end ---- */

static int open_side(struct moving *m, struct side *side, const char *address) {
    side->address = address;
    side->rpc = rpc_new(slice_str(address), m->secure.upstream, ANSWER_MS);
    return side->rpc ? EX_OK : fail(m, EX_OSERR, address, err_text(ERR_NO_MEMORY));
}

static void close_side(struct side *side) {
    rpc_free(side->rpc);
    buf_release(&side->answer);
}

static int read_options(struct moving *m, const struct tool_options *options) {
    const char *number = options->value[TOOL_FLAG_PARTITION];
    char *end;

    if (!number || !options->value[TOOL_FLAG_MOVE_FROM] || !options->value[TOOL_FLAG_MOVE_TO])
        return fail(m, EX_USAGE, "it needs", "--partition N --from HOST:PORT --to HOST:PORT");
    unsigned long value = strtoul(number, &end, 10);
    if (number[0] < '0' || number[0] > '9' || *end || value > INT32_MAX)
        return fail(m, EX_USAGE, "--partition", "must be a number");
    m->partition = (uint32_t)value;
    return EX_OK;
}

int move(const struct config *config, const struct tool_options *options, FILE *out, FILE *err) {
    struct moving m = {.err = err};
    int code = read_options(&m, options);

    if (code != EX_OK)
        return code;
    const char *problem = secure_open(&m.secure, config, SECURE_UPSTREAM);
    if (problem)
        code = fail(&m, EX_CONFIG, "TLS can't be used", problem);
    if (code == EX_OK)
        code = open_side(&m, &m.from, options->value[TOOL_FLAG_MOVE_FROM]);
    if (code == EX_OK)
        code = open_side(&m, &m.to, options->value[TOOL_FLAG_MOVE_TO]);
    if (code == EX_OK)
        code = run(&m, options->given[TOOL_FLAG_CANCEL], out);
    close_side(&m.from);
    close_side(&m.to);
    buf_release(&m.request);
    buf_release(&m.cursor);
    secure_close(&m.secure);
    return code;
}
