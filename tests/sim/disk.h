/* disk.h - the simulated store with a commit that fails when its turn comes.
 *
 * In front of sim_kv, which can only fail the very next one: a group that is
 * written in more than one piece has to be cut between them too.
 *
 * Threads    One.
 * Ownership  Owns the sim_kv.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "core/kv.h"
#include "rng.h"
#include "sim_kv.h"

struct disk {
    struct kv kv;
    struct sim_kv *sim;
    struct rng *rng;  /* says whether a failed commit was written nevertheless */
    unsigned fail_in; /* the commit that fails, counting from 1; 0: none */
};

void disk_init(struct disk *disk, struct rng *rng);
void disk_release(struct disk *disk);

#endif
