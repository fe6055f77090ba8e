/* handover_codec.c - tables of fields: both messages are numbers and texts, and nothing inside. */
#include "edge/handover_codec.h"

#include <stddef.h>

#include "wire/proto_scan.h"
#include "wire/proto_write.h"

enum type { END, U32, U64, SIGNED, FIXED, BOOL, TEXT };

struct row { /* number: the place in the table, from 1 on */
    enum type type;
    size_t at;
};

#define FIELDS_MAX 13

#define IN(type, member)                                                                           \
    { type, offsetof(struct handover_request, member) }
#define OUT(type, member)                                                                          \
    { type, offsetof(struct handover_response, member) }

_Static_assert(sizeof(enum handover_kind) == sizeof(uint32_t), "an enum is read as a U32");

/* clang-format off */
static const struct row request_rows[FIELDS_MAX] = {
    IN(U32, kind), IN(U32, partition), IN(TEXT, peer), IN(U32, of), IN(U64, moves),
    IN(FIXED, store_id), IN(U32, lanes), IN(SIGNED, next), IN(FIXED, attempt), IN(TEXT, cursor),
    IN(TEXT, records),
};

static const struct row response_rows[FIELDS_MAX] = {
    OUT(U32, state), OUT(BOOL, reads), OUT(U64, moves), OUT(SIGNED, next), OUT(TEXT, name),
    OUT(U32, of), OUT(U32, lanes), OUT(FIXED, store_id), OUT(FIXED, attempt), OUT(TEXT, cursor),
    OUT(TEXT, records), OUT(BOOL, again),
};
/* clang-format on */

/* ---- out ---- */

static struct slice text_of(const struct row *row, const void *message) {
    struct slice text;

    memcpy(&text, (const char *)message + row->at, sizeof(text));
    return text;
}

static int64_t number_of(const struct row *row, const void *message) {
    const char *at = (const char *)message + row->at;
    uint32_t narrow;
    int64_t wide;
    bool flag;

    if (row->type == BOOL) {
        memcpy(&flag, at, sizeof(flag));
        return flag;
    }
    if (row->type == U32) {
        memcpy(&narrow, at, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, at, sizeof(wide));
    return row->type == SIGNED ? proto_zigzag(wide) : wide;
}

static size_t size_of(const struct row *row, const void *message) {
    if (row->type == TEXT)
        return proto_text_size(text_of(row, message));
    return row->type == FIXED ? proto_fixed64_size((uint64_t)number_of(row, message))
                              : proto_number_size(number_of(row, message));
}

static char *put(char *p, unsigned field, const struct row *row, const void *message) {
    if (row->type == TEXT)
        return proto_put_text(p, field, text_of(row, message));
    return row->type == FIXED ? proto_put_fixed64(p, field, (uint64_t)number_of(row, message))
                              : proto_put_number(p, field, number_of(row, message));
}

static void write(struct buf *out, const struct row *rows, const void *message) {
    size_t size = 0;

    for (unsigned i = 0; rows[i].type != END; i++)
        size += size_of(&rows[i], message);
    buf_clear(out);
    if (!buf_reserve(out, size))
        return;
    char *p = out->ptr;
    for (unsigned i = 0; rows[i].type != END; i++)
        p = put(p, i + 1, &rows[i], message);
    out->len = size;
}

void handover_write_request(struct buf *out, const struct handover_request *request) {
    write(out, request_rows, request);
}

void handover_write_response(struct buf *out, const struct handover_response *response) {
    write(out, response_rows, response);
}

/* ---- in ---- */

static bool take(const struct row *row, const struct proto_field *field, void *message) {
    static const enum proto_wire_type wires[] = {
        [U32] = PROTO_VARINT,  [U64] = PROTO_VARINT,    [SIGNED] = PROTO_VARINT,
        [BOOL] = PROTO_VARINT, [FIXED] = PROTO_FIXED64, [TEXT] = PROTO_LENGTH,
    };
    char *at = (char *)message + row->at;

    if (field->type != wires[row->type])
        return false;
    if (row->type == TEXT) {
        memcpy(at, &field->bytes, sizeof(field->bytes));
        return true;
    }
    int64_t wide = row->type == SIGNED ? proto_unzigzag(field->value) : (int64_t)field->value;
    uint32_t narrow = (uint32_t)field->value;
    bool flag = field->value != 0;
    if (row->type == BOOL)
        memcpy(at, &flag, sizeof(flag));
    else if (row->type == U32)
        memcpy(at, &narrow, sizeof(narrow));
    else
        memcpy(at, &wide, sizeof(wide));
    return row->type != U32 || field->value <= UINT32_MAX;
}

static enum err read(struct slice bytes, const struct row *rows, unsigned count, void *message) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field = {.value = 0};

    while (proto_scan_next(&scan, &field))
        if (field.number <= count && rows[field.number - 1].type != END &&
            !take(&rows[field.number - 1], &field, message))
            return ERR_INVALID;
    return scan.bad ? ERR_INVALID : ERR_OK;
}

enum err handover_read_request(struct slice bytes, struct handover_request *out) {
    struct handover_request request = {.kind = HANDOVER_LOOK};
    enum err err = read(bytes, request_rows, FIELDS_MAX, &request);

    if (err == ERR_OK && request.kind >= HANDOVER_KINDS)
        err = ERR_INVALID;
    if (err == ERR_OK)
        *out = request;
    return err;
}

enum err handover_read_response(struct slice bytes, struct handover_response *out) {
    struct handover_response response = {.state = PARTITION_UNMOVED};
    enum err err = read(bytes, response_rows, FIELDS_MAX, &response);

    if (err == ERR_OK && response.state > PARTITION_READY)
        err = ERR_INVALID;
    if (err == ERR_OK)
        *out = response;
    return err;
}
