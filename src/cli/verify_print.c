/* verify_print.c - what was compared, what differs, and the verdict. */
#include <inttypes.h>
#include <sysexits.h>

#include "cli/verify_internal.h"
#include "wire/counter_json.h"

struct printing {
    struct buf text;
    bool each;
    bool comma;
    FILE *out;
};

static bool is_printed(const struct printing *to, const struct audit_verdict *v) {
    return to->each || v->drift || v->analytics == AUDIT_DIFFERS;
}

static bool lane_is_printed(const struct audit_lane_verdict *v) {
    return v->missing || v->out_of_order;
}

static void flush(struct printing *to) {
    (void)fwrite(to->text.ptr, 1, to->text.len, to->out);
    buf_clear(&to->text);
}

/* ---- for people ---- */

static const char *word_for(const struct audit_verdict *v) {
    if (v->drift || v->analytics == AUDIT_DIFFERS)
        return "DRIFT";
    return v->unknown ? "unknown" : v->external ? "external" : "ok";
}

static const char *const analytics_words[] = {
    [AUDIT_AGREES] = "agrees",
    [AUDIT_DIFFERS] = "differs",
    [AUDIT_NOT_HELD] = "not held",
    [AUDIT_UNHEARD] = "not heard of",
    [AUDIT_EXPLAINED] = "changed by others",
};

static void text_analytics(struct buf *out, const struct audit_verdict *v) {
    if (v->analytics == AUDIT_NOT_ASKED)
        return;
    buf_printf(out, ", analytics: %s", analytics_words[v->analytics]);
    if (v->analytics == AUDIT_DIFFERS)
        buf_printf(out, " (%" PRId64 ", %+" PRId64 ")", v->total, v->ahead);
}

static void text_counter(void *ctx, const struct audit_verdict *v) {
    struct printing *to = ctx;

    if (!is_printed(to, v))
        return;
    /* As a JSON string: names hold anything, and a terminal obeys some of it. */
    buf_printf(&to->text, "%-8s ", word_for(v));
    json_add_string(&to->text, v->resource_id);
    buf_add_char(&to->text, ' ');
    json_add_string(&to->text, v->counter_type);
    buf_printf(&to->text,
               " value %" PRId64 "%s = opening %" PRId64 " + external %" PRId64 " + events %" PRId64
               " (%" PRIu64 ") + drift %" PRId64 " at lane %" PRIu32 ", event %" PRIu64 "-%" PRIu64,
               v->value, v->absent ? " (not in the store)" : "", v->opening, v->external, v->sum,
               v->events, v->drift, v->lane, v->at.epoch, v->at.seq);
    text_analytics(&to->text, v);
    buf_add_char(&to->text, '\n');
    flush(to);
}

static void text_lane(void *ctx, const struct audit_lane_verdict *v) {
    struct printing *to = ctx;

    if (v->missing)
        buf_printf(&to->text,
                   "MISSING  lane %" PRIu32 ": %" PRIu64 " events, the first of them %" PRIu64
                   " to %" PRIu64 "\n",
                   v->lane, v->missing, v->missing_first, v->missing_last);
    if (v->out_of_order)
        buf_printf(&to->text, "ORDER    lane %" PRIu32 ": %" PRIu64 " events came late\n", v->lane,
                   v->out_of_order);
    flush(to);
}

static void text_totals(const struct verify *verify, struct printing *to,
                        const struct audit_totals *totals) {
    buf_printf(&to->text, "analytics (%s): %" PRIu64 " totals agree", verify->analytics,
               totals->agreeing);
    if (totals->incomparable)
        buf_printf(&to->text,
                   ", %" PRIu64 " can't be compared: beyond its limit, not heard of since it "
                   "began, or changed by others",
                   totals->incomparable);
    buf_add_char(&to->text, '\n');
}

static void print_text(const struct verify *verify, struct printing *to,
                       const struct audit_totals *totals, bool fault) {
    audit_each(verify->audit, text_counter, to);
    audit_each_lane(verify->audit, text_lane, to);
    buf_printf(&to->text,
               "compared %s (%016" PRIx64 ") with %s: %" PRIu64 " counters, %" PRIu64
               " events, %" PRIu64 " of them more than once\n",
               verify->store, verify->store_id, verify->events, totals->counters, totals->events,
               totals->duplicates);
    if (totals->external)
        buf_printf(&to->text, "%" PRIu64 " counters were also changed by others: external\n",
                   totals->external);
    if (totals->unknown)
        buf_printf(&to->text,
                   "%" PRIu64 " counters have no event any more where these begin: not compared\n",
                   totals->unknown);
    if (totals->foreign)
        buf_printf(&to->text, "%" PRIu64 " events of other stores were left out\n",
                   totals->foreign);
    if (verify->analytics)
        text_totals(verify, to, totals);
    if (fault)
        buf_printf(&to->text,
                   "DRIFT: %" PRIu64 " counters differ, %" PRIu64
                   " totals of analytics do, %" PRIu64 " events are missing, %" PRIu64
                   " came out of order\n",
                   totals->drifting, totals->differing, totals->missing, totals->out_of_order);
    else
        buf_add_str(&to->text, "no drift\n");
}

