/* core_property.h - random histories on the applier and on the model, compared.
 *
 * A seed decides everything: number of lanes, coalescing, cache size, messages, duplicates,
 * groups, the clocks (steps of the wall clock included), tidying, restarts, and kills with a group
 * open.
 */
#ifndef TESTS_UNIT_CORE_PROPERTY_H
#define TESTS_UNIT_CORE_PROPERTY_H

#include <stdint.h>

/* NULL when applier and model agree, else what differs (until the next call). */
const char *core_property_run(uint64_t seed);

#endif
