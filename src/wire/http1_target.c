/* http1_target.c - Host, and the four forms of a request target (RFC 9112 3.2). */
#include "wire/http1_char.h"
#include "wire/http1_head.h"

#define MAX_PORT_DIGITS 5u

static bool port_valid(struct slice port) {
    if (port.len == 0 || port.len > MAX_PORT_DIGITS)
        return false;
    for (size_t i = 0; i < port.len; i++)
        if (!http1_is_digit(port.ptr[i]))
            return false;
    return true;
}

/* The length of "[address]" at the front, 0 when it is malformed. */
static size_t ipv6_len(struct slice s) {
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == ']')
            return i > 2 ? i + 1 : 0;
        if (http1_hex(s.ptr[i]) < 0 && s.ptr[i] != ':' && s.ptr[i] != '.')
            return 0;
    }
    return 0;
}

/* host [":" port]. No user part and no list: that is how two readers get to
 * different hosts. An empty host is one that http and https forbid (RFC 9110 4.2). */
bool http1_authority_valid(struct slice s) {
    size_t host;

    if (s.len && *s.ptr == '[')
        host = ipv6_len(s);
    else
        host = (size_t)(http1_span(s.ptr, s.ptr + s.len, HTTP1_HOST) - s.ptr);
    if (host == 0)
        return false;
    return host == s.len || (s.ptr[host] == ':' && port_valid(slice_skip(s, host + 1)));
}

static bool read_host(const struct http1_head *head, struct slice *out,
                      struct http1_problem *problem) {
    if (!http1_head_single(head, SLICE("Host"), out))
        return http1_fail(problem, ERR_INVALID, "more than one Host");
    if (!out->ptr && head->minor_version == 1)
        return http1_fail(problem, ERR_INVALID, "Host is missing");
    if (out->ptr && !http1_authority_valid(*out))
        return http1_fail(problem, ERR_INVALID, "Host is malformed");
    return true;
}

bool http1_target_valid(struct slice target) {
    return http1_all(target, HTTP1_TARGET);
}

void http1_target_split(struct slice target, struct slice *out_path, struct slice *out_query) {
    const char *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;

    *out_path = target;
    *out_query = (struct slice){NULL, 0};
    if (!mark)
        return;
    out_path->len = (size_t)(mark - target.ptr);
    *out_query = slice_skip(target, out_path->len + 1);
}

/* The length of the scheme with "://", 0 when it isn't one of ours. */
static size_t scheme_len(struct slice target) {
    static const struct slice schemes[] = {{"http://", 7}, {"https://", 8}};

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (target.len >= schemes[i].len &&
            slice_eq_nocase(slice_of(target.ptr, schemes[i].len), schemes[i]))
            return schemes[i].len;
    return 0;
}

/* RFC 9112 3.2.2. Host has to be the same authority (3.2): who believes the one
 * and who believes the other would serve two different sites. */
static bool read_absolute(struct slice target, struct slice host, struct http1_request *request,
                          struct http1_problem *problem) {
    struct slice rest = slice_skip(target, scheme_len(target));
    size_t len = 0;

    if (rest.ptr == target.ptr)
        return http1_fail(problem, ERR_INVALID, "the target is neither a path nor an http URI");
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
        len++;
    struct slice authority = slice_of(rest.ptr, len);

    if (!http1_authority_valid(authority))
        return http1_fail(problem, ERR_INVALID, "the target's authority is malformed");
    if (host.ptr && !slice_eq_nocase(authority, host))
        return http1_fail(problem, ERR_INVALID, "Host differs from the target's authority");
    http1_target_split(slice_skip(rest, len), &request->path, &request->query);
    if (request->path.len == 0)
        request->path = SLICE("/");
    return true;
}

bool http1_target_read(const struct http1_head *head, struct http1_request *request,
                       struct http1_problem *problem) {
    struct slice target = head->target;
    struct slice host;

    if (!read_host(head, &host, problem))
        return false;
    request->path = target;
    request->query = (struct slice){NULL, 0};
    if (head->connect) {
        if (!http1_authority_valid(target))
            return http1_fail(problem, ERR_INVALID, "the target of CONNECT is malformed");
        return true;
    }
    if (slice_eq(target, SLICE("*"))) {
        if (head->method != HTTP_OPTIONS)
            return http1_fail(problem, ERR_INVALID, "the target * is for OPTIONS only");
        return true;
    }
    if (*target.ptr != '/')
        return read_absolute(target, host, request, problem);
    http1_target_split(target, &request->path, &request->query);
    return true;
}
