/* job.h - a message in the store's hands, whichever way it came there. */
#ifndef TESTS_SIM_JOB_H
#define TESTS_SIM_JOB_H

#include "core/message.h"
#include "history.h"

struct job;

struct job_ways {
    /* Applied and committed. Copies the answers. */
    void (*reply)(struct job *job, const struct answer *answers, const struct facts *facts);
    /* The store is gone, or goes: nobody knows. */
    void (*fail)(struct job *job);
    /* Surely not applied. */
    void (*refuse)(struct job *job);
    /* The store's last word. */
    void (*release)(struct job *job);
};

struct job {
    const struct job_ways *ways;
    const struct message *message;
    unsigned gateway_index; /* for the timeline */
};

#endif
