/* log_budget.h - so many lines a second, and a count of those left out: a flood of failures mustn't
 * fill the disk.
 *
 * Threads    One owner at a time. A zeroed struct is a valid one.
 */
#ifndef BASE_LOG_BUDGET_H
#define BASE_LOG_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_BUDGET_LINES 100 /* a second */

struct log_budget {
    int64_t second;
    unsigned lines;
    unsigned suppressed;
};

/* May one more line be written at 'now_ms' (monotonic)? */
static inline bool log_budget_take(struct log_budget *budget, int64_t now_ms) {
    if (now_ms / 1000 != budget->second) {
        budget->second = now_ms / 1000;
        budget->lines = 0;
    }
    if (budget->lines++ < LOG_BUDGET_LINES)
        return true;
    budget->suppressed++;
    return false;
}

/* How many lines were left out before this one; starts the count anew. */
static inline unsigned log_budget_suppressed(struct log_budget *budget) {
    unsigned suppressed = budget->suppressed;

    budget->suppressed = 0;
    return suppressed;
}

#endif
