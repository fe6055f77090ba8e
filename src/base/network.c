/* network.c */
#include "base/network.h"

#include <arpa/inet.h>

#define V4_PREFIX 96 /* bits of ::ffff:0:0 */
#define V6_CLIENT 64

bool network_address(struct slice text, struct in6_addr *out) {
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address = {0};

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (memchr(copy, '\0', text.len))
        return false;
    if (inet_pton(AF_INET6, copy, &address) != 1) {
        if (inet_pton(AF_INET, copy, &address.s6_addr[12]) != 1)
            return false;
        address.s6_addr[10] = address.s6_addr[11] = 0xff;
    }
    *out = address;
    return true;
}

void network_mask(struct in6_addr *address, unsigned bits) {
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

        if (kept < 8)
            address->s6_addr[i] &= (uint8_t)(0xff00u >> kept);
    }
}

static bool parse_bits(struct slice digits, unsigned most, unsigned *out) {
    unsigned bits = 0;

    if (digits.len == 0 || digits.len > 3 || (digits.len > 1 && digits.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        bits = bits * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    *out = bits;
    return bits <= most;
}

bool network_parse(struct slice text, struct network *out) {
    const char *slash = memchr(text.ptr, '/', text.len);
    struct slice host = slash ? slice_of(text.ptr, (size_t)(slash - text.ptr)) : text;
    bool v4 = host.len && !memchr(host.ptr, ':', host.len);
    unsigned most = v4 ? 128 - V4_PREFIX : 128;
    struct network network = {.bits = most};

    if (!network_address(host, &network.address))
        return false;
    if (slash && !parse_bits(slice_skip(text, host.len + 1), most, &network.bits))
        return false;
    network.bits += v4 ? V4_PREFIX : 0;
    struct in6_addr masked = network.address;
    network_mask(&masked, network.bits);
    /* 10.1.2.3/8 is a typing error as likely as it is a network. */
    if (memcmp(&masked, &network.address, sizeof(masked)) != 0)
        return false;
    *out = network;
    return true;
}

bool network_has(const struct network *network, const struct in6_addr *address) {
    struct in6_addr masked = *address;

    network_mask(&masked, network->bits);
    return memcmp(&masked, &network->address, sizeof(masked)) == 0;
}

void network_client(struct in6_addr *address) {
    if (!IN6_IS_ADDR_V4MAPPED(address))
        network_mask(address, V6_CLIENT);
}

size_t network_list(const char *text, struct network *out, size_t max) {
    struct slice list = slice_str(text);
    size_t count = 0;

    while (list.len && count < max)
        if (network_parse(network_next(&list), &out[count]))
            count++;
    return count;
}

bool network_list_has(const struct network *list, size_t count, const struct in6_addr *address) {
    for (size_t i = 0; i < count; i++)
        if (network_has(&list[i], address))
            return true;
    return false;
}

struct slice network_next(struct slice *list) {
    const char *comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
    struct slice next = slice_of(list->ptr, comma ? (size_t)(comma - list->ptr) : list->len);

    *list = slice_skip(*list, next.len + (comma ? 1 : 0));
    return next;
}
