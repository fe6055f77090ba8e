/* recount.c - POST and GET /api/v1/analytics/recount, on the admin listener: begin, look. */
#include "gateway/internal.h"

static void reply_status(struct request *request) {
    static const char *const states[] = {[GATEWAY_RECOUNT_NONE] = "none",
                                         [GATEWAY_RECOUNT_RUNNING] = "running",
                                         [GATEWAY_RECOUNT_DONE] = "done",
                                         [GATEWAY_RECOUNT_FAILED] = "failed"};
    const struct gateway_recount *recount = &request->gateway->fleet->recount;
    struct buf *body = http_body(request->exchange);
    struct gateway_recount_status status;

    recount->status(recount->ctx, &status);
    buf_printf(body, "{\"data\":{\"state\":\"%s\",\"phase\":", states[status.state]);
    json_add_string(body, slice_str(status.phase));
    buf_printf(body,
               ",\"events\":%llu,\"values\":%llu,\"detail\":", (unsigned long long)status.events,
               (unsigned long long)status.values);
    json_add_string(body, slice_str(status.detail));
    buf_add_slice(body, SLICE("},\"status\":\"success\"}"));
    reply_json(request->exchange, 200, body, SLICE(""));
}

static bool has_recount(struct request *request) {
    if (request->gateway->fleet->recount.ctx)
        return true;
    reply_problem(request->exchange, ERR_NOT_IMPL, SLICE("analytics doesn't run in this process"),
                  SLICE(""));
    return false;
}

void handle_recount(struct request *request) {
    const struct gateway_recount *recount = &request->gateway->fleet->recount;
    const char *detail = NULL;

    if (!has_recount(request))
        return;
    enum err err = recount->begin(recount->ctx, &detail);
    if (err == ERR_OK)
        reply_status(request);
    else
        reply_problem(request->exchange, err, slice_str(detail ? detail : ""), SLICE(""));
}

void handle_recount_status(struct request *request) {
    if (has_recount(request))
        reply_status(request);
}
