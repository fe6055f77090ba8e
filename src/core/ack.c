/* ack.c - what is held, and for what. */
#include "core/ack.h"

#include "core/rules.h"

void ack_init(struct ack *ack, unsigned replicas) {
    *ack = (struct ack){.replicas = RULE(RULE_WAIT) ? replicas : 0};
    list_init(&ack->held);
}

void ack_sent(struct ack *ack) {
    ack->unwaited = ack->replicas > 0;
}

bool ack_due(struct ack *ack) {
    bool due = ack->unwaited;

    ack->unwaited = false;
    return due;
}

bool ack_hold(struct ack *ack, struct list *node) {
    if (ack->replicas == 0)
        return false;
    list_push_back(&ack->held, node);
    return true;
}

bool ack_enough(const struct ack *ack, int64_t count) {
    return count >= (int64_t)ack->replicas || !RULE(RULE_WAIT_COUNT);
}

void ack_take(struct ack *ack, struct list *out) {
    struct list *node;

    list_init(out);
    while ((node = list_pop_front(&ack->held)))
        list_push_back(out, node);
}
