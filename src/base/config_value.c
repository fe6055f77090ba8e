/* config_value.c - parse, check and print by kind of row. */
#include "base/config_value.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/network.h"

#define PORT_MAX     65535
#define DNS_NAME_MAX 253

/* Decimal digits only: no sign, no leading zero (octal to some readers), no
 * suffix, no blank. */
static bool parse_number(const char *text, int64_t *out) {
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || text[digits] != '\0' || (text[0] == '0' && digits > 1))
        return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno)
        return false;
    *out = value;
    return true;
}

/* The index of 'text' in "a|b|c", or -1. */
static int choice_index(const char *choices, const char *text) {
    size_t len = strlen(text);

    for (int i = 0;; i++) {
        size_t this = strcspn(choices, "|");

        if (this == len && memcmp(choices, text, len) == 0)
            return i;
        if (choices[this] == '\0')
            return -1;
        choices += this + 1;
    }
}

static bool is_host(const char *host, size_t len) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (len == 0 || (len == strlen("localhost") && memcmp(host, "localhost", len) == 0))
        return true;
    bool brackets = host[0] == '[' && host[len - 1] == ']';
    if (brackets) {
        host++;
        len -= 2;
    }
    if (len >= sizeof(text))
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(brackets ? AF_INET6 : AF_INET, text, &address) == 1;
}

/* One of "a|b://...", where the dots stand for anything, but something. */
static bool is_url(const char *choices, const char *text) {
    while (*choices) {
        size_t this = strcspn(choices, "|");
        bool open = this > 3 && memcmp(choices + this - 3, "...", 3) == 0;
        size_t len = open ? this - 3 : this;

        if (strncmp(choices, text, len) == 0 && (open ? text[len] != '\0' : text[len] == '\0'))
            return true;
        choices += choices[this] ? this + 1 : this;
    }
    return false;
}

/* HOST:PORT; names other than localhost are refused, so that starting never
 * waits for a resolver. */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    int64_t port;

    return colon && is_host(text, (size_t)(colon - text)) && parse_number(colon + 1, &port) &&
           port <= PORT_MAX;
}

/* A name of the DNS (RFC 1123 2.1, and the _ that some use), IPv4, [IPv6]. */
static bool is_remote_host(struct slice host) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        if (host.len - 2 >= sizeof(text))
            return false;
        memcpy(text, host.ptr + 1, host.len - 2);
        text[host.len - 2] = '\0';
        return inet_pton(AF_INET6, text, &address) == 1;
    }
    for (size_t i = 0; i < host.len; i++)
        if (!isalnum((unsigned char)host.ptr[i]) && !strchr("-._", host.ptr[i]))
            return false;
    return host.len > 0 && host.len <= DNS_NAME_MAX;
}

static bool is_upstream(struct slice text) {
    const char *colon = memrchr(text.ptr, ':', text.len);
    char port_text[8];
    int64_t port;

    /* An SRV record has the port (RFC 2782). */
    if (!colon && text.len && text.ptr[0] == '_')
        return is_remote_host(text);
    if (!colon || !is_remote_host(slice_of(text.ptr, (size_t)(colon - text.ptr))))
        return false;
    struct slice rest = slice_skip(text, (size_t)(colon + 1 - text.ptr));
    if (rest.len >= sizeof(port_text))
        return false;
    memcpy(port_text, rest.ptr, rest.len);
    port_text[rest.len] = '\0';
    return parse_number(port_text, &port) && port >= 1 && port <= PORT_MAX;
}

struct slice config_next_upstream(struct slice *list) {
    const char *comma = memchr(list->ptr, ',', list->len);
    struct slice next = slice_of(list->ptr, comma ? (size_t)(comma - list->ptr) : list->len);

    *list = slice_skip(*list, next.len + (comma ? 1 : 0));
    return next;
}

/* An empty one anywhere, also behind the last comma, is a mistake. */
bool config_are_upstreams(struct slice list) {
    size_t count = 0;

    if (!list.len || list.ptr[list.len - 1] == ',')
        return false;
    while (list.len)
        if (!is_upstream(config_next_upstream(&list)) || ++count > CONFIG_UPSTREAMS_MAX)
            return false;
    return true;
}

static bool are_networks(const char *text) {
    struct slice list = slice_str(text);
    struct network network;

    if (list.len && text[list.len - 1] == ',')
        return false;
    while (list.len)
        if (!network_parse(network_next(&list), &network))
            return false;
    return true;
}

