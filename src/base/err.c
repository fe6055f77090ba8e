/* err.c - the error table as lookups. */
#include "base/err.h"

struct row {
    const char *name;
    const char *text;
    int http;
    int grpc;
    bool retryable;
};

static const struct row rows[ERR_COUNT] = {
#define ERR(name, http, grpc, retryable, sentence) {#name, sentence, http, grpc, retryable},
#include "base/err.def"
#undef ERR
};

static const struct row *row(enum err err) {
    return &rows[(unsigned)err < ERR_COUNT ? err : ERR_INTERNAL];
}

const char *err_name(enum err err) {
    return row(err)->name;
}

const char *err_text(enum err err) {
    return row(err)->text;
}

int err_http(enum err err) {
    return row(err)->http;
}

int err_grpc(enum err err) {
    return row(err)->grpc;
}

bool err_retryable(enum err err) {
    return row(err)->retryable;
}

enum err err_of_read(enum err err) {
    switch (err) {
    case ERR_UNKNOWN:
    case ERR_TOO_OLD:
        return ERR_UNREAD;
    case ERR_DEADLINE:
    case ERR_EXPIRED:
        return ERR_READ_LATE;
    default:
        return err;
    }
}
