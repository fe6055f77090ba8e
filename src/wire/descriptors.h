/* descriptors.h - the API's own description, for server reflection.
 *
 * The build turns protoc's descriptor set into an index of constant data
 * (tools/embed_descriptors).
 *
 * Threads    Constant data and pure functions, any thread.
 */
#ifndef WIRE_DESCRIPTORS_H
#define WIRE_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct descriptor_file {
    struct slice name;     /* "counter/counter.proto" */
    struct slice bytes;    /* a serialized FileDescriptorProto */
    const uint16_t *needs; /* places in the index: the file itself, then its imports and theirs */
    size_t need_count;
};

/* A full name, without a dot in front: package.Service.Method, package.Message.field ... */
struct descriptor_symbol {
    struct slice name;
    size_t file;
};

struct descriptor_extension {
    struct slice type; /* the message it extends */
    int32_t number;
    size_t file;
};

struct descriptor_index {
    const struct descriptor_file *files;
    size_t file_count;
    const struct descriptor_symbol *symbols; /* sorted by name */
    size_t symbol_count;
    const struct descriptor_extension *extensions;
    size_t extension_count;
};

/* Everything this program serves. */
extern const struct descriptor_index descriptors;

/* NULL when it isn't there. */
const struct descriptor_file *descriptor_file_named(const struct descriptor_index *index,
                                                    struct slice name);
const struct descriptor_file *descriptor_file_with(const struct descriptor_index *index,
                                                   struct slice symbol);
const struct descriptor_file *descriptor_file_extending(const struct descriptor_index *index,
                                                        struct slice type, int32_t number);

#endif
