/* http1.c - one connection's requests, in order.
 *
 *     BLANK ─► LINE ─► FIELDS ─► HEAD ─► BODY ──► DONE
 *       ▲                         │        ▲       │
 *       │                         └► CHUNKS┘       │ http1_next()
 *       └──────────────────────────────────────────┘
 *
 * The gate (http1_gate.h) reads LINE and FIELDS as they come. Only a complete
 * head goes to llhttp, in one piece, so that nothing depends on how it was cut.
 * Head and body each are in place when they lie in one input, else in a buffer.
 */
#include "wire/http1.h"

#include <assert.h>
#include <stdlib.h>

#include "wire/http1_gate.h"
#include "wire/http1_head.h"

/* What an idle connection may hold. */
#define KEEP_BYTES 512u
/* Headers without malloc: what curl and our own clients send, and some more. */
#define FEW_HEADERS 8u

enum at { BLANK, LINE, FIELDS, HEAD, BODY, CHUNKS, DONE, BROKEN };

struct http1_parser {
    struct http1_limits limits;
    size_t body_bytes; /* this request's limit */
    enum at at;

    struct http1_line line;
    struct http1_fields fields;
    struct http1_chunks chunks;
    struct http1_framing framing;
    struct http1_problem problem;
    bool foreign; /* the first line isn't HTTP */

    struct http1_request request;
    struct http1_header *headers; /* 'few', or allocated for one request */
    struct http1_header few[FEW_HEADERS];
    struct slice in_place; /* the head while it lies in the input, else {NULL, 0} */
    struct buf head;       /* the head's copy otherwise */
    struct buf body;       /* empty while the body lies in the input */
};

struct http1_parser *http1_new(const struct http1_limits *limits) {
    struct http1_parser *parser = calloc(1, sizeof(*parser));

    assert(limits->header_count <= HTTP1_MAX_HEADERS);
    if (!parser)
        return NULL;
    parser->limits = *limits;
    parser->body_bytes = limits->body_bytes;
    parser->headers = parser->few;
    return parser;
}

static void free_headers(struct http1_parser *parser) {
    if (parser->headers != parser->few)
        free(parser->headers);
    parser->headers = parser->few;
}

void http1_free(struct http1_parser *parser) {
    if (!parser)
        return;
    free_headers(parser);
    buf_release(&parser->head);
    buf_release(&parser->body);
    free(parser);
}

static enum http1_event broken(struct http1_parser *parser) {
    parser->at = BROKEN;
    return HTTP1_ERROR;
}

static enum http1_event no_memory(struct http1_parser *parser) {
    http1_fail(&parser->problem, ERR_NO_MEMORY, "out of memory");
    return broken(parser);
}

static void move(struct slice *s, struct slice from, const char *to) {
    /* The path of an absolute target may be a constant of ours: it stays. */
    if (s->ptr >= from.ptr && s->ptr <= from.ptr + from.len)
        s->ptr = to + (s->ptr - from.ptr);
}

/* Before the input goes away: copies a head that lies in it. */
static bool keep_head(struct http1_parser *parser) {
    struct slice from = parser->in_place;
    struct http1_request *request = &parser->request;

    if (!from.ptr)
        return true;
    buf_add_slice(&parser->head, from);
    if (buf_failed(&parser->head))
        return false;
    const char *to = parser->head.ptr;

    move(&request->path, from, to);
    move(&request->query, from, to);
    for (size_t i = 0; i < request->header_count; i++) {
        move(&parser->headers[i].name, from, to);
        move(&parser->headers[i].value, from, to);
    }
    parser->in_place = (struct slice){NULL, 0};
    return true;
}

/* Takes the head off the front of '*rest' as far as it is there. */
static enum gate read_gate(struct http1_parser *parser, struct slice *rest) {
    enum gate gate = GATE_DONE;

