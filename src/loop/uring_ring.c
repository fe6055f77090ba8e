/* uring_ring.c - from the newest set of flags down to what the kernel takes. */
#include "loop/uring_ring.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROBE_TIMEOUT_S 1

#define SHELF_BYTES   (URING_BUFFERS * sizeof(struct io_uring_buf))
#define BUFFERS_BYTES ((size_t)URING_BUFFERS * URING_BUFFER_BYTES)

static enum err translate(int err_no) {
    return err_no == ENOMEM || err_no == EMFILE || err_no == ENFILE ? ERR_NO_MEMORY
                                                                    : ERR_UNAVAILABLE;
}

/* SUBMIT_ALL always: one operation refused at submission must not hold back
 * the ones behind it. TASKRUN_FLAG: a look into memory tells of completions. */
static int open_ring(struct io_uring *ring) {
    static const unsigned flags[] = {
        /* 6.1: completions are worked off when we ask for them, in a batch. */
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        /* 6.0 and 5.19: at least no interrupt for each. */
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
    };
    int ret = -EINVAL;

    for (size_t i = 0; i < ARRAY_LEN(flags) && ret == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = flags[i] | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                     IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = URING_CQ_ENTRIES,
        };

        ret = io_uring_queue_init_params(URING_SQ_ENTRIES, ring, &params);
    }
    return ret;
}

/* Faulted in now: a fresh page costs more than the request that lands on it. */
static void *map(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static int fill_shelf(struct uring_ring *r) {
    struct io_uring_buf_reg reg = {.ring_entries = URING_BUFFERS, .bgid = URING_BUFFER_GROUP};
    int ret;

    r->shelf = map(SHELF_BYTES);
    r->bytes = map(BUFFERS_BYTES);
    if (!r->shelf || !r->bytes)
        return -ENOMEM;
    reg.ring_addr = (unsigned long)r->shelf;
    ret = io_uring_register_buf_ring(&r->ring, &reg, 0);
    if (ret < 0)
        return ret;
    io_uring_buf_ring_init(r->shelf);
    for (unsigned id = 0; id < URING_BUFFERS; id++)
        uring_recycle(r, id);
    uring_publish(r);
    return 0;
}

static bool has_operations(struct io_uring *ring) {
    static const int needed[] = {IORING_OP_ACCEPT, IORING_OP_RECV, IORING_OP_SEND,
                                 IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool all = probe != NULL;

    for (size_t i = 0; all && i < ARRAY_LEN(needed); i++)
        all = io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    return all;
}

/* The next completion must have 'res' and these flags. */
static bool expect(struct uring_ring *r, int res, unsigned flags) {
    struct __kernel_timespec ts = {.tv_sec = PROBE_TIMEOUT_S};
    struct io_uring_cqe *cqe = NULL;
    bool as_expected;

    io_uring_submit_and_wait_timeout(&r->ring, &cqe, 1, &ts, NULL);
    if (!cqe)
        return false;
    as_expected = cqe->res == res && (cqe->flags & flags) == flags;
    if (cqe->flags & IORING_CQE_F_BUFFER)
        uring_recycle(r, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    uring_publish(r);
    io_uring_cqe_seen(&r->ring, cqe);
    return as_expected;
}

/* Flags and versions say little about multishot receives (6.0, and backports):
 * do one, on a socket pair. */
static bool receives(struct uring_ring *r) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
    int pair[2];
    bool ok;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    io_uring_prep_recv_multishot(sqe, pair[0], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = URING_BUFFER_GROUP;
    ok = send(pair[1], "?", 1, MSG_NOSIGNAL) == 1 &&
         expect(r, 1, IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
    close(pair[1]);
    ok = ok && expect(r, 0, 0);
    close(pair[0]);
    return ok;
}

enum err uring_setup(struct uring_ring *r) {
    int ret;

    memset(r, 0, sizeof(*r));
    ret = open_ring(&r->ring);
    if (ret < 0)
        return translate(-ret);
    ret = fill_shelf(r);
    if (ret == 0 && !(has_operations(&r->ring) && receives(r)))
        ret = -EOPNOTSUPP;
    if (ret < 0) {
        uring_release(r);
        return translate(-ret);
    }
    io_uring_register_ring_fd(&r->ring); /* saves a look-up for each enter; may refuse */
    return ERR_OK;
}

void uring_release(struct uring_ring *r) {
    io_uring_queue_exit(&r->ring); /* first: it stops who writes into the rest */
    if (r->shelf)
        munmap(r->shelf, SHELF_BYTES);
    if (r->bytes)
        munmap(r->bytes, BUFFERS_BYTES);
}
