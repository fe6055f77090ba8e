/* descriptors.c - looking things up in an index of descriptors. */
#include "wire/descriptors.h"

#include <stdlib.h>

const struct descriptor_file *descriptor_file_named(const struct descriptor_index *index,
                                                    struct slice name) {
    for (size_t i = 0; i < index->file_count; i++)
        if (slice_eq(index->files[i].name, name))
            return &index->files[i];
    return NULL;
}

/* Bytewise, a prefix first: the order the build has sorted by. */
static int compare(const void *wanted, const void *element) {
    const struct slice *name = wanted;
    const struct descriptor_symbol *symbol = element;
    size_t common = name->len < symbol->name.len ? name->len : symbol->name.len;
    int order = common ? memcmp(name->ptr, symbol->name.ptr, common) : 0;

    if (order != 0)
        return order;
    return (name->len > symbol->name.len) - (name->len < symbol->name.len);
}

const struct descriptor_file *descriptor_file_with(const struct descriptor_index *index,
                                                   struct slice symbol) {
    const struct descriptor_symbol *found =
        index->symbol_count
            ? bsearch(&symbol, index->symbols, index->symbol_count, sizeof(*found), compare)
            : NULL;

    return found ? &index->files[found->file] : NULL;
}

const struct descriptor_file *descriptor_file_extending(const struct descriptor_index *index,
                                                        struct slice type, int32_t number) {
    for (size_t i = 0; i < index->extension_count; i++) {
        const struct descriptor_extension *extension = &index->extensions[i];

        if (extension->number == number && slice_eq(extension->type, type))
            return &index->files[extension->file];
    }
    return NULL;
}