    if (parser->at == LINE) {
        gate = http1_line_read(&parser->line, &parser->limits, rest, &parser->problem);
        if (gate == GATE_DONE)
            parser->at = FIELDS;
    }
    if (parser->at == FIELDS)
        gate = http1_fields_read(&parser->fields, &parser->limits, rest, &parser->problem);
    return gate;
}

static bool make_headers(struct http1_parser *parser) {
    if (parser->fields.count <= FEW_HEADERS)
        return true;
    struct http1_header *headers = malloc(parser->fields.count * sizeof(*headers));

    if (!headers)
        return http1_fail(&parser->problem, ERR_NO_MEMORY, "out of memory");
    parser->headers = headers;
    return true;
}

static bool understand(struct http1_parser *parser, struct slice text) {
    struct http1_head head;
    struct http1_request *request = &parser->request;

    if (!make_headers(parser))
        return false;
    head.headers = parser->headers;
    head.count = parser->fields.count;
    if (!http1_head_read(&head, text, &parser->problem) ||
        !http1_rules_read(&head, request, &parser->framing, &parser->problem) ||
        !http1_target_read(&head, request, &parser->problem))
        return false;
    request->method = head.method;
    request->minor_version = head.minor_version;
    request->headers = head.headers;
    request->header_count = head.count;
    request->absent = head.absent;
    request->body = (struct slice){NULL, 0};
    return true;
}

/* Neither a method nor a version of HTTP: the text up to the byte that was one too many. */
static bool is_foreign(struct http1_parser *parser, struct slice text) {
    enum http_method method;

    buf_add_slice(&parser->head, text);
    struct slice line = buf_slice(&parser->head);
    const char *space = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
    return space && http1_line_in_version(&parser->line) &&
           !http1_method(slice_of(line.ptr, (size_t)(space - line.ptr)), &method);
}

static enum http1_event read_head(struct http1_parser *parser, struct slice *rest) {
    struct slice text = *rest;
    enum gate gate = read_gate(parser, rest);

    text.len -= rest->len;
    if (gate == GATE_ERROR) {
        parser->foreign = parser->at == LINE && is_foreign(parser, text);
        return broken(parser);
    }
    if (gate == GATE_DONE && parser->head.len == 0) {
        parser->in_place = text;
    } else {
        buf_add_slice(&parser->head, text);
        if (buf_failed(&parser->head))
            return no_memory(parser);
        text = buf_slice(&parser->head);
    }
    if (gate == GATE_MORE)
        return HTTP1_MORE;
    if (!understand(parser, text))
        return broken(parser);
    /* The rest of the body comes with another input: this one may be gone then. */
    const struct http1_framing *framing = &parser->framing;
    if ((framing->chunked || framing->content_length > rest->len) && !keep_head(parser))
        return no_memory(parser);
    if (rest->len) /* a body that is on its way needs no invitation */
        parser->request.expects_continue = false;
    parser->at = HEAD;
    return HTTP1_HEAD;
}

static enum http1_event finish(struct http1_parser *parser, struct slice body) {
    if (!parser->request.has_body)
        body = (struct slice){NULL, 0};
    else if (body.len == 0)
        body = SLICE(""); /* there, and empty */
    parser->request.body = body;
    parser->at = DONE;
    return HTTP1_REQUEST;
}

static enum http1_event read_body(struct http1_parser *parser, struct slice *rest) {
    size_t missing = (size_t)parser->framing.content_length - parser->body.len;
    size_t take = rest->len < missing ? rest->len : missing;
    struct slice piece = slice_of(rest->ptr, take);

    *rest = slice_skip(*rest, take);
    if (parser->body.len == 0 && take == missing)
        return finish(parser, piece);
    /* Memory grows with what came, not with what was announced. */
    buf_add_slice(&parser->body, piece);
    if (buf_failed(&parser->body) || !keep_head(parser))
        return no_memory(parser);
    if (take < missing)
        return HTTP1_MORE;
    return finish(parser, buf_slice(&parser->body));
}

