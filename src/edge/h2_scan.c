/* h2_scan.c - frame headers, before nghttp2 reads them.
 *
 * nghttp2 ignores in silence what we must refuse or count:
 *     - DATA and HEADERS for a stream that its sender has closed, and HEADERS that open a lower
 *       stream than the last (RFC 9113 5.1, 5.1.1), unless it keeps 1,000 closed streams
 *     - frames of an unknown type, a flood that none of its callbacks sees (CVE-2019-9518)
 */
#include "edge/h2_internal.h"

#define KNOWN_TYPES 10 /* DATA to CONTINUATION */

enum { COST_UNKNOWN = 1, COST_LATE = 1 };

void h2_scan_init(struct h2_scan *scan) {
    *scan = (struct h2_scan){.preface_left = NGHTTP2_CLIENT_MAGIC_LEN};
}

void h2_scan_closed(struct h2_scan *scan, int32_t stream_id, bool by_peer) {
    unsigned slot = scan->closed_next++ % H2_CLOSED_KEPT;

    scan->closed[slot].stream_id = stream_id;
    scan->closed[slot].by_peer = by_peer;
}

enum late { LATE_UNKNOWN, LATE_BY_PEER, LATE_BY_US };

static enum late how_closed(const struct h2_scan *scan, int32_t stream_id) {
    for (size_t i = 0; i < H2_CLOSED_KEPT; i++)
        if (scan->closed[i].stream_id == stream_id)
            return scan->closed[i].by_peer ? LATE_BY_PEER : LATE_BY_US;
    return LATE_UNKNOWN;
}

static void noise(struct h2 *h2, unsigned cost) {
    if (!h2_police_noise(&h2->police, conn_now_ms(h2->conn), cost))
        h2_flood(h2, "too many frames without use");
}

/* The stream isn't any more. What a client sent before it knew that we had closed it is fine. */
static void on_late_frame(struct h2 *h2, uint8_t type, int32_t stream_id) {
    enum late late = how_closed(&h2->scan, stream_id);

    noise(h2, COST_LATE);
    if (late == LATE_BY_PEER)
        h2_check(h2, nghttp2_session_terminate_session(h2->session, NGHTTP2_STREAM_CLOSED));
    else if (late == LATE_UNKNOWN && type == NGHTTP2_HEADERS)
        h2_check(h2, nghttp2_session_terminate_session(h2->session, NGHTTP2_PROTOCOL_ERROR));
}

static void on_head(struct h2 *h2) {
    const uint8_t *head = h2->scan.head;
    uint8_t type = head[3];
    int32_t stream_id = (int32_t)((head[5] & 0x7fu) << 24 | (uint32_t)head[6] << 16 |
                                  (uint32_t)head[7] << 8 | head[8]);

    if (type >= KNOWN_TYPES)
        noise(h2, COST_UNKNOWN);
    else if ((type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) && stream_id % 2 == 1 &&
             stream_id <= nghttp2_session_get_last_proc_stream_id(h2->session) &&
             !nghttp2_session_find_stream(h2->session, stream_id))
        on_late_frame(h2, type, stream_id);
}

static size_t at_most(size_t n, size_t limit) {
    return n < limit ? n : limit;
}

static size_t payload(struct h2_scan *scan, size_t bytes) {
    size_t n = at_most(scan->payload_left, bytes);

    scan->payload_left -= (uint32_t)n;
    return n;
}

size_t h2_scan_next(struct h2 *h2, struct slice bytes) {
    struct h2_scan *scan = &h2->scan;

    if (scan->preface_left) {
        size_t n = at_most(scan->preface_left, bytes.len);

        scan->preface_left -= (unsigned)n;
        return n;
    }
    if (scan->payload_left)
        return payload(scan, bytes.len);
    size_t n = at_most(sizeof(scan->head) - scan->head_len, bytes.len);
    memcpy(scan->head + scan->head_len, bytes.ptr, n);
    scan->head_len += (unsigned)n;
    if (scan->head_len < sizeof(scan->head))
        return n;
    scan->head_len = 0;
    scan->payload_left =
        (uint32_t)scan->head[0] << 16 | (uint32_t)scan->head[1] << 8 | scan->head[2];
    on_head(h2);
    return n + payload(scan, bytes.len - n);
}
