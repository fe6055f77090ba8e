/* relays.h - relay processes: the product's core/relay.h between a feed over Redis and Kafka.
 *
 *     READ, touch, WAIT on one connection ─► events ─► relay ─► kafka.h
 *                                          reports ◄──┘
 *
 * Several of them ship the same lanes: a lease is liveness only, so there is none here. They die,
 * lose their connection, and their producers break.
 */
#ifndef TESTS_SIM_RELAYS_H
#define TESTS_SIM_RELAYS_H

#include <stdbool.h>

struct world;
struct relays;

struct relays *relays_new(struct world *world);
void relays_free(struct relays *relays);

/* When nothing else happens any more: true if there is still something to ship, and they go on. */
bool relays_go_on(struct relays *relays);

#endif
