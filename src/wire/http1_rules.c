/* http1_rules.c - what the header fields say about the message as a whole. */
#include "wire/http1_char.h"
#include "wire/http1_head.h"

/* Every length with fewer digits fits; nobody sends a longer one in earnest. */
#define MAX_LENGTH_DIGITS 18u

/* Apart, so that asking for what isn't there is no call: 100 instructions of a request. */
static bool find_single(const struct http1_head *head, struct slice name, struct slice *out_value) {
    struct slice value = {NULL, 0};

    for (size_t i = 0; i < head->count; i++) {
        if (!slice_eq_nocase(head->headers[i].name, name))
            continue;
        if (value.ptr)
            return false;
        value = head->headers[i].value;
    }
    *out_value = value;
    return true;
}

bool http1_head_single(const struct http1_head *head, struct slice name, struct slice *out_value) {
    if (!http1_lacks(head->absent, name))
        return find_single(head, name, out_value);
    *out_value = (struct slice){NULL, 0};
    return true;
}

/* Takes the element up to the next comma off the front, without the white space around it. */
static struct slice next_element(struct slice *list) {
    const char *comma = memchr(list->ptr, ',', list->len);
    struct slice element = slice_of(list->ptr, comma ? (size_t)(comma - list->ptr) : list->len);

    *list = slice_skip(*list, comma ? element.len + 1 : list->len);
    while (element.len && (*element.ptr == ' ' || *element.ptr == '\t'))
        element = slice_skip(element, 1);
    while (element.len &&
           (element.ptr[element.len - 1] == ' ' || element.ptr[element.len - 1] == '\t'))
        element.len--;
    return element;
}

/* Digits and nothing else. A list of equal lengths, which RFC 9110 8.6 lets a
 * reader accept, and leading zeros, octal for some, are refused. */
static bool read_length(struct slice value, uint64_t *out, struct http1_problem *problem) {
    uint64_t length = 0;

    if (value.len == 0 || (value.len > 1 && *value.ptr == '0'))
        return http1_fail(problem, ERR_INVALID, "Content-Length isn't a plain number");
    for (size_t i = 0; i < value.len; i++) {
        if (!http1_is_digit(value.ptr[i]))
            return http1_fail(problem, ERR_INVALID, "Content-Length isn't a plain number");
        if (i == MAX_LENGTH_DIGITS)
            return http1_fail(problem, ERR_INVALID, "Content-Length is out of range");
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    *out = length;
    return true;
}

/* Codings we don't know, and at most a single chunked at the end: an honest
 * message that we can't decode (501, RFC 9112 6.1). What remains has no
 * certain end (400, RFC 9112 6.3). */
static bool unknown_coding(struct slice list) {
    size_t elements = 0;
    bool chunked = false;

    while (list.len) {
        struct slice element = next_element(&list);

        if (chunked || element.len == 0 || !http1_all(element, HTTP1_TOKEN))
            return false;
        chunked = slice_eq_nocase(element, SLICE("chunked"));
        elements++;
    }
    return elements == 1 || chunked;
}

static bool read_coding(struct slice value, int minor_version, struct http1_problem *problem) {
    if (minor_version == 0) /* RFC 9112 6.1: faulty framing by definition */
        return http1_fail(problem, ERR_INVALID, "Transfer-Encoding in HTTP/1.0");
    if (slice_eq_nocase(value, SLICE("chunked")))
        return true;
    if (value.len && value.ptr[value.len - 1] != ',' && unknown_coding(value))
        return http1_fail(problem, ERR_NOT_IMPL, "the transfer coding isn't supported");
    return http1_fail(problem, ERR_INVALID, "Transfer-Encoding is ambiguous");
}

/* RFC 9112 6.3. With both fields one reader ends the body here and another
 * there, and what lies between is a request for one of them only. */
static bool read_framing(const struct http1_head *head, struct http1_framing *framing,
                         bool *out_has_body, struct http1_problem *problem) {
    struct slice length, coding;

    if (!http1_head_single(head, SLICE("Content-Length"), &length))
        return http1_fail(problem, ERR_INVALID, "more than one Content-Length");
    if (!http1_head_single(head, SLICE("Transfer-Encoding"), &coding))
        return http1_fail(problem, ERR_INVALID, "more than one Transfer-Encoding");
    if (length.ptr && coding.ptr)
        return http1_fail(problem, ERR_INVALID, "both Content-Length and Transfer-Encoding");
    *framing = (struct http1_framing){.chunked = coding.ptr != NULL};
    *out_has_body = length.ptr || coding.ptr;
    if (coding.ptr)
        return read_coding(coding, head->minor_version, problem);
    return !length.ptr || read_length(length, &framing->content_length, problem);
}

static bool connection_says(const struct http1_head *head, struct slice option) {
    if (http1_lacks(head->absent, SLICE("Connection")))
        return false;
    for (size_t i = 0; i < head->count; i++) {
        struct slice list = head->headers[i].value;

        if (!slice_eq_nocase(head->headers[i].name, SLICE("Connection")))
            continue;
        while (list.len)
            if (slice_eq_nocase(next_element(&list), option))
                return true;
    }
    return false;
}

/* RFC 9112 9.3. Behind a CONNECT that we refuse the client may go on in
 * whatever protocol it had in mind: no reading on. */
static bool keeps_alive(const struct http1_head *head) {
    if (head->connect || connection_says(head, SLICE("close")))
        return false;
    return head->minor_version == 1 || connection_says(head, SLICE("keep-alive"));
}

/* RFC 9110 10.1.1; in HTTP/1.0 there is no such thing. */
static void read_expect(const struct http1_head *head, bool body_follows,
                        struct http1_request *request) {
    request->expects_continue = false;
    request->expectation_failed = false;
    if (head->minor_version == 0 || http1_lacks(head->absent, SLICE("Expect")))
        return;
    for (size_t i = 0; i < head->count; i++) {
        if (!slice_eq_nocase(head->headers[i].name, SLICE("Expect")))
            continue;
        if (slice_eq_nocase(head->headers[i].value, SLICE("100-continue")))
            request->expects_continue = body_follows;
        else
            request->expectation_failed = true;
    }
}

bool http1_rules_read(const struct http1_head *head, struct http1_request *request,
                      struct http1_framing *framing, struct http1_problem *problem) {
    if (!read_framing(head, framing, &request->has_body, problem))
        return false;
    request->keep_alive = keeps_alive(head);
    read_expect(head, framing->chunked || framing->content_length > 0, request);
    return true;
}
