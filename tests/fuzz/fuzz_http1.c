/* fuzz_http1.c - the same bytes, whole and in pieces, are the same requests.
 *
 * The input's first bytes say where to cut (0xFF ends them), the rest is fed
 * twice. The transcript's pieces are gone when the next one comes, so that a
 * slice into the wrong memory shows as a difference or as a report of ASan's.
 * What we accept is also given to llhttp alone, body and all: it must see as many
 * requests.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "http1_transcript.h"

#include "wire/http1_llhttp.h"

#define MAX_CUTS 32u

/* Small enough for a fuzzer to reach. */
static const struct http1_limits limits = {
    .line_bytes = 200, .header_bytes = 600, .header_count = 12, .body_bytes = 300};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count_message(llhttp_t *parser) {
    (*(size_t *)parser->data)++;
    return 0;
}

/* 2 would be an upgrade and 0 asks llhttp: 0, and upgrades are taken back below. */
static int on_headers_complete(llhttp_t *parser) {
    parser->upgrade = 0;
    return 0;
}

/* llhttp 8 takes only '\r' or another ';' behind "name=value;" where the value has no quotes:
 * a second extension, which RFC 9112 7.1.1 allows, is an error to it, never another end. */
static bool second_extension(const llhttp_t *parser, struct slice in) {
    const char *at = llhttp_get_error_pos(parser);

    return llhttp_get_errno(parser) == HPE_INVALID_CHUNK_SIZE && at > in.ptr && at[-1] == ';';
}

static void check_with_llhttp(struct slice in, const struct transcript *ours) {
    static const llhttp_settings_t settings = {.on_headers_complete = on_headers_complete,
                                               .on_message_complete = count_message};
    size_t count = 0;
    llhttp_t parser;

    llhttp_init(&parser, HTTP_REQUEST, &settings);
    /* We go on behind "Connection: close" and leave it to the server. */
    llhttp_set_lenient_keep_alive(&parser, 1);
    parser.data = &count;
    (void)llhttp_execute(&parser, in.ptr, in.len);
    if (second_extension(&parser, in))
        return;
    /* It may go on where we stop, being less strict; it may not see another end. */
    bool all = ours->problem == ERR_OK && ours->idle;
    if (count < ours->requests || (all && count != ours->requests)) {
        fprintf(stderr, "we saw %zu requests, llhttp %zu\n", ours->requests, count);
        abort();
    }
}

static void differ(const struct transcript *whole, const struct transcript *parts) {
    fprintf(stderr, "whole:\n%.*s\nin pieces:\n%.*s\n", SLICE_ARGS(buf_slice(&whole->text)),
            SLICE_ARGS(buf_slice(&parts->text)));
    abort();
}

static void check_same(const struct transcript *whole, struct transcript *parts) {
    if (!slice_eq(buf_slice(&whole->text), buf_slice(&parts->text)) ||
        whole->problem != parts->problem || whole->idle != parts->idle)
        differ(whole, parts);
    buf_release(&parts->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t steps = 0, count = 0, at = 0, cuts[MAX_CUTS];

    while (steps < size && steps < MAX_CUTS && data[steps] != 0xFF)
        steps++;
    size_t skip = steps < size ? steps + 1 : steps;
    struct slice in = slice_of((const char *)data + skip, size - skip);

    for (size_t i = 0; i < steps; i++) {
        at += data[i];
        if (at <= in.len)
            cuts[count++] = at;
    }
    struct transcript whole = transcript_of(&limits, in, NULL, 0);
    struct transcript parts = transcript_of(&limits, in, cuts, count);
    struct transcript bytes = transcript_of_bytes(&limits, in);

    check_same(&whole, &parts);
    check_same(&whole, &bytes);
    check_with_llhttp(in, &whole);
    buf_release(&whole.text);
    return 0;
}
