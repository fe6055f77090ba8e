/* reflection_proto.h - the messages of grpc.reflection.v1, which are v1alpha's too.
 *
 * Threads    Pure functions, any thread.
 * Ownership  A question's slices live in the arena. Answers repeat the question
 *            as it came ('request', the whole message).
 * Limits     Check buf_failed() after writing.
 */
#ifndef WIRE_REFLECTION_PROTO_H
#define WIRE_REFLECTION_PROTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum reflection_kind {
    REFLECTION_NOTHING,    /* none of the questions is set */
    REFLECTION_FILE,       /* file_by_filename: name */
    REFLECTION_SYMBOL,     /* file_containing_symbol: name */
    REFLECTION_EXTENSION,  /* file_containing_extension: name is the type, number */
    REFLECTION_EXTENSIONS, /* all_extension_numbers_of_type: name is the type */
    REFLECTION_SERVICES,   /* list_services */
};

struct reflection_question {
    enum reflection_kind kind;
    struct slice name;
    int32_t number;
};

/* ServerReflectionRequest
 * ERR_INVALID    not such a message, or text that isn't UTF-8
 * ERR_NO_MEMORY  past the arena's cap */
MUST_CHECK enum err reflection_read_request(struct slice request, struct arena *arena,
                                            struct reflection_question *out);

/* ServerReflectionResponse, with: */

/* file_descriptor_response */
void reflection_write_files(struct buf *out, struct slice request, const struct slice *files,
                            size_t count);
/* all_extension_numbers_response */
void reflection_write_numbers(struct buf *out, struct slice request, struct slice type,
                              const int32_t *numbers, size_t count);
/* list_services_response */
void reflection_write_services(struct buf *out, struct slice request, const struct slice *names,
                               size_t count);
/* error_response; 'code' is a gRPC status code. */
void reflection_write_error(struct buf *out, struct slice request, int code, struct slice message);

#endif
