/* routes.h - the table of paths: who serves what, where, with which limits.
 *
 * Threads    Constant data.
 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include <stdbool.h>

#include "base/slice.h"
#include "wire/http1.h"

struct request;

enum route_flags {
    ROUTE_PUBLIC = 1,  /* on the public listener */
    ROUTE_ADMIN = 2,   /* on the admin listener */
    ROUTE_FROZEN = 4,  /* errors in the shape of the contract's part A */
    ROUTE_BODY = 8,    /* needs a body: 411 without a length */
    ROUTE_BATCH = 16,  /* the larger body limit */
    ROUTE_COUNTS = 64, /* reads or changes counters: one of a canary's */
    ROUTE_PROBE = 32   /* asked by machines that must get an answer: no limit for each client */
};

struct route {
    enum http_method method;
    unsigned flags;
    struct slice path;    /* the template; "{…}" is a parameter */
    struct slice failure; /* "error" of the frozen shape when the backend fails */
    void (*handle)(struct request *request);
};

/* Where there is no route: unknown path, wrong method, unreadable request. */
#define ROUTE_NONE 0

/* Number of rows; row 0 is ROUTE_NONE, for metrics. */
unsigned route_count(void);
const struct route *route_at(unsigned index);

struct route_match {
    unsigned route;        /* ROUTE_NONE: see the rest */
    bool path_known;       /* the path exists, the method doesn't */
    unsigned methods;      /* bit per enum http_method that the path allows */
    struct slice parts[2]; /* raw path parameters */
};

/* 'side' is ROUTE_PUBLIC or ROUTE_ADMIN. HEAD is served as GET. */
struct route_match route_find(unsigned side, enum http_method method, struct slice path);

/* "GET, HEAD" for Allow, into 'out' (NUL-terminated, 64 bytes suffice). */
void route_allow(unsigned methods, char *out, size_t size);

struct slice method_name(enum http_method method);

#endif
