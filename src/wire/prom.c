/* prom.c - the text exposition formats, line by line.
 * Sources: prometheus.io/docs/instrumenting/exposition_formats, OpenMetrics 1.0.
 *
 * OpenMetrics differs in six places: a counter's family goes without the _total of its samples,
 * UNIT lines, the bounds of buckets, their exemplars, the content type and EOF at the end. */
#include "wire/prom.h"

#include <inttypes.h>
#include <string.h>

#define US_PER_S 1000000u

struct render {
    struct metrics *metrics;
    struct buf *out;
    enum prom_format format;
    int family; /* the last one that got its HELP and TYPE; -1: none yet */
};

static const char *const type_names[] = {
    [METRIC_COUNTER] = "counter",
    [METRIC_GAUGE] = "gauge",
    [METRIC_HISTOGRAM] = "histogram",
};

static const char *const unit_names[] = {
    [UNIT_ONE] = "",
    [UNIT_BYTES] = "bytes",
    [UNIT_SECONDS_FROM_US] = "seconds",
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

static bool open_metrics(const struct render *render) {
    return render->format == PROM_OPENMETRICS;
}

/* "# WHAT family " */
static void put_meta(const struct render *render, const char *what, const char *name,
                     enum metric_type type) {
    size_t len = strlen(name);

    if (open_metrics(render) && type == METRIC_COUNTER)
        len -= strlen("_total");
    buf_printf(render->out, "# %s %.*s ", what, (int)len, name);
}

static void put_head(const struct render *render, const char *name, const char *help,
                     enum metric_type type, const char *unit) {
    struct buf *out = render->out;

    put_meta(render, "HELP", name, type);
    put_escaped(out, slice_str(help), false);
    buf_add_char(out, '\n');
    put_meta(render, "TYPE", name, type);
    buf_printf(out, "%s\n", type_names[type]);
    if (!open_metrics(render) || !*unit)
        return;
    put_meta(render, "UNIT", name, type);
    buf_printf(out, "%s\n", unit);
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

/* A gauge's shards may cancel out below zero for a moment. */
static void put_signed(struct buf *out, enum metric_unit unit, int64_t value) {
    if (value < 0)
        buf_add_char(out, '-');
    put_scaled(out, unit, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

/* Floats as all OpenMetrics exposers write them: le is a label, so that another spelling of the
 * same bound would be another series. Exact for every bound: a power of two, of at most 7 digits.
 */
static void put_canonical(struct buf *out, enum metric_unit unit, uint64_t bound) {
    double value = unit == UNIT_SECONDS_FROM_US ? (double)bound / US_PER_S : (double)bound;

    if (value >= 1e6)
        buf_printf(out, "%.6e", value);
    else if (value >= 1 && unit != UNIT_SECONDS_FROM_US)
        buf_printf(out, "%.1f", value);
    else
        buf_printf(out, "%.15g", value);
}

static void put_hex(struct buf *out, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%02x", bytes[i]);
}

/* Which request was the last in this bucket, how long it took and when. */
static void put_exemplar(const struct render *render, const struct metric_family *family,
                         metric_series series, unsigned i) {
    struct buf *out = render->out;
    struct exemplar exemplar;

    if (!metrics_exemplar_of(render->metrics, series, i, &exemplar))
        return;
    buf_add_str(out, " # {trace_id=\"");
    put_hex(out, exemplar.trace_id, sizeof(exemplar.trace_id));
    buf_add_str(out, "\",span_id=\"");
    put_hex(out, exemplar.span_id, sizeof(exemplar.span_id));
    buf_add_str(out, "\"} ");
    put_scaled(out, family->unit, exemplar.value);
    buf_add_char(out, ' ');
    put_seconds(out, (uint64_t)exemplar.at_ms * 1000);
}

/* "name_suffix{labels" with the brace still open, or "name_suffix". */
static void put_name(struct buf *out, const char *name, const char *suffix, const char *labels) {
    buf_add_str(out, name);
    buf_add_str(out, suffix);
    if (*labels)
        buf_printf(out, "{%s}", labels);
    buf_add_char(out, ' ');
}

static void put_bucket(const struct render *render, const struct metric_family *family,
                       metric_series series, const char *labels, unsigned i, uint64_t below) {
    struct buf *out = render->out;

    buf_printf(out, "%s_bucket{%s%sle=\"", family->name, labels, *labels ? "," : "");
    if (i == METRICS_BUCKETS)
        buf_add_str(out, "+Inf");
    else if (open_metrics(render))
        put_canonical(out, family->unit, metrics_bound(i));
    else
        put_scaled(out, family->unit, metrics_bound(i));
    buf_printf(out, "\"} %" PRIu64, below);
    if (open_metrics(render))
        put_exemplar(render, family, series, i);
    buf_add_char(out, '\n');
}

static void put_histogram(struct render *render, const struct metric_family *family,
                          metric_series series, const char *labels) {
    struct buf *out = render->out;
    struct metric_histogram histogram;
    uint64_t below = 0;

    metrics_histogram(render->metrics, series, &histogram);
    for (unsigned i = 0; i <= METRICS_BUCKETS; i++) {
        below += histogram.buckets[i];
        put_bucket(render, family, series, labels, i, below);
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
    if (family->type == METRIC_GAUGE)
        put_signed(render->out, family->unit, (int64_t)value);
    else
        put_scaled(render->out, family->unit, value);
    buf_add_char(render->out, '\n');
}

static void put_series(void *ctx, enum metric id, metric_series series, const char *labels) {
    struct render *render = ctx;
    const struct metric_family *family = metric_family(id);

    if (render->family != (int)id)
        put_head(render, family->name, family->help, family->type, unit_names[family->unit]);
    render->family = (int)id;
    if (family->type == METRIC_HISTOGRAM)
        put_histogram(render, family, series, labels);
    else
        put_number(render, family, series, labels);
}

static void put_process(const struct render *render, const struct prom_process *process) {
#define PROCESS(field, type, name, help)                                                           \
    put_head(render, name, help, type, "");                                                        \
    buf_printf(render->out, "%s %.15g\n", name, process->field);
#include "wire/prom.def"
#undef PROCESS
}

void prom_render(struct metrics *metrics, const struct prom_process *process,
                 enum prom_format format, struct buf *out) {
    struct render render = {.metrics = metrics, .out = out, .format = format, .family = -1};

    metrics_each(metrics, put_series, &render);
    if (process)
        put_process(&render, process);
    if (open_metrics(&render))
        buf_add_str(out, "# EOF\n");
}

/* Whoever lists it can read it, and it says more than the text: no need to weigh q values. */
enum prom_format prom_format_for(struct slice accept) {
    static const char type[] = "application/openmetrics-text";
    bool listed = accept.len && memmem(accept.ptr, accept.len, type, strlen(type));

    return listed ? PROM_OPENMETRICS : PROM_TEXT;
}

struct slice prom_content_type(enum prom_format format) {
    return format == PROM_OPENMETRICS
               ? SLICE("application/openmetrics-text; version=1.0.0; charset=utf-8")
               : SLICE("text/plain; version=0.0.4; charset=utf-8");
}
