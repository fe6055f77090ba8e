/* test_http1_memory.c - every allocation fails once: an error each time, never a
 * crash, a leak or half a request. The linker puts __wrap_… in front of malloc. */
#include <stdlib.h>

#include "http1_check.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static size_t left = SIZE_MAX; /* allocations that work */

static bool fails(void) {
    if (left == SIZE_MAX)
        return false;
    return left-- == 0;
}

void *__wrap_malloc(size_t bytes) {
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes) {
    return fails() ? NULL : __real_realloc(old, bytes);
}

/* More headers than fit without malloc; a body that outgrows a buffer's first size. */
static struct buf request_text(bool chunked) {
    struct buf text = {0};

    buf_add_str(&text, POST);
    for (int i = 0; i < 20; i++)
        buf_printf(&text, "X-%d: some value\r\n", i);
    buf_add_str(&text, chunked ? "Transfer-Encoding: chunked\r\n\r\n258\r\n"
                               : "Content-Length: 600\r\n\r\n");
    for (int i = 0; i < 600; i++)
        buf_add_char(&text, 'b');
    if (chunked)
        buf_add_str(&text, "\r\n0\r\nX: a\r\n\r\n");
    return text;
}

/* In pieces of 'step' bytes; true when the request came through. */
static bool parse(struct slice in, size_t step) {
    struct http1_parser *parser = http1_new(&usual);
    enum http1_event event = HTTP1_MORE;
    const char *detail;

    if (!parser)
        return false;
    while (in.len && event != HTTP1_ERROR && event != HTTP1_REQUEST) {
        size_t used, take = step < in.len ? step : in.len;

        event = http1_parse(parser, slice_of(in.ptr, take), &used);
        in = slice_skip(in, used);
    }
    if (event == HTTP1_ERROR)
        assert_int_equal(http1_problem(parser, &detail), ERR_NO_MEMORY);
    else
        assert_int_equal(http1_request(parser)->body.len, 600);
    http1_free(parser);
    return event == HTTP1_REQUEST;
}

static size_t count_failures(struct slice in, size_t step) {
    size_t n = 0;

    for (;; n++) {
        left = n;
        bool done = parse(in, step);

        left = SIZE_MAX;
        if (done)
            return n;
        assert_in_range(n, 0, 100);
    }
}

static void test_every_allocation(void **state) {
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct buf text = request_text(chunked);

        /* The parser, its headers; the head's copy; the body's, growing. */
        assert_in_range(count_failures(buf_slice(&text), 7), 5, 20);
        assert_int_equal(count_failures(buf_slice(&text), SIZE_MAX), chunked ? 4 : 2);
        buf_release(&text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
