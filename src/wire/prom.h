/* prom.h - metrics as text for a Prometheus scrape.
 *
 * Text exposition format 0.0.4: HELP and TYPE once for each family, buckets
 * cumulative, everything in base units (seconds, bytes).
 *
 * Threads    Any; the figures of one answer are each right, but not all of
 *            one instant.
 */
#ifndef WIRE_PROM_H
#define WIRE_PROM_H

#include "base/buf.h"
#include "base/metrics.h"
#include "base/slice.h"

#define PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Figures of the process itself, the rows of prom.def. */
struct prom_process {
    double cpu_seconds;
    double open_fds;
    double max_fds;
    double virtual_memory_bytes;
    double resident_memory_bytes;
    double start_time_seconds; /* since the Unix epoch */
};

/* Appends every family that has a series. Out of memory: buf_failed(out). */
void prom_render(const struct metrics *metrics, struct buf *out);

/* Appends the process_* families. */
void prom_render_process(const struct prom_process *process, struct buf *out);

/* Appends name="value", escaped, after a comma if 'labels' isn't empty: makes
 * the text that metrics_series() takes. */
void prom_label(struct buf *labels, const char *name, struct slice value);

#endif