static bool is_printable(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static bool parse_text(const struct config_row *row, const char *text, void *field) {
    size_t len = strlen(text);

    if ((int64_t)len < row->min || (int64_t)len > row->max || !is_printable(text))
        return false;
    if (row->kind == CONFIG_ADDRESS && !is_address(text))
        return false;
    if (row->kind == CONFIG_UPSTREAMS && !(row->choices && choice_index(row->choices, text) >= 0) &&
        !config_are_upstreams(slice_str(text)))
        return false;
    if (row->kind == CONFIG_NETWORKS && !are_networks(text))
        return false;
    if (row->kind == CONFIG_URL && !is_url(row->choices, text))
        return false;
    assert(len < row->size);
    memcpy(field, text, len + 1);
    return true;
}

static bool parse_bool(const char *text, void *field) {
    bool on = strcmp(text, "true") == 0;

    if (!on && strcmp(text, "false") != 0)
        return false;
    memcpy(field, &on, sizeof(on));
    return true;
}

static bool parse_enum(const struct config_row *row, const char *text, void *field) {
    int index = choice_index(row->choices, text);

    if (index < 0)
        return false;
    assert(row->size == sizeof(index));
    memcpy(field, &index, sizeof(index));
    return true;
}

/* uint32_t or a 64-bit type; the row's limits keep it inside either. */
static bool parse_integer(const struct config_row *row, const char *text, void *field) {
    int64_t value;

    if (!parse_number(text, &value) || value < row->min || value > row->max)
        return false;
    if (row->size == sizeof(uint32_t)) {
        uint32_t narrow = (uint32_t)value;

        memcpy(field, &narrow, sizeof(narrow));
        return true;
    }
    assert(row->size == sizeof(value));
    memcpy(field, &value, sizeof(value));
    return true;
}

bool config_value_parse(const struct config_row *row, const char *text, void *field) {
    switch (row->kind) {
    case CONFIG_ADDRESS:
    case CONFIG_UPSTREAMS:
    case CONFIG_PATH:
    case CONFIG_NAMES:
    case CONFIG_NETWORKS:
    case CONFIG_URL:
        return parse_text(row, text, field);
    case CONFIG_ENUM:
        return parse_enum(row, text, field);
    case CONFIG_BOOL:
        return parse_bool(text, field);
    case CONFIG_COUNT:
    case CONFIG_BYTES:
    case CONFIG_MS:
        return parse_integer(row, text, field);
    }
    return false;
}

int64_t config_value_number(const struct config_row *row, const void *field) {
    uint32_t narrow;
    int64_t value;

    if (row->kind == CONFIG_BOOL)
        return *(const unsigned char *)field;
    if (row->size == sizeof(narrow)) {
        memcpy(&narrow, field, sizeof(narrow));
        return narrow;
    }
    assert(row->size == sizeof(value));
    memcpy(&value, field, sizeof(value));
    return value;
}

/* scheme://user:password@host, and whatever else has an @ in it: all between
 * the first colon of the user part (or its start) and the last @ goes. */
void config_value_redact(const struct config_row *row, const char *text, struct buf *out) {
    const char *at = row->kind == CONFIG_URL ? strrchr(text, '@') : NULL;

    if (!at) {
        buf_add_str(out, text);
        return;
    }
    const char *scheme = strstr(text, "://");
    const char *user = scheme && scheme < at ? scheme + 3 : text;
    const char *colon = memchr(user, ':', (size_t)(at - user));
    const char *shown = colon ? colon + 1 : user;

    buf_add(out, text, (size_t)(shown - text));
    buf_add_str(out, "***");
    buf_add_str(out, at);
}

static void print_choice(const char *choices, int64_t index, struct buf *out) {
    while (index-- > 0)
        choices = strchr(choices, '|') + 1;
    buf_add(out, choices, strcspn(choices, "|"));
}

void config_value_print(const struct config_row *row, const void *field, struct buf *out) {
    switch (row->kind) {
    case CONFIG_ADDRESS:
    case CONFIG_UPSTREAMS:
    case CONFIG_PATH:
    case CONFIG_NAMES:
    case CONFIG_NETWORKS:
    case CONFIG_URL:
        config_value_redact(row, field, out);
        return;
    case CONFIG_ENUM:
        print_choice(row->choices, config_value_number(row, field), out);
        return;
    case CONFIG_BOOL:
        buf_add_str(out, config_value_number(row, field) ? "true" : "false");
        return;
    case CONFIG_COUNT:
    case CONFIG_BYTES:
    case CONFIG_MS:
        buf_add_i64(out, config_value_number(row, field));
        return;
    }
}

static void print_choices(const char *choices, struct buf *out) {
    for (const char *c = choices; *c; c++) {
        if (*c == '|')
            buf_add_str(out, strchr(c + 1, '|') ? ", " : " or ");
        else
            buf_add_char(out, *c);
    }
}

void config_print_allowed(const struct config_row *row, struct buf *out) {
    static const char *const numbers[] = {
        [CONFIG_COUNT] = "a whole number",
        [CONFIG_BYTES] = "a whole number of bytes",
        [CONFIG_MS] = "a whole number of milliseconds",
    };

    switch (row->kind) {
    case CONFIG_ADDRESS:
        buf_add_str(out, "HOST:PORT, where HOST is empty, localhost, IPv4 or [IPv6]");
        return;
    case CONFIG_UPSTREAMS:
        buf_printf(out,
                   "1 to %d of HOST:PORT with commas between, where HOST is a name, IPv4 or [IPv6]",
                   CONFIG_UPSTREAMS_MAX);
        return;
    case CONFIG_PATH:
        if (row->min == 0)
            buf_printf(out, "nothing, or a path of up to %" PRId64 " bytes", row->max);
        else
            buf_printf(out, "a path of %" PRId64 " to %" PRId64 " bytes", row->min, row->max);
        return;
    case CONFIG_NAMES:
        buf_printf(out, "names separated by commas, up to %" PRId64 " bytes", row->max);
        return;
    case CONFIG_NETWORKS:
        buf_printf(
            out,
            "addresses and networks separated by commas, as 127.0.0.1,10.0.0.0/8,fd00::/8, up "
            "to %" PRId64 " bytes",
            row->max);
        return;
    case CONFIG_URL:
    case CONFIG_ENUM:
        print_choices(row->choices, out);
        return;
    case CONFIG_BOOL:
        buf_add_str(out, "true or false");
        return;
    case CONFIG_COUNT:
    case CONFIG_BYTES:
    case CONFIG_MS:
        buf_printf(out, "%s from %" PRId64 " to %" PRId64, numbers[row->kind], row->min, row->max);
        return;
    }
}
