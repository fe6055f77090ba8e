/* grpc_reflection.c - one answer for each question, until the client has no more. */
#include "edge/grpc_reflection.h"

#include <stdlib.h>

#include "wire/reflection_proto.h"

/* A question is a few names; one that takes more is no question. */
#define SCRATCH_CHUNK_BYTES 4096
#define SCRATCH_CAP_BYTES   (256u << 10)

struct grpc_reflection {
    const struct descriptor_index *index;
    const struct slice *services;
    size_t service_count;
    struct arena scratch; /* one question's; not the call's, which lives for many */
    struct buf out;
};

struct grpc_reflection *grpc_reflection_new(const struct descriptor_index *index,
                                            const struct slice *services, size_t count) {
    struct grpc_reflection *reflection = calloc(1, sizeof(*reflection));

    if (!reflection)
        return NULL;
    reflection->index = index;
    reflection->services = services;
    reflection->service_count = count;
    arena_init(&reflection->scratch, SCRATCH_CHUNK_BYTES, SCRATCH_CAP_BYTES);
    return reflection;
}

void grpc_reflection_free(struct grpc_reflection *reflection) {
    if (!reflection)
        return;
    arena_release(&reflection->scratch);
    buf_release(&reflection->out);
    free(reflection);
}

/* ---- answers; ERR_NO_MEMORY past the workspace ---- */

static enum err say_not_found(struct grpc_reflection *reflection, struct slice request,
                              struct slice message) {
    reflection_write_error(&reflection->out, request, GRPC_NOT_FOUND, message);
    return ERR_OK;
}

/* A file and all it needs. Also what the stream was sent before: allowed, and simpler. */
static enum err say_file(struct grpc_reflection *reflection, struct slice request,
                         const struct descriptor_file *file) {
    struct slice *files = arena_alloc(&reflection->scratch, sizeof(*files) * file->need_count);

    if (!files)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < file->need_count; i++)
        files[i] = reflection->index->files[file->needs[i]].bytes;
    reflection_write_files(&reflection->out, request, files, file->need_count);
    return ERR_OK;
}

static enum err say_extensions(struct grpc_reflection *reflection, struct slice request,
                               struct slice type) {
    const struct descriptor_index *index = reflection->index;
    size_t count = 0;

    if (!descriptor_file_with(index, type))
        return say_not_found(reflection, request, SLICE("no such type"));
    int32_t *numbers =
        arena_alloc(&reflection->scratch, sizeof(*numbers) * (index->extension_count + 1));
    if (!numbers)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < index->extension_count; i++)
        if (slice_eq(index->extensions[i].type, type))
            numbers[count++] = index->extensions[i].number;
    reflection_write_numbers(&reflection->out, request, type, numbers, count);
    return ERR_OK;
}

static enum err say_found(struct grpc_reflection *reflection, struct slice request,
                          const struct descriptor_file *file, struct slice otherwise) {
    return file ? say_file(reflection, request, file)
                : say_not_found(reflection, request, otherwise);
}

static enum err answer(struct grpc_reflection *reflection, struct slice request,
                       const struct reflection_question *question) {
    const struct descriptor_index *index = reflection->index;

    switch (question->kind) {
    case REFLECTION_FILE:
        return say_found(reflection, request, descriptor_file_named(index, question->name),
                         SLICE("no such file"));
    case REFLECTION_SYMBOL:
        return say_found(reflection, request, descriptor_file_with(index, question->name),
                         SLICE("no such symbol"));
    case REFLECTION_EXTENSION:
        return say_found(reflection, request,
                         descriptor_file_extending(index, question->name, question->number),
                         SLICE("no such extension"));
    case REFLECTION_EXTENSIONS:
        return say_extensions(reflection, request, question->name);
    case REFLECTION_SERVICES:
        reflection_write_services(&reflection->out, request, reflection->services,
                                  reflection->service_count);
        return ERR_OK;
    case REFLECTION_NOTHING:
        break;
    }
    reflection_write_error(&reflection->out, request, GRPC_INVALID_ARGUMENT,
                           SLICE("the request asks nothing"));
    return ERR_OK;
}

/* ---- calls ---- */

static void handle(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_reflection *reflection = ctx;
    struct reflection_question question;

    arena_reset(&reflection->scratch, SCRATCH_CHUNK_BYTES);
    buf_clear(&reflection->out);
    enum err err = reflection_read_request(message, &reflection->scratch, &question);
    if (err == ERR_OK)
        err = answer(reflection, message, &question);
    if (err == ERR_OK && buf_failed(&reflection->out))
        err = ERR_NO_MEMORY;
    if (err == ERR_OK)
        grpc_send(call, buf_slice(&reflection->out));
    else
        grpc_finish(call, (enum grpc_status)err_grpc(err), slice_str(err_text(err)));
}

static void half_closed(void *ctx, struct grpc_call *call) {
    (void)ctx;
    grpc_finish(call, GRPC_OK, SLICE(""));
}

static void gone(void *ctx, struct grpc_call *call) {
    (void)ctx;
    grpc_finish(call, GRPC_CANCELLED, SLICE("cancelled"));
}

void grpc_reflection_methods(struct grpc_reflection *reflection,
                             struct grpc_method out[GRPC_REFLECTION_METHODS]) {
    const struct slice paths[GRPC_REFLECTION_METHODS] = {
        SLICE("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
        SLICE("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
    };

    for (size_t i = 0; i < GRPC_REFLECTION_METHODS; i++)
        out[i] = (struct grpc_method){
            .path = paths[i],
            .handle = handle,
            .half_closed = half_closed,
            .gone = gone,
            .ctx = reflection,
            .client_streams = true,
        };
}
