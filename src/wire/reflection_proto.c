/* reflection_proto.c - questions read by protobuf-c, answers encoded by hand.
 *
 * An answer holds descriptors of many kilobytes and the question itself: both are
 * copied as they stand, once.
 */
#include "wire/reflection_proto.h"

#include "reflection.pb-c.h"
#include "wire/proto_unpack.h"
#include "wire/proto_write.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_message;

/* ServerReflectionResponse */
enum { ORIGINAL_REQUEST = 2, FILES = 4, NUMBERS = 5, SERVICES = 6, ERROR = 7 };
/* FileDescriptorResponse, ExtensionNumberResponse, ListServiceResponse with ServiceResponse,
 * ErrorResponse */
enum { FILES_BYTES = 1 };
enum { NUMBERS_TYPE = 1, NUMBERS_NUMBER = 2 };
enum { SERVICES_SERVICE = 1, SERVICE_NAME = 1 };
enum { ERROR_CODE = 1, ERROR_MESSAGE = 2 };

/* ---- questions ---- */

static struct reflection_question question_of(const request_message *request) {
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        return (struct reflection_question){REFLECTION_FILE, proto_slice(request->file_by_filename),
                                            0};
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        return (struct reflection_question){REFLECTION_SYMBOL,
                                            proto_slice(request->file_containing_symbol), 0};
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        return (struct reflection_question){
            REFLECTION_EXTENSION, proto_slice(request->file_containing_extension->containing_type),
            request->file_containing_extension->extension_number};
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        return (struct reflection_question){REFLECTION_EXTENSIONS,
                                            proto_slice(request->all_extension_numbers_of_type), 0};
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        return (struct reflection_question){REFLECTION_SERVICES, {NULL, 0}, 0};
    default:
        return (struct reflection_question){REFLECTION_NOTHING, {NULL, 0}, 0};
    }
}

enum err reflection_read_request(struct slice request, struct arena *arena,
                                 struct reflection_question *out) {
    request_message *message;
    enum err err = proto_unpack(&grpc__reflection__v1__server_reflection_request__descriptor,
                                request, arena, &message);

    if (err != ERR_OK)
        return err;
    struct reflection_question question = question_of(message);
    if (!proto_is_text(proto_slice(message->host)) || !proto_is_text(question.name))
        return ERR_INVALID; /* we would have to repeat it in the answer */
    *out = question;
    return ERR_OK;
}

/* ---- answers ---- */

/* The question again, and the head of an answer of 'size' bytes, which are put next.
 * NULL when memory runs out. */
static char *begin(struct buf *out, struct slice request, unsigned answer, size_t size) {
    size_t room = proto_message_size(request.len) + proto_message_size(size);

    if (!buf_reserve(out, room))
        return NULL;
    char *p = proto_put_message(out->ptr + out->len, ORIGINAL_REQUEST, request.len);
    return proto_put_message(proto_put_raw(p, request), answer, size);
}

static void end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

void reflection_write_files(struct buf *out, struct slice request, const struct slice *files,
                            size_t count) {
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += proto_message_size(files[i].len);
    char *p = begin(out, request, FILES, size);
    if (!p)
        return;
    for (size_t i = 0; i < count; i++)
        p = proto_put_raw(proto_put_message(p, FILES_BYTES, files[i].len), files[i]);
    end(out, p);
}

/* A repeated number is packed, as proto3 has it. */
void reflection_write_numbers(struct buf *out, struct slice request, struct slice type,
                              const int32_t *numbers, size_t count) {
    size_t packed = 0;

    for (size_t i = 0; i < count; i++)
        packed += proto_varint_size((uint64_t)numbers[i]);
    char *p = begin(out, request, NUMBERS,
                    proto_text_size(type) + (count ? proto_message_size(packed) : 0));
    if (!p)
        return;
    p = proto_put_text(p, NUMBERS_TYPE, type);
    if (count)
        p = proto_put_message(p, NUMBERS_NUMBER, packed);
    for (size_t i = 0; i < count; i++)
        p = proto_put_varint(p, (uint64_t)numbers[i]);
    end(out, p);
}

void reflection_write_services(struct buf *out, struct slice request, const struct slice *names,
                               size_t count) {
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += proto_message_size(proto_text_size(names[i]));
    char *p = begin(out, request, SERVICES, size);
    if (!p)
        return;
    for (size_t i = 0; i < count; i++) {
        p = proto_put_message(p, SERVICES_SERVICE, proto_text_size(names[i]));
        p = proto_put_text(p, SERVICE_NAME, names[i]);
    }
    end(out, p);
}

void reflection_write_error(struct buf *out, struct slice request, int code, struct slice message) {
    char *p = begin(out, request, ERROR, proto_number_size(code) + proto_text_size(message));

    if (p)
        end(out, proto_put_text(proto_put_number(p, ERROR_CODE, code), ERROR_MESSAGE, message));
}
