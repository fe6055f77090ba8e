/* openapi.c - GET /openapi.json: the description of this API. */
#include "gateway/openapi.h"

#include "gateway/internal.h"

void handle_openapi(struct request *request) {
    http_reply(request->exchange,
               &(struct http_reply){.status = 200,
                                    .content_type = SLICE("application/json; charset=utf-8"),
                                    .headers = SLICE("Cache-Control: no-cache\r\n"),
                                    .body = openapi_json});
}
