/* prom.h - metrics as text for a Prometheus scrape.
 *
 * Text exposition format 0.0.4, or OpenMetrics 1.0: HELP and TYPE once for each
 * family, buckets cumulative, everything in base units (seconds, bytes).
 *
 * Threads    Any; the figures of one answer are each right, but not all of
 *            one instant.
 */
#ifndef WIRE_PROM_H
#define WIRE_PROM_H

#include "base/buf.h"
#include "base/metrics.h"
#include "base/slice.h"

enum prom_format { PROM_TEXT, PROM_OPENMETRICS };

/* OpenMetrics for whoever lists it in Accept, as Prometheus does; text for all others. */
enum prom_format prom_format_for(struct slice accept);

struct slice prom_content_type(enum prom_format format);

/* Figures of the process itself, the rows of prom.def. */
struct prom_process {
    double cpu_seconds;
    double open_fds;
    double max_fds;
    double virtual_memory_bytes;
    double resident_memory_bytes;
    double start_time_seconds; /* since the Unix epoch */
};

/* Appends the whole answer to a scrape: every family that has a series and the process_*
 * families; NULL for 'process': not those. Out of memory: buf_failed(out). */
void prom_render(struct metrics *metrics, const struct prom_process *process,
                 enum prom_format format, struct buf *out);

/* Appends name="value", escaped, after a comma if 'labels' isn't empty: makes
 * the text that metrics_series() takes. */
void prom_label(struct buf *labels, const char *name, struct slice value);

#endif
