/* clients.h - the load: bursts and lulls of operations, retries of what has a key,
 * repeats and misuse of keys.
 */
#ifndef TESTS_SIM_CLIENTS_H
#define TESTS_SIM_CLIENTS_H

#include <stdbool.h>

struct world;
struct clients;

/* Begins at once. */
struct clients *clients_new(struct world *world);
void clients_free(struct clients *clients);

/* Every operation was asked for once. */
bool clients_begun(const struct clients *clients);

/* Every operation was asked for and every submission answered. */
bool clients_done(const struct clients *clients);

#endif
