/* grpc_reflection.h - grpc.reflection v1 and v1alpha: a server that describes itself.
 *
 * grpcurl, buf curl and their like ask here which services there are and what their
 * messages look like. Both versions have the same messages. See
 * github.com/grpc/grpc/blob/master/doc/server-reflection.md.
 *
 * Threads    The loop's thread.
 * Ownership  Lives longer than the server it is served by. The index and the names are
 *            borrowed for as long.
 * Limits     A stream may ask without end: what one question needs is given back before
 *            the next, and nothing grows with the number of questions.
 */
#ifndef EDGE_GRPC_REFLECTION_H
#define EDGE_GRPC_REFLECTION_H

#include <stddef.h>

#include "base/slice.h"
#include "edge/grpc_server.h"
#include "wire/descriptors.h"

struct grpc_reflection;

/* 'services' are those that list_services names: what this server really serves. NULL when
 * memory runs out. */
struct grpc_reflection *grpc_reflection_new(const struct descriptor_index *index,
                                            const struct slice *services, size_t count);

/* NULL is fine. */
void grpc_reflection_free(struct grpc_reflection *reflection);

#define GRPC_REFLECTION_METHODS 2

/* For grpc_server_conf. */
void grpc_reflection_methods(struct grpc_reflection *reflection,
                             struct grpc_method out[GRPC_REFLECTION_METHODS]);

#endif
