/* prom.c - the text exposition format, line by line.
 * Source: prometheus.io/docs/instrumenting/exposition_formats. */
#include "wire/prom.h"

#include <inttypes.h>

#define US_PER_S 1000000u

struct render {
    const struct metrics *metrics;
    struct buf *out;
    int family; /* the last one that got its HELP and TYPE; -1: none yet */
};

static const char *const type_names[] = {
    [METRIC_COUNTER] = "counter",
    [METRIC_GAUGE] = "gauge",
    [METRIC_HISTOGRAM] = "histogram",
};

/* A line feed would end the line, a quote the label: both are escaped, as is
 * the backslash that does it. Help texts keep their quotes. */
static void put_escaped(struct buf *out, struct slice text, bool quotes) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\n')
            buf_add_str(out, "\\n");
        else if (c == '\\' || (c == '"' && quotes))
            buf_add(out, (const char[]){'\\', c}, 2);
        else
            buf_add_char(out, c);
    }
}

void prom_label(struct buf *labels, const char *name, struct slice value) {
    if (labels->len)
        buf_add_char(labels, ',');
    buf_add_str(labels, name);
    buf_add_str(labels, "=\"");
    put_escaped(labels, value, true);
    buf_add_char(labels, '"');
}

static void put_head(struct buf *out, const char *name, const char *help, const char *type) {
    buf_add_str(out, "# HELP ");
    buf_add_str(out, name);
    buf_add_char(out, ' ');
    put_escaped(out, slice_str(help), false);
    buf_printf(out, "\n# TYPE %s %s\n", name, type);
}

/* Microseconds as seconds, exactly: 1500000 is "1.5". */
static void put_seconds(struct buf *out, uint64_t us) {
    uint64_t rest = us % US_PER_S;
    int digits = 6;

    buf_add_u64(out, us / US_PER_S);
    if (rest == 0)
        return;
    for (; rest % 10 == 0; rest /= 10)
        digits--;
    buf_printf(out, ".%0*" PRIu64, digits, rest);
}

static void put_scaled(struct buf *out, enum metric_unit unit, uint64_t value) {
    if (unit == UNIT_SECONDS_FROM_US)
        put_seconds(out, value);
    else
        buf_add_u64(out, value);
}

/* "name_suffix{labels" with the brace still open, or "name_suffix". */
static void put_name(struct buf *out, const char *name, const char *suffix, const char *labels) {
    buf_add_str(out, name);
    buf_add_str(out, suffix);
    if (*labels)
        buf_printf(out, "{%s}", labels);
    buf_add_char(out, ' ');
}

static void put_bucket(struct buf *out, const struct metric_family *family, const char *labels,
                       unsigned i, uint64_t below) {
    buf_printf(out, "%s_bucket{%s%sle=\"", family->name, labels, *labels ? "," : "");
    if (i < METRICS_BUCKETS)
        put_scaled(out, family->unit, metrics_bound(i));
    else
        buf_add_str(out, "+Inf");
    buf_printf(out, "\"} %" PRIu64 "\n", below);
}

static void put_histogram(struct render *render, const struct metric_family *family,
                          metric_series series, const char *labels) {
    struct buf *out = render->out;
    struct metric_histogram histogram;
    uint64_t below = 0;

    metrics_histogram(render->metrics, series, &histogram);
    for (unsigned i = 0; i <= METRICS_BUCKETS; i++) {
        below += histogram.buckets[i];
        put_bucket(out, family, labels, i, below);
    }
    put_name(out, family->name, "_sum", labels);
    put_scaled(out, family->unit, histogram.sum);
    buf_add_char(out, '\n');
    put_name(out, family->name, "_count", labels);
    buf_add_u64(out, histogram.count);
    buf_add_char(out, '\n');
}

static void put_number(struct render *render, const struct metric_family *family,
                       metric_series series, const char *labels) {
    uint64_t value = metrics_sum(render->metrics, series);

    put_name(render->out, family->name, "", labels);
    /* A gauge's shards may cancel out below zero for a moment. */
    if (family->type == METRIC_GAUGE)
        buf_add_i64(render->out, (int64_t)value);
    else
        put_scaled(render->out, family->unit, value);
    buf_add_char(render->out, '\n');
}

static void put_series(void *ctx, enum metric id, metric_series series, const char *labels) {
    struct render *render = ctx;
    const struct metric_family *family = metric_family(id);

    if (render->family != (int)id)
        put_head(render->out, family->name, family->help, type_names[family->type]);
    render->family = (int)id;
    if (family->type == METRIC_HISTOGRAM)
        put_histogram(render, family, series, labels);
    else
        put_number(render, family, series, labels);
}

void prom_render(const struct metrics *metrics, struct buf *out) {
    struct render render = {.metrics = metrics, .out = out, .family = -1};

    metrics_each(metrics, put_series, &render);
}

void prom_render_process(const struct prom_process *process, struct buf *out) {
#define PROCESS(field, type, name, help)                                                           \
    put_head(out, name, help, type);                                                               \
    buf_printf(out, "%s %.15g\n", name, process->field);
#include "wire/prom.def"
#undef PROCESS
}
