/* http1_transcript.c - feeds pieces, writes down events. */
#include "http1_transcript.h"

#include <stdlib.h>
#include <string.h>

static void add_slice(struct buf *text, const char *name, struct slice s) {
    buf_printf(text, " %s=", name);
    if (s.ptr)
        buf_add_slice(text, s);
    else
        buf_add_str(text, "(none)");
}

static void add_request(struct buf *text, const struct http1_request *request) {
    buf_printf(text, " method=%d", (int)request->method);
    add_slice(text, "path", request->path);
    add_slice(text, "query", request->query);
    buf_printf(text, " minor=%d keep=%d has_body=%d failed=%d", request->minor_version,
               request->keep_alive, request->has_body, request->expectation_failed);
    for (size_t i = 0; i < request->header_count; i++) {
        add_slice(text, "name", request->headers[i].name);
        add_slice(text, "value", request->headers[i].value);
    }
    add_slice(text, "body", request->body);
}

static void add_problem(struct transcript *out, const struct http1_parser *parser) {
    const char *detail;

    out->problem = http1_problem(parser, &detail);
    buf_printf(&out->text, "ERROR %s: %s\n", err_name(out->problem), detail);
}

static void feed(struct transcript *out, struct http1_parser *parser, struct slice piece) {
    for (;;) {
        size_t used;
        enum http1_event event = http1_parse(parser, piece, &used);

        piece = slice_skip(piece, used);
        if (event == HTTP1_ERROR) {
            add_problem(out, parser);
            return;
        }
        if (event == HTTP1_MORE) {
            if (piece.len)
                abort(); /* MORE says that all is used up */
            return;
        }
        buf_add_str(&out->text, event == HTTP1_HEAD ? "HEAD" : "REQUEST");
        add_request(&out->text, http1_request(parser));
        buf_add_char(&out->text, '\n');
        if (event == HTTP1_REQUEST) {
            out->requests++;
            http1_next(parser);
        }
    }
}

static void feed_copy(struct transcript *out, struct http1_parser *parser, struct slice piece) {
    char *copy = malloc(piece.len ? piece.len : 1);

    if (!copy)
        abort();
    if (piece.len)
        memcpy(copy, piece.ptr, piece.len);
    if (out->problem == ERR_OK)
        feed(out, parser, slice_of(copy, piece.len));
    if (piece.len)
        memset(copy, '!', piece.len);
    free(copy);
}

struct transcript transcript_of(const struct http1_limits *limits, struct slice in,
                                const size_t *cuts, size_t count) {
    struct transcript out = {.problem = ERR_OK};
    struct http1_parser *parser = http1_new(limits);
    size_t from = 0;

    if (!parser)
        abort();
    for (size_t i = 0; i <= count; i++) {
        size_t to = i < count ? cuts[i] : in.len;

        feed_copy(&out, parser, slice_of(in.ptr + from, to - from));
        from = to;
    }
    out.idle = http1_idle(parser);
    http1_free(parser);
    return out;
}

struct transcript transcript_of_bytes(const struct http1_limits *limits, struct slice in) {
    size_t *cuts = calloc(in.len + 1, sizeof(*cuts));

    if (!cuts)
        abort();
    for (size_t i = 1; i < in.len; i++)
        cuts[i - 1] = i;
    struct transcript out = transcript_of(limits, in, cuts, in.len > 1 ? in.len - 1 : 0);

    free(cuts);
    return out;
}
