/* handover_front.c - a call becomes mail to the service's thread, and comes back with its answer.
 */
#include <stdlib.h>

#include "analytics/handover.h"
#include "analytics/internal.h"

struct handover_front {
    struct analytics_service *service;
    struct mailbox *home;
};

struct errand {
    struct mail mail;
    struct handover_front *front;
    struct grpc_call *call;
    struct handover_request request;
    struct buf answer;
    const char *detail;
    enum err err;
};

static const struct slice paths[] = {{HANDOVER_STEP_PATH, sizeof(HANDOVER_STEP_PATH) - 1}};

static void errand_free(struct errand *errand) {
    buf_release(&errand->answer);
    free(errand);
}

static void drop(struct mail *mail) {
    errand_free(CONTAINER_OF(mail, struct errand, mail));
}

static void run_back(struct mail *mail) {
    struct errand *errand = CONTAINER_OF(mail, struct errand, mail);

    if (errand->err == ERR_OK)
        grpc_reply(errand->call, &errand->answer);
    else
        grpc_fail(errand->call, errand->err, slice_str(errand->detail));
    errand_free(errand);
}

static void run_there(struct mail *mail) {
    struct errand *errand = CONTAINER_OF(mail, struct errand, mail);

    errand->err = analytics_handover_step(errand->front->service, &errand->request, &errand->answer,
                                          &errand->detail);
    mail->run = run_back;
    if (mailbox_send(errand->front->home, mail) != ERR_OK)
        abort(); /* one call at a time is what anybody needs; a loop's mailbox has room for many */
}

static enum err read_step(struct errand *errand, struct slice message) {
    /* A handler's bytes are borrowed, and the step needs them for longer. */
    struct slice copy = arena_copy(grpc_arena(errand->call), message);

    if (message.len && !copy.ptr)
        return ERR_NO_MEMORY;
    return handover_read_request(copy, &errand->request);
}

static void on_step(void *ctx, struct grpc_call *call, struct slice message) {
    struct handover_front *front = ctx;
    struct errand *errand = calloc(1, sizeof(*errand));
    enum err err = ERR_NO_MEMORY;

    if (errand) {
        *errand = (struct errand){
            .mail = {.run = run_there, .drop = drop}, .front = front, .call = call, .detail = ""};
        err = read_step(errand, message);
    }
    if (err == ERR_OK)
        err = mailbox_send(loop_mailbox(front->service->loop), &errand->mail);
    if (err == ERR_OK)
        return;
    free(errand);
    grpc_fail(call, err, SLICE(""));
}

const struct slice *handover_front_paths(size_t *out_count) {
    *out_count = ARRAY_LEN(paths);
    return paths;
}

void handover_front_service(struct handover_front *front, struct grpc_service *out) {
    *out = (struct grpc_service){
        .name = SLICE(HANDOVER_SERVICE),
        .internal = true,
        .methods = {{.path = paths[0], .handle = on_step, .ctx = front}},
        .method_count = 1,
    };
}

struct handover_front *handover_front_new(struct analytics_service *service, struct mailbox *home) {
    struct handover_front *front = calloc(1, sizeof(*front));

    if (front)
        *front = (struct handover_front){service, home};
    return front;
}

void handover_front_free(struct handover_front *front) {
    free(front);
}