/* ---- as JSON ---- */

static void json_string(struct buf *out, const char *name, struct slice value) {
    buf_printf(out, "\"%s\":", name);
    json_add_string(out, value);
}

static void begin_item(struct printing *to) {
    if (to->comma)
        buf_add_char(&to->text, ',');
    to->comma = true;
}

static void json_analytics(struct buf *out, const struct audit_verdict *v) {
    bool known = v->analytics == AUDIT_AGREES || v->analytics == AUDIT_DIFFERS;

    if (v->analytics == AUDIT_NOT_ASKED)
        return;
    buf_printf(out, ",\"analytics\":{\"verdict\":\"%s\"", analytics_words[v->analytics]);
    if (known)
        buf_printf(out, ",\"total\":%" PRId64 ",\"ahead\":%" PRId64, v->total, v->ahead);
    buf_add_char(out, '}');
}

static void json_counter(void *ctx, const struct audit_verdict *v) {
    struct printing *to = ctx;

    if (!is_printed(to, v))
        return;
    begin_item(to);
    buf_add_char(&to->text, '{');
    json_string(&to->text, "resource_id", v->resource_id);
    buf_add_char(&to->text, ',');
    json_string(&to->text, "counter_type", v->counter_type);
    buf_printf(&to->text,
               ",\"value\":%" PRId64 ",\"opening\":%" PRId64 ",\"external\":%" PRId64
               ",\"sum\":%" PRId64 ",\"drift\":%" PRId64 ",\"events\":%" PRIu64
               ",\"compared\":%s,\"in_store\":%s,\"lane\":%" PRIu32 ",\"epoch\":%" PRIu64
               ",\"seq\":%" PRIu64,
               v->value, v->opening, v->external, v->sum, v->drift, v->events,
               v->unknown ? "false" : "true", v->absent ? "false" : "true", v->lane, v->at.epoch,
               v->at.seq);
    json_analytics(&to->text, v);
    buf_add_char(&to->text, '}');
    flush(to);
}

static void json_lane(void *ctx, const struct audit_lane_verdict *v) {
    struct printing *to = ctx;

    if (!lane_is_printed(v))
        return;
    begin_item(to);
    buf_printf(&to->text,
               "{\"lane\":%" PRIu32 ",\"missing\":%" PRIu64 ",\"missing_first\":%" PRIu64
               ",\"missing_last\":%" PRIu64 ",\"out_of_order\":%" PRIu64 "}",
               v->lane, v->missing, v->missing_first, v->missing_last, v->out_of_order);
    flush(to);
}

static void print_json(const struct verify *verify, struct printing *to,
                       const struct audit_totals *totals, bool fault) {
    buf_add_char(&to->text, '{');
    json_string(&to->text, "store", slice_str(verify->store));
    buf_printf(&to->text, ",\"store_id\":\"%016" PRIx64 "\",", verify->store_id);
    json_string(&to->text, "events_from", slice_str(verify->events));
    buf_printf(&to->text,
               ",\"drift\":%s,\"counters\":%" PRIu64 ",\"drifting\":%" PRIu64
               ",\"external\":%" PRIu64 ",\"not_compared\":%" PRIu64 ",\"events\":%" PRIu64
               ",\"duplicates\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"out_of_order\":%" PRIu64
               ",\"of_other_stores\":%" PRIu64,
               fault ? "true" : "false", totals->counters, totals->drifting, totals->external,
               totals->unknown, totals->events, totals->duplicates, totals->missing,
               totals->out_of_order, totals->foreign);
    if (verify->analytics)
        buf_printf(&to->text,
                   ",\"analytics\":{\"agreeing\":%" PRIu64 ",\"differing\":%" PRIu64
                   ",\"not_comparable\":%" PRIu64 "}",
                   totals->agreeing, totals->differing, totals->incomparable);
    buf_add_str(&to->text, ",\"details\":[");
    audit_each(verify->audit, json_counter, to);
    buf_add_str(&to->text, "],\"lanes\":[");
    to->comma = false;
    audit_each_lane(verify->audit, json_lane, to);
    buf_add_str(&to->text, "]}\n");
}

int verify_print(struct verify *verify) {
    struct printing to = {.each = verify->options->given[TOOL_FLAG_EACH], .out = verify->out};
    struct audit_totals totals;
    bool fault = audit_judge(verify->audit, &totals);

    if (verify->options->given[TOOL_FLAG_JSON])
        print_json(verify, &to, &totals, fault);
    else
        print_text(verify, &to, &totals, fault);
    flush(&to);
    bool failed = buf_failed(&to.text) || fflush(verify->out) != 0;
    buf_release(&to.text);
    if (failed)
        return verify_give_up(verify, EX_IOERR, "the verdict can't be written");
    if (totals.counters && totals.unknown == totals.counters && !totals.agreeing &&
        !totals.differing)
        return verify_give_up(verify, EX_UNAVAILABLE,
                              "no counter has an event any more: nothing was compared");
    return fault ? VERIFY_DRIFT : EX_OK;
}
