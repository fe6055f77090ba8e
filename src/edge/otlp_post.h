/* otlp_post.h - one message to a collector by HTTP, for a thread that may block in it.
 *
 * Threads    One owner; otlp_post_abort() any.
 * Limits     'timeout_ms' from the start to the whole answer. No redirects are followed.
 */
#ifndef EDGE_OTLP_POST_H
#define EDGE_OTLP_POST_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct otlp_post;

enum otlp_verdict {
    OTLP_TAKEN,
    OTLP_LATER,  /* worth another try: nobody answers, or 429, 502, 503, 504 */
    OTLP_REFUSED /* for good */
};

#define OTLP_PROBLEM_BYTES 256

/* 'headers': "name=value,name=value", percent-encoded (OTEL_EXPORTER_OTLP_HEADERS), secrets among
 * them; "": none. NULL: memory ran out, or they can't be read. */
struct otlp_post *otlp_post_new(const char *url, const char *headers, int64_t timeout_ms);
/* NULL is fine. */
void otlp_post_free(struct otlp_post *post);

/* 'out_problem': a sentence unless it was taken. */
MUST_CHECK enum otlp_verdict otlp_post_send(struct otlp_post *post, struct slice body,
                                            char out_problem[OTLP_PROBLEM_BYTES]);

/* What is being sent, and all that will be, ends by 'until_ms' (monotonic). */
void otlp_post_abort(struct otlp_post *post, int64_t until_ms);

#endif
