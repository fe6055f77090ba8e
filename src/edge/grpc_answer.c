/* grpc_answer.c - the last words of a call. */
#include "core/pushback.h"
#include "edge/grpc_host.h"

void grpc_fail(struct grpc_call *call, enum err err, struct slice detail) {
    struct slice pushback = pushback_for(err);

    if (pushback.len)
        grpc_add_trailer(call, SLICE(PUSHBACK_FIELD), pushback);
    grpc_finish(call, (enum grpc_status)err_grpc(err),
                detail.len ? detail : slice_str(err_text(err)));
}

void grpc_reply(struct grpc_call *call, const struct buf *message) {
    if (buf_failed(message)) {
        grpc_fail(call, ERR_NO_MEMORY, (struct slice){NULL, 0});
        return;
    }
    grpc_send(call, buf_slice(message));
    grpc_finish(call, GRPC_OK, SLICE(""));
}
