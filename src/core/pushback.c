/* pushback.c */
#include "core/pushback.h"

#define DIGITS_MAX 9 /* beyond eleven days: not a number of ours */

struct pushback pushback_parse(struct slice text) {
    struct pushback never = {true, -1};
    int64_t ms = 0;

    if (text.len == 0 || text.len > DIGITS_MAX)
        return never;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return never;
        ms = ms * 10 + (text.ptr[i] - '0');
    }
    return (struct pushback){true, ms};
}

struct slice pushback_for(enum err err) {
    if (err == ERR_BUSY || err == ERR_NO_MEMORY)
        return SLICE("100"); /* a queue of ours is empty again by then, or it is a real overload */
    if (err == ERR_OUTBOX_FULL)
        return SLICE("-1"); /* until a consumer has caught up */
    return (struct slice){NULL, 0};
}
