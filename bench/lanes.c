/* lanes.c - what a message between gateway and counter costs to write and to read.
 *
 *     build/bench_lanes OPERATIONS MESSAGES
 *
 * One message of OPERATIONS increments (ids of a dozen bytes, every fourth with a key) and its
 * answers, MESSAGES times each way. Prints nanoseconds of processor time per operation.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "edge/lanes_codec.h"

#define ID_BYTES 32

struct load {
    struct message message;
    struct answer *answers;
    uint64_t rounds;
    struct buf request;
    struct buf response;
    struct arena arena;
};

static int64_t cpu_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void must(bool ok, const char *what) {
    if (ok)
        return;
    (void)fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static void make(struct load *load, size_t count) {
    char(*ids)[ID_BYTES] = calloc(count, ID_BYTES);
    struct op *ops = calloc(count, sizeof(*ops));

    load->answers = calloc(count, sizeof(*load->answers));
    must(ids && ops && load->answers, "memory");
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(ids[i], ID_BYTES, "article-%zu", i * 7919 % 100000);
        ops[i] = (struct op){OP_ADD, 1, slice_str(ids[i]), SLICE("like"), {NULL, 0}};
        if (i % 4 == 0)
            ops[i].key = SLICE("0b6f2b1e-8f1c-4a59-9d3a-5f5c7c1e2a10");
        load->answers[i] = (struct answer){ERR_OK, false, (int64_t)i * 1000, 1700000000000};
    }
    load->message = (struct message){{1, 2}, 123456, 1700000000000, ops, count};
    arena_init(&load->arena, 65536, 64u << 20);
}

static void write_apply(struct load *load) {
    buf_clear(&load->request);
    lanes_write_apply(&load->request, &load->message);
    must(!buf_failed(&load->request), "writing a request");
}

static void read_apply(struct load *load) {
    struct proto_problem problem;
    struct message message;

    arena_reset(&load->arena, SIZE_MAX);
    must(lanes_read_apply(buf_slice(&load->request), &load->arena, load->message.count, &message,
                          &problem) == ERR_OK,
         "reading a request");
}

static void write_answers(struct load *load) {
    buf_clear(&load->response);
    lanes_write_answers(&load->response, load->answers, load->message.count, 1700000000000);
    must(!buf_failed(&load->response), "writing a response");
}

static void read_answers(struct load *load) {
    struct proto_problem problem;
    int64_t now_ms;

    must(lanes_read_answers(buf_slice(&load->response), load->answers, load->message.count, &now_ms,
                            &problem) == ERR_OK,
         "reading a response");
}

static void run(struct load *load, const char *what, void (*step)(struct load *load)) {
    step(load); /* warm */
    int64_t began_ns = cpu_ns();
    for (uint64_t i = 0; i < load->rounds; i++)
        step(load);
    printf("%-16s %6.1f ns/operation\n", what,
           (double)(cpu_ns() - began_ns) / (double)(load->rounds * load->message.count));
}

int main(int argc, char **argv) {
    struct load load = {.rounds = argc == 3 ? strtoull(argv[2], NULL, 10) : 0};
    size_t count = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;

    if (count == 0 || load.rounds == 0) {
        (void)fprintf(stderr, "usage: bench_lanes OPERATIONS MESSAGES\n");
        return 64;
    }
    make(&load, count);
    run(&load, "write request", write_apply);
    run(&load, "read request", read_apply);
    run(&load, "write response", write_answers);
    run(&load, "read response", read_answers);
    printf("%zu and %zu bytes\n", load.request.len, load.response.len);
    return 0;
}
