/* health_proto.c - one name in, one number out. */
#include "wire/health_proto.h"

#include "health.pb-c.h"
#include "wire/proto_unpack.h"
#include "wire/proto_write.h"

enum { STATUS = 1 };

enum err health_read_request(struct slice message, struct arena *arena, struct slice *out_service) {
    Grpc__Health__V1__HealthCheckRequest *request;
    enum err err =
        proto_unpack(&grpc__health__v1__health_check_request__descriptor, message, arena, &request);

    if (err != ERR_OK)
        return err;
    if (!proto_is_text(proto_slice(request->service)))
        return ERR_INVALID;
    *out_service = proto_slice(request->service);
    return ERR_OK;
}

void health_write_response(struct buf *out, enum health_status status) {
    if (!buf_reserve(out, proto_number_size(status)))
        return;
    out->len = (size_t)(proto_put_number(out->ptr + out->len, STATUS, status) - out->ptr);
}
