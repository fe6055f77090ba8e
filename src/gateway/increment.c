/* increment.c - POST /api/v1/counter/increment. */
#include "gateway/internal.h"

void handle_increment(struct request *request) {
    struct json_problem problem;
    struct json_item item;
    enum err err =
        json_read_increment(request->http->body, http_arena(request->exchange), &item, &problem);

    if (!request_readable(request, err, &problem) || !request_key_required(request))
        return;
    call_start(request,
               &(struct op){.kind = OP_ADD,
                            .arg = item.delta,
                            .resource_id = item.resource_id,
                            .counter_type = item.counter_type,
                            .key = request->key},
               call_reply_change);
}
