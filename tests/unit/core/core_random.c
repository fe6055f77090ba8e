/* core_random.c - splitmix64 and what is made of it. */
#include "core_random.h"

const char *const model_key_names[MODEL_KEYS] = {"k", "kk", "key-2", "key-3", "key-4", ""};

uint64_t random_roll(uint64_t *state, uint64_t below) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

bool random_chance(uint64_t *state, unsigned percent) {
    return random_roll(state, 100) < percent;
}

static int64_t random_arg(uint64_t *state) {
    static const int64_t edges[] = {
        INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1, INT64_MAX / 2, INT64_MIN / 2, -1, 1};
    int64_t small = (int64_t)random_roll(state, 9) - 4;

    if (random_chance(state, 15))
        return edges[random_roll(state, sizeof(edges) / sizeof(edges[0]))];
    return small ? small : 1;
}

static struct model_op random_op(uint64_t *state) {
    uint64_t kind = random_roll(state, 100);
    struct model_op op = {OP_ADD, random_arg(state), 0, -1};

    if (kind >= 75)
        op.kind = kind < 83 ? OP_SET : kind < 87 ? OP_RESET : OP_GET;
    op.counter = (int)(random_chance(state, 50) ? random_roll(state, 2)
                                                : random_roll(state, MODEL_COUNTERS));
    if (op.kind != OP_GET && random_chance(state, 25))
        op.key = (int)random_roll(state, MODEL_KEYS);
    return op;
}

static int64_t random_issue_ms(uint64_t *state, int64_t clock_ms) {
    if (random_chance(state, 3))
        return clock_ms - MESSAGE_MAX_AGE_MS - (int64_t)random_roll(state, 3);
    if (random_chance(state, 3))
        return clock_ms + MESSAGE_MAX_AHEAD_MS + (int64_t)random_roll(state, 3);
    return clock_ms - (int64_t)random_roll(state, 100);
}

int random_message(uint64_t *state, struct model *model, int64_t clock_ms) {
    int count = model->messages_count;

    if (count && (random_chance(state, 30) || count == MODEL_MESSAGES)) {
        int back =
            (int)random_roll(state, random_chance(state, 70) && count > 5 ? 5 : (uint64_t)count);
        return count - 1 - back;
    }
    struct model_message *message = &model->messages[model->messages_count++];
    *message = (struct model_message){.producer = (int)random_roll(state, MODEL_PRODUCERS)};
    uint64_t *next = &model->next_number[message->producer];
    *next += 1 + (random_chance(state, 10) ? random_roll(state, 2 * MESSAGE_WINDOW) : 0);
    message->number = *next;
    message->issued_ms = random_issue_ms(state, clock_ms);
    message->count = (int)(1 + random_roll(state, random_chance(state, 20) ? MODEL_OPS : 6));
    for (int i = 0; i < message->count; i++)
        message->ops[i] = random_op(state);
    return count;
}
