/* grpc_internal.h - what the files of the gRPC server share.
 *
 * grpc_server.c   the server and its recycled objects
 * grpc_request.c  a call's request: head, metadata, messages
 * grpc_response.c a call's response: messages, trailers, refusals
 * grpc_call.c     a call's life, and what its handler calls
 *
 * HTTP/2 itself is h2_server.h.
 */
#ifndef EDGE_GRPC_INTERNAL_H
#define EDGE_GRPC_INTERNAL_H

#include "base/list.h"
#include "edge/conn_set.h"
#include "edge/grpc_server.h"
#include "edge/h2_server.h"
#include "wire/grpc_frame.h"
#include "wire/gunzip.h"

#define GRPC_HEADER_LIST_MAX 16384u /* as announced; gRPC's custom is 8 KiB */

struct grpc_server {
    struct loop *loop;
    struct grpc_server_conf conf;
    struct conn_set conns;
    struct h2_server *h2;
    struct list free_calls;
    struct gunzip *gunzip;
    uint64_t next_span;             /* see random_next() */
    struct buf inflated;            /* the message being handed over, if it came compressed */
    _Atomic size_t own_connections; /* counted here when conf.connections is NULL */
    struct grpc_server_stats stats;
};

struct grpc_field {
    struct grpc_field *next;
    struct slice name;
    struct slice value;
};

struct grpc_call {
    struct h2_stream stream; /* its node is on server->free_calls when it is nobody's */
    struct grpc_server *server;
    const struct grpc_method *method;
    void *data;
    struct arena arena;
    int64_t started_us;
    struct trace_context *trace;

    struct { /* the request */
        struct grpc_field *fields;
        struct slice path;
        struct slice content_type;
        struct slice encoding;
        struct slice timeout;
        size_t field_bytes;
        struct grpc_frame_reader reader;
        struct buf message;
        unsigned messages;
        const char *http_status; /* it isn't gRPC: this is the answer to its end, */
        struct slice http_text;  /* and this */
        bool post;
        bool gzip;
        bool too_large; /* the head */
        bool malformed; /* a "-bin" value that isn't base64 */
    } in;

    struct { /* the response */
        struct buf trailers;
        unsigned trailer_count;
        bool plain; /* an HTTP answer: no trailers behind the body */
    } out;

    bool handed;     /* the handler owes grpc_finish() */
    bool ended;      /* its outcome is decided */
    bool overflowed; /* ended by grpc_send(): gone() is due on the next turn */
};

static inline struct grpc_call *grpc_call_of(struct h2_stream *stream) {
    return CONTAINER_OF(stream, struct grpc_call, stream);
}

/* grpc_server.c */
const struct grpc_method *grpc_method_find(const struct grpc_server *server, struct slice path);

/* grpc_request.c; for h2_server.h */
void grpc_request_field(struct h2_stream *stream, struct slice name, struct slice value);
void grpc_request_head(struct h2_stream *stream, bool body_follows);
void grpc_request_data(struct h2_stream *stream, struct slice bytes);
void grpc_request_end(struct h2_stream *stream);

/* grpc_response.c */
/* false: more is held for the client than may be. */
bool grpc_response_message(struct grpc_call *call, struct slice message);
void grpc_response_trailer(struct grpc_call *call, struct slice name, struct slice value);
void grpc_response_end(struct grpc_call *call, enum grpc_status status, struct slice message);
/* For what isn't gRPC: an HTTP status and a sentence. */
void grpc_response_http(struct grpc_call *call, const char *status, struct slice text);
void grpc_response_drop(struct grpc_call *call);
size_t grpc_response_trailers(struct h2_stream *stream, nghttp2_nv nva[H2_TRAILERS_MAX]);

/* grpc_call.c */
struct h2_stream *grpc_call_begin(struct h2 *h2, void *server);
void grpc_call_refuse(struct grpc_call *call, enum grpc_status status, struct slice message);
void grpc_call_refuse_http(struct grpc_call *call);
void grpc_call_due(struct h2_stream *stream, int64_t now_ms);
void grpc_call_gone(struct h2_stream *stream);

#endif
