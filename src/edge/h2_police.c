/* h2_police.c - how much nonsense a peer may send.
 *
 * Two allowances per connection fill up with time to a maximum:
 *     resets  streams that were reset, by the client (rapid reset, CVE-2023-44487) or by us because
 *             of what it did (MadeYouReset, CVE-2025-8671)
 *     noise   frames that cost us and bring nothing: SETTINGS, PRIORITY, empty DATA, crumbs of
 * DATA, WINDOW_UPDATE (CVE-2019-9511 to 9518); answering calls gives some of it back, as a busy
 * client acknowledges our data with WINDOW_UPDATEs Pings have gRFC A8's strikes.
 */
#include "edge/h2_internal.h"

#define RESETS_MAX       990 /* a client that gives up on 1,000 calls at once is rare but honest; */
#define RESETS_PER_S     33  /* just below nghttp2's own, so that ours says why it closes */
#define NOISE_MAX        2000
#define NOISE_PER_S      200
#define NOISE_PER_ANSWER 4 /* a WINDOW_UPDATE for the stream, one for the connection, and spare */
#define PING_STRIKES_MAX 2
#define THOUSANDTHS      1000

void h2_police_init(struct h2_police *police, int64_t now_ms) {
    *police = (struct h2_police){
        .at_ms = now_ms,
        .noise = NOISE_MAX * THOUSANDTHS,
        .resets = RESETS_MAX * THOUSANDTHS,
        .ping_ms = INT64_MIN / 2,
    };
}

static int64_t filled(int64_t level, int64_t gain, int64_t max) {
    return level + gain < max ? level + gain : max;
}

static void refill(struct h2_police *police, int64_t now_ms) {
    int64_t passed_ms = now_ms - police->at_ms;

    if (passed_ms <= 0)
        return;
    if (passed_ms > 60000)
        passed_ms = 60000; /* full by then */
    police->at_ms = now_ms;
    police->noise = filled(police->noise, passed_ms * NOISE_PER_S, NOISE_MAX * THOUSANDTHS);
    police->resets = filled(police->resets, passed_ms * RESETS_PER_S, RESETS_MAX * THOUSANDTHS);
}

bool h2_police_noise(struct h2_police *police, int64_t now_ms, unsigned cost) {
    refill(police, now_ms);
    police->noise -= (int64_t)cost * THOUSANDTHS;
    return police->noise >= 0;
}

bool h2_police_reset(struct h2_police *police, int64_t now_ms) {
    refill(police, now_ms);
    police->resets -= THOUSANDTHS;
    return police->resets >= 0;
}

bool h2_police_ping(struct h2_police *police, int64_t now_ms, int64_t min_ms) {
    bool early = now_ms - police->ping_ms < min_ms;

    police->ping_ms = now_ms;
    if (early)
        police->ping_strikes++;
    return police->ping_strikes <= PING_STRIKES_MAX;
}

void h2_police_useful(struct h2_police *police) {
    police->noise = filled(police->noise, NOISE_PER_ANSWER * THOUSANDTHS, NOISE_MAX * THOUSANDTHS);
    police->ping_strikes = 0;
    police->ping_ms = INT64_MIN / 2;
}
