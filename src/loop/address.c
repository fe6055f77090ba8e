/* address.c */
#include "loop/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static bool parse_port(struct slice text, in_port_t *out_port) {
    unsigned port = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    if (port > UINT16_MAX)
        return false;
    *out_port = htons((uint16_t)port);
    return true;
}

bool address_split(struct slice text, struct slice *out_host, in_port_t *out_port) {
    const char *colon = text.len > 0 ? memrchr(text.ptr, ':', text.len) : NULL;
    size_t host_len;

    if (!colon)
        return false;
    host_len = (size_t)(colon - text.ptr);
    if (!parse_port(slice_skip(text, host_len + 1), out_port))
        return false;
    *out_host = slice_of(text.ptr, host_len);
    return true;
}

void address_v4(struct address *out, struct in_addr host, in_port_t port) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->sa;

    *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = host};
    out->len = sizeof(*v4);
}

void address_v6(struct address *out, struct in6_addr host, in_port_t port) {
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->sa;

    *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = host};
    out->len = sizeof(*v6);
}

bool address_numeric(struct slice text, in_port_t port, struct address *out) {
    bool bracketed = text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
    char host[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    struct in_addr v4;

    if (bracketed)
        text = slice_of(text.ptr + 1, text.len - 2);
    if (text.len >= sizeof(host) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(host, text.ptr, text.len);
    host[text.len] = '\0';
    if (bracketed && inet_pton(AF_INET6, host, &v6) == 1) {
        address_v6(out, v6, port);
        return true;
    }
    if (!bracketed && inet_pton(AF_INET, host, &v4) == 1) {
        address_v4(out, v4, port);
        return true;
    }
    return false;
}
