/* fake_grpc.h - calls without a server, for handlers that want only struct grpc_call.
 *
 * Linked instead of edge/grpc_server.c. A handler that breaks the header's rules (sends
 * behind the end, ends twice) fails the test.
 *
 * Ownership  The test's: fake_call_new() to fake_call_free().
 */
#ifndef TESTS_LIB_FAKE_GRPC_H
#define TESTS_LIB_FAKE_GRPC_H

#include <stdbool.h>
#include <stddef.h>

#include "edge/grpc_server.h"

/* 'arena_bytes' is the cap of its workspace. */
struct grpc_call *fake_call_new(size_t arena_bytes);

/* Finished or never handled. */
void fake_call_free(struct grpc_call *call);

/* The method of that path; fails the test when there is none. */
const struct grpc_method *fake_method(const struct grpc_method *methods, size_t count,
                                      const char *path);

/* As the server hands things over: 'message' is gone when the handler returns. */
void fake_call_message(const struct grpc_method *method, struct grpc_call *call,
                       struct slice message);
void fake_call_half_close(const struct grpc_method *method, struct grpc_call *call);
void fake_call_cancel(const struct grpc_method *method, struct grpc_call *call);

/* What was sent so far; message 'i' of them lives as long as the call. */
size_t fake_sent_count(const struct grpc_call *call);
struct slice fake_sent(const struct grpc_call *call, size_t i);

/* -1 while it isn't finished. */
int fake_status(const struct grpc_call *call);
struct slice fake_status_message(const struct grpc_call *call);

/* "" when there is none of that name. */
const char *fake_trailer(const struct grpc_call *call, const char *name);

/* Far away at first. */
void fake_call_deadline(struct grpc_call *call, int64_t deadline_ms);

#endif
