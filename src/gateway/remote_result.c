/* remote_result.c - from a gRPC status to what the batcher may conclude.
 *
 *     answers                        ERR_OK
 *     trailer hgp-error              the counter's own error; hgp-not-applied is its word for it
 *     never processed                ERR_UNAVAILABLE, not applied: HTTP/2 guarantees it
 *     anything else                  ERR_UNAVAILABLE, and nobody knows
 *
 * Only our own counter's trailers are believed: whoever else answers with a status (a proxy, a
 * dying connection) can't know what has become of the message.
 */
#include "base/log.h"
#include "gateway/remote_internal.h"

static void log_failure(struct remote_call *call, enum grpc_status status, struct slice detail) {
    struct remote *remote = call->remote;

    if (!log_budget_take(&remote->log, loop_now_ms(remote->loop)))
        return;
    log_line(LOG_WARN, "a message to a counter failed",
             LOG_STR("counter", remote_fleet_address(remote->fleet, call->peer)),
             LOG_STR("status", remote_status_name(status)),
             LOG_STR("error", err_name(call->delivery->err)), LOG_SLICE("detail", detail),
             LOG_TRACE(call->delivery->trace), LOG_INT("attempt", call->delivery->attempt),
             LOG_INT("suppressed", log_budget_suppressed(&remote->log)));
}

static bool read_answers(struct remote_call *call, struct slice response) {
    struct delivery *delivery = call->delivery;
    struct proto_problem problem;
    enum err err = lanes_read_answers(response, delivery->answers, delivery->message->count,
                                      &delivery->store_now_ms, &problem);

    if (err == ERR_OK) {
        delivery->err = ERR_OK;
        return true;
    }
    delivery->err = ERR_UNAVAILABLE;
    log_failure(call, GRPC_OK, slice_str(problem.text));
    return false;
}

bool remote_result(struct remote_call *call, const struct grpc_result *result) {
    struct delivery *delivery = call->delivery;

    if (result->status == GRPC_OK)
        return !read_answers(call, result->response);
    bool ours = result->error.len > 0;

    delivery->err = ours ? lanes_error_named(result->error) : ERR_UNAVAILABLE;
    delivery->pushback = result->pushback;
    delivery->not_applied = result->not_processed || (ours && result->not_applied);
    log_failure(call, result->status, result->message);
    return !ours && !result->not_processed;
}
