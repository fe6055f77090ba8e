/* request_timeout.c */
#include "wire/request_timeout.h"

#define DIGITS_MAX 8 /* as grpc-timeout has it; three years of seconds */

enum err request_timeout_parse(struct slice text, int64_t *out_ms) {
    int64_t value = 0;
    size_t digits = 0;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        if (digits == DIGITS_MAX)
            return ERR_INVALID;
        value = value * 10 + (text.ptr[digits++] - '0');
    }
    struct slice unit = slice_skip(text, digits);
    if (digits == 0)
        return ERR_INVALID;
    if (slice_eq(unit, SLICE("ms")))
        *out_ms = value;
    else if (unit.len == 0 || slice_eq(unit, SLICE("s")))
        *out_ms = value * 1000;
    else
        return ERR_INVALID;
    return ERR_OK;
}
