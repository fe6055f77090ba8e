/* stream_query.c */
#include "gateway/stream_query.h"

#include "wire/uri.h"

static const char *const malformed =
    "counter: must be resource_id/counter_type, a '/' inside one of them as %2F";

static bool split(struct slice text, struct slice *out_id, struct slice *out_type) {
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;

    if (!slash)
        return false;
    *out_id = slice_of(text.ptr, (size_t)(slash - text.ptr));
    *out_type = slice_skip(text, out_id->len + 1);
    return out_id->len && out_type->len && !memchr(out_type->ptr, '/', out_type->len);
}

/* The '/' of the URL separates, each part is decoded; where there is none, because whoever made the
 * query has escaped it as well (URLSearchParams does), the value is decoded first. */
static enum err read_counter(struct slice value, struct arena *arena, struct stream_counter *out,
                             const char **out_detail) {
    struct slice *id = &out->resource_id;
    struct slice *type = &out->counter_type;
    bool raw = value.len && memchr(value.ptr, '/', value.len);
    enum err err = raw ? ERR_OK : uri_decode_query(value, arena, &value, out_detail);

    if (err == ERR_OK && !split(value, id, type)) {
        *out_detail = malformed;
        return ERR_INVALID;
    }
    if (err == ERR_OK && raw)
        err = uri_decode_query(*id, arena, id, out_detail);
    if (err == ERR_OK && raw)
        err = uri_decode_query(*type, arena, type, out_detail);
    return err;
}

static size_t count_counters(struct slice query) {
    struct slice name;
    struct slice value;
    size_t count = 0;

    while (uri_next_pair(&query, &name, &value))
        count += slice_eq(name, SLICE("counter"));
    return count;
}

static enum err read_other(struct slice name, struct slice value, struct arena *arena,
                           struct stream_params *out, const char **out_detail) {
    enum err err = uri_decode_query(value, arena, &value, out_detail);

    if (err != ERR_OK)
        return err;
    if (slice_eq(name, SLICE("top"))) {
        out->ranks = true;
        out->top.counter_type = value;
        *out_detail = value.len ? NULL : "top: must be a counter_type";
    } else if (slice_eq(name, SLICE("time_range")) || slice_eq(name, SLICE("limit"))) {
        *out_detail = analytics_read_param(name, value, true, &out->top);
    }
    return *out_detail ? ERR_INVALID : ERR_OK;
}

enum err stream_read_params(struct slice query, size_t counters_max, struct arena *arena,
                            struct stream_params *out, const char **out_detail) {
    struct stream_params params = {.top = ANALYTICS_DEFAULTS};
    size_t count = count_counters(query);
    struct slice name;
    struct slice value;
    enum err err = ERR_OK;

    *out_detail = count > counters_max ? "counter: more than stream.counters of them" : NULL;
    if (*out_detail)
        return ERR_INVALID;
    params.counters = arena_alloc(arena, (count + 1) * sizeof(*params.counters));
    if (!params.counters)
        return ERR_NO_MEMORY;
    while (err == ERR_OK && uri_next_pair(&query, &name, &value)) {
        if (slice_eq(name, SLICE("counter")))
            err = read_counter(value, arena, &params.counters[params.count++], out_detail);
        else
            err = read_other(name, value, arena, &params, out_detail);
    }
    if (err == ERR_OK && !params.count && !params.ranks) {
        *out_detail = "counter: at least one, or top, is required";
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        *out = params;
    return err;
}
