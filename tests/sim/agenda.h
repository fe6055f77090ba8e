/* agenda.h - virtual time: what happens next, in order of time, then of entry. */
#ifndef TESTS_SIM_AGENDA_H
#define TESTS_SIM_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*agenda_fn)(void *self, uint64_t arg);

struct agenda_item {
    int64_t at_ms;
    uint64_t order;
    agenda_fn fn;
    void *self;
    uint64_t arg;
};

struct agenda {
    struct agenda_item *heap;
    size_t count;
    size_t cap;
    uint64_t entered;
    int64_t now_ms;
};

/* A zeroed agenda is an empty one at time 0. */
void agenda_release(struct agenda *agenda);

/* Calls fn(self, arg) at 'at_ms', or now if that has passed. */
void agenda_at(struct agenda *agenda, int64_t at_ms, agenda_fn fn, void *self, uint64_t arg);

/* Advances to the next item and runs it; false when there is none. */
bool agenda_step(struct agenda *agenda);

#endif
