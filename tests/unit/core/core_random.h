/* core_random.h - random messages in a model's terms: edges of int64, keys, mixed kinds,
 * duplicates, jumps in numbers, issue times at the limits of age.
 *
 * Threads    Plain functions; the state is the seed's whole future.
 */
#ifndef TESTS_UNIT_CORE_RANDOM_H
#define TESTS_UNIT_CORE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#include "counter_model.h"

extern const char *const model_key_names[MODEL_KEYS];

uint64_t random_roll(uint64_t *state, uint64_t below);
bool random_chance(uint64_t *state, unsigned percent);

/* A new message in model->messages, or an earlier one again: its number there. 'clock_ms' is the
 * store's. */
int random_message(uint64_t *state, struct model *model, int64_t clock_ms);

#endif
