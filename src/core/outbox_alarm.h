/* outbox_alarm.h - says that an outbox fills up while there is still time (RELIABILITY row 14).
 *
 * Threads    Plain function.
 */
#ifndef CORE_OUTBOX_ALARM_H
#define CORE_OUTBOX_ALARM_H

#include <stdbool.h>
#include <stdint.h>

/* Apart, so that one that is about there doesn't say so again and again. */
#define OUTBOX_FILLING_PERCENT  80
#define OUTBOX_RELIEVED_PERCENT 70

/* Is it filling up? 'was': it was, the last time. Without consumers it is trimmed, and never full.
 */
static inline bool outbox_filling(bool was, uint64_t consumers, uint64_t bytes,
                                  uint64_t max_bytes) {
    uint64_t percent = was ? OUTBOX_RELIEVED_PERCENT : OUTBOX_FILLING_PERCENT;

    return consumers > 0 && bytes >= max_bytes / 100 * percent;
}

#endif