static enum http1_event read_chunks(struct http1_parser *parser, struct slice *rest) {
    enum gate gate = http1_chunks_read(&parser->chunks, &parser->fields, &parser->limits,
                                       parser->body_bytes, rest, &parser->body, &parser->problem);

    if (buf_failed(&parser->body))
        return no_memory(parser);
    if (gate == GATE_ERROR)
        return broken(parser);
    if (gate == GATE_MORE)
        return HTTP1_MORE;
    return finish(parser, buf_slice(&parser->body));
}

/* The first call behind HTTP1_HEAD: the body's limit is final now. */
static enum http1_event start_body(struct http1_parser *parser) {
    parser->request.expects_continue = false;
    if (parser->framing.content_length > parser->body_bytes) {
        http1_fail(&parser->problem, ERR_TOO_LARGE, "the body is too large");
        return broken(parser);
    }
    parser->at = parser->framing.chunked ? CHUNKS : BODY;
    parser->fields.state = 0; /* trailers are more of the same fields */
    return HTTP1_MORE;
}

static enum http1_event start_request(struct http1_parser *parser, struct slice *rest) {
    enum gate gate = http1_blank_read(&parser->line, rest, &parser->problem);

    if (gate == GATE_ERROR)
        return broken(parser);
    if (gate == GATE_DONE)
        parser->at = LINE;
    return HTTP1_MORE;
}

static enum http1_event read_on(struct http1_parser *parser, struct slice *rest) {
    switch (parser->at) {
    case BLANK:
        if (start_request(parser, rest) == HTTP1_ERROR)
            return HTTP1_ERROR;
        return parser->at == LINE ? read_head(parser, rest) : HTTP1_MORE;
    case LINE:
    case FIELDS:
        return read_head(parser, rest);
    case HEAD:
        if (start_body(parser) == HTTP1_ERROR)
            return HTTP1_ERROR;
        return parser->at == BODY ? read_body(parser, rest) : read_chunks(parser, rest);
    case BODY:
        return read_body(parser, rest);
    case CHUNKS:
        return read_chunks(parser, rest);
    case DONE:
        return HTTP1_REQUEST;
    case BROKEN:
        break;
    }
    return HTTP1_ERROR;
}

enum http1_event http1_parse(struct http1_parser *parser, struct slice in, size_t *out_used) {
    if (!in.ptr)
        in = SLICE(""); /* no arithmetic on NULL */
    struct slice rest = in;
    enum http1_event event = read_on(parser, &rest);

    *out_used = in.len - rest.len;
    return event;
}

const struct http1_request *http1_request(const struct http1_parser *parser) {
    assert(parser->at >= HEAD);
    return &parser->request;
}

void http1_limit_body(struct http1_parser *parser, size_t bytes) {
    assert(parser->at == HEAD);
    parser->body_bytes = bytes;
}

static void empty(struct buf *buf) {
    if (buf->cap > KEEP_BYTES)
        buf_release(buf);
    else
        buf_clear(buf);
}

void http1_next(struct http1_parser *parser) {
    assert(parser->at == DONE);
    free_headers(parser);
    empty(&parser->head);
    empty(&parser->body);
    parser->line = (struct http1_line){0};
    parser->fields = (struct http1_fields){0};
    parser->chunks = (struct http1_chunks){0};
    parser->in_place = (struct slice){NULL, 0};
    parser->body_bytes = parser->limits.body_bytes;
    parser->at = BLANK;
}

bool http1_idle(const struct http1_parser *parser) {
    return parser->at == BLANK;
}

enum err http1_problem(const struct http1_parser *parser, const char **out_detail) {
    assert(parser->at == BROKEN);
    *out_detail = parser->problem.detail;
    return parser->problem.err;
}

bool http1_foreign(const struct http1_parser *parser) {
    return parser->foreign;
}

struct slice http1_header_find(const struct http1_request *request, struct slice name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (slice_eq_nocase(request->headers[i].name, name))
            return request->headers[i].value;
    return (struct slice){NULL, 0};
}
