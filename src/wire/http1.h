/* http1.h - HTTP/1.0 and 1.1 requests, bytes in, requests out (RFC 9112).
 *
 * A strict reader over llhttp: anything two parsers could read in two ways is
 * an error, never a guess. Bytes are fed as they come; a request that arrives
 * whole in one piece is parsed in place, otherwise the parser keeps a copy.
 *
 * Threads    One owner at a time.
 * Ownership  The slices of a request live until the next http1_parse(),
 *            http1_next() or http1_release(), and, where the input was parsed
 *            in place, no longer than that input.
 * Limits     struct http1_limits; the body's may be changed per request while
 *            the parser is at HTTP1_HEAD.
 */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER_METHOD, /* known to HTTP, served nowhere here (PATCH, TRACE ...): 405 */
    HTTP_METHODS
};

struct http1_limits {
    size_t line_bytes;   /* request line, without CRLF */
    size_t header_bytes; /* all header fields together */
    size_t header_count; /* at most HTTP1_MAX_HEADERS */
    size_t body_bytes;
};

#define HTTP1_MAX_HEADERS 100

struct http1_header {
    struct slice name;
    struct slice value; /* without the white space around it */
};

struct http1_request {
    enum http_method method;
    struct slice path;  /* raw, before '?'; an absolute-form target's path (RFC 9112 3.2.2) */
    struct slice query; /* raw, behind '?'; {NULL, 0} without one */
    const struct http1_header *headers;
    size_t header_count;
    uint64_t absent;         /* http1_name_bit() of what no header is called; 0 says nothing */
    struct slice body;       /* complete at HTTP1_REQUEST, unchunked */
    int minor_version;       /* HTTP/1.x */
    bool keep_alive;         /* may the connection be used again */
    bool has_body;           /* Content-Length (also 0) or chunked was given */
    bool expects_continue;   /* Expect: 100-continue, and the body isn't here yet */
    bool expectation_failed; /* an Expect that isn't 100-continue: 417 */
};

struct http1_parser; /* one per connection */

enum http1_event {
    HTTP1_MORE,    /* all input is used up; feed more */
    HTTP1_HEAD,    /* head complete: route it, set the body limit, parse on */
    HTTP1_REQUEST, /* request complete: answer it, then http1_next() */
    HTTP1_ERROR    /* http1_problem() says what; answer it and close */
};

/* NULL when memory runs out. 'limits' is copied. */
struct http1_parser *http1_new(const struct http1_limits *limits);
void http1_free(struct http1_parser *parser);

/* Reads on in 'in' and says how far it came. Call again with the rest until
 * HTTP1_MORE. HTTP1_HEAD comes once for every request, before its body; call again
 * behind it even with an empty rest, and keep the input where it is until then. */
enum http1_event http1_parse(struct http1_parser *parser, struct slice in, size_t *out_used);

/* Valid from HTTP1_HEAD until http1_next(). */
const struct http1_request *http1_request(const struct http1_parser *parser);

/* Only at HTTP1_HEAD: this request's body may have up to 'bytes'. */
void http1_limit_body(struct http1_parser *parser, size_t bytes);

/* Done with the request: ready for the one behind it. Gives kept memory above
 * a few hundred bytes back when nothing is buffered, as most keep-alive
 * connections idle. */
void http1_next(struct http1_parser *parser);

/* Between requests: nothing of the next one has arrived. */
bool http1_idle(const struct http1_parser *parser);

/* At HTTP1_ERROR. ERR_INVALID, ERR_TOO_LARGE, ERR_URI_TOO_LONG, ERR_HEADERS,
 * ERR_NOT_IMPL (unknown method or transfer coding), ERR_VERSION,
 * ERR_NO_MEMORY; '*out_detail' is a static sentence that says which rule. */
enum err http1_problem(const struct http1_parser *parser, const char **out_detail);

/* At HTTP1_ERROR: another protocol's first line, with neither a method nor a version of HTTP. No
 * answer of ours would be understood (RFC 9113 3.4: an HTTP/2 preface gone wrong). */
bool http1_foreign(const struct http1_parser *parser);

/* For HTTP/2, whose requests follow the same rules (RFC 9110). */
/* false: a method that HTTP doesn't know. */
MUST_CHECK bool http1_method(struct slice name, enum http_method *out);
/* host [":" port], as Host and :authority have it. */
MUST_CHECK bool http1_authority_valid(struct slice authority);
/* Only bytes that may stand in a target. */
MUST_CHECK bool http1_target_valid(struct slice target);
/* Path and query; the query is {NULL, 0} without '?'. */
void http1_target_split(struct slice target, struct slice *out_path, struct slice *out_query);

/* One of 64 classes of names, the same for upper and lower case. Most of what we ask for isn't in a
 * request, and nothing else in it is of that class: one bit tells, and no header is looked at. */
static inline uint64_t http1_name_bit(struct slice name) {
    unsigned letter = name.len ? (unsigned char)name.ptr[0] & 0x1Fu : 0;

    return UINT64_C(1) << ((letter ^ name.len << 2) & 63);
}

/* None of the headers with that mask is called so. */
static inline bool http1_lacks(uint64_t absent, struct slice name) {
    return (absent & http1_name_bit(name)) != 0;
}

/* http1_header() in all headers. */
struct slice http1_header_find(const struct http1_request *request, struct slice name);

/* The value of the first header called 'name', {NULL, 0} when absent. */
static inline struct slice http1_header(const struct http1_request *request, struct slice name) {
    if (http1_lacks(request->absent, name))
        return (struct slice){NULL, 0};
    return http1_header_find(request, name);
}

#endif
