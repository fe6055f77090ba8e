/* counter_name.h - how long a counter's name may be.
 *
 * Limits     COUNTER_NAME_MAX bytes, resource_id and counter_type together, for what changes the
 *            counter: that is an event, with the name twice in it, once as JSON (up to six bytes
 *            for one). Kafka takes messages of a megabyte, and one that it doesn't take would stand
 *            before all that come behind it. What only reads may name anything.
 */
#ifndef BASE_COUNTER_NAME_H
#define BASE_COUNTER_NAME_H

#define COUNTER_NAME_MAX 65536

#endif
