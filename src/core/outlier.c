/* outlier.c - smoothed latency, rows of late answers, silence while others answer. */
#include "core/outlier.h"

#define TIMES     2 /* what the others take */
#define SMOOTHING 4 /* one part of the new, three of the old */

/* The smallest that half of them don't exceed: with two, the better one, or one slow instance
 * would hide the next. */
static int64_t median(int64_t *values, size_t count) {
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && values[k - 1] > values[k]; k--) {
            int64_t larger = values[k - 1];

            values[k - 1] = values[k];
            values[k] = larger;
        }
    return values[(count - 1) / 2];
}

int64_t outlier_bound_ms(int64_t *latencies_ms, size_t count) {
    return count ? median(latencies_ms, count) * TIMES + OUTLIER_LATE_MS : INT64_MAX;
}

static void learn(struct outlier *outlier, int64_t took_ms, int64_t now_ms) {
    if (outlier->timed)
        outlier->latency_ms += (took_ms - outlier->latency_ms) / SMOOTHING;
    else
        outlier->latency_ms = took_ms;
    outlier->timed = true;
    outlier->answered_ms = now_ms;
}

bool outlier_answered(struct outlier *outlier, int64_t took_ms, bool late, unsigned rows,
                      int64_t span_ms, int64_t now_ms) {
    if (outlier->timed && outlier->answered_ms == now_ms)
        return false;
    learn(outlier, took_ms, now_ms);
    if (!late) {
        outlier->late = 0;
        return false;
    }
    if (outlier->late++ == 0)
        outlier->late_since_ms = now_ms;
    return outlier->late >= rows && now_ms - outlier->late_since_ms >= span_ms;
}

void outlier_look(struct outlier *outlier, bool silent, int64_t now_ms) {
    if (silent && !outlier->silent)
        outlier->silent_ms = now_ms;
    outlier->silent = silent;
}

bool outlier_is_silent(const struct outlier *outlier, int64_t now_ms) {
    return outlier->silent && now_ms - outlier->silent_ms >= OUTLIER_SURE_MS;
}

void outlier_forget(struct outlier *outlier) {
    outlier->late = 0;
    outlier->silent = false;
}
