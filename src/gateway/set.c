/* set.c - PUT and DELETE of a counter, on the admin listener: set and reset. */
#include "gateway/internal.h"

static void change(struct request *request, enum op_kind kind, int64_t value) {
    if (!request_key_required(request))
        return;
    call_start(request,
               &(struct op){.kind = kind,
                            .arg = value,
                            .resource_id = request->parts[0],
                            .counter_type = request->parts[1],
                            .key = request->key},
               call_reply_change);
}

void handle_set(struct request *request) {
    struct json_problem problem;
    int64_t value = 0;
    enum err err =
        json_read_value(request->http->body, http_arena(request->exchange), &value, &problem);

    if (request_readable(request, err, &problem))
        change(request, OP_SET, value);
}

void handle_delete(struct request *request) {
    change(request, OP_RESET, 0);
}
