/* forwarded.c */
#include "wire/forwarded.h"

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The last of "a, b, c", taken off the end of '*list'. */
static struct slice take_last(struct slice *list) {
    const char *comma = list->len ? memrchr(list->ptr, ',', list->len) : NULL;
    size_t before = comma ? (size_t)(comma - list->ptr) : 0;
    struct slice last = comma ? slice_skip(*list, before + 1) : *list;

    list->len = before;
    while (last.len && is_blank(last.ptr[0]))
        last = slice_skip(last, 1);
    while (last.len && is_blank(last.ptr[last.len - 1]))
        last.len--;
    return last;
}

struct in6_addr forwarded_client(const struct http1_request *request, struct in6_addr peer,
                                 const struct network *trusted, size_t count) {
    struct in6_addr client = peer;

    for (size_t i = request->header_count; i > 0; i--) {
        const struct http1_header *header = &request->headers[i - 1];
        struct slice list = header->value;

        if (!slice_eq_nocase(header->name, SLICE("X-Forwarded-For")))
            continue;
        do {
            if (!network_list_has(trusted, count, &client) ||
                !network_address(take_last(&list), &client))
                return client;
        } while (list.len);
    }
    return client;
}
