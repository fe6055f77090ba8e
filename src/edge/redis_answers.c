/* redis_answers.c - what the scripts say of each lane, as an answer per operation. */
#include <string.h>

#include "edge/redis_apply.h"
#include "edge/redis_text.h"

struct reading {
    struct redis_plan *plan;
    const struct message *message;
    struct answer *answers;
    int64_t clock_ms; /* of the lane at hand */
    int64_t et_ms;
    bool replayed;
};

/* One operation's, in the words of lua/apply.lua. */
static bool take_answer(const struct reading *in, struct slice *text, struct answer *out) {
    struct answer answer = {.time_ms = in->et_ms};

    if (redis_take_char(text, 'x')) {
        *out = (struct answer){.err = ERR_MISMATCH};
        return true;
    }
    if (redis_take_char(text, '?')) {
        *out = (struct answer){.err = ERR_CORRUPT};
        return true;
    }
    answer.replayed = redis_take_char(text, '=');
    if (!answer.replayed && redis_take_char(text, '!'))
        answer.err = ERR_RANGE;
    if (!redis_take_i64(text, &answer.value) ||
        (answer.replayed &&
         (!redis_take_char(text, '@') || !redis_take_i64(text, &answer.time_ms))))
        return false;
    *out = answer;
    return true;
}

/* An add of several: the value behind the last says those between. */
static void spread(const struct reading *in, const struct redis_plan_item *item,
                   const struct answer *last) {
    uint64_t value = (uint64_t)last->value - (uint64_t)item->total;

    for (uint32_t i = item->first; i != REDIS_PLAN_END; i = in->plan->ops[i].next) {
        in->answers[i] = *last;
        value += (uint64_t)in->message->ops[i].arg;
        if (last->err == ERR_OK)
            in->answers[i].value = (int64_t)value;
    }
}

static bool take_one_by_one(const struct reading *in, struct slice *text,
                            const struct redis_plan_item *item) {
    for (uint32_t i = item->first; i != REDIS_PLAN_END; i = in->plan->ops[i].next) {
        if ((i != item->first && !redis_take_char(text, ';')) ||
            !take_answer(in, text, &in->answers[i]))
            return false;
    }
    return true;
}

static bool take_many(const struct reading *in, struct slice *text,
                      const struct redis_plan_item *item) {
    struct answer last;

    if (redis_take_char(text, '~'))
        return take_one_by_one(in, text, item);
    if (!take_answer(in, text, &last))
        return false;
    spread(in, item, &last);
    return true;
}

/* Up to the next blank. */
static struct slice take_word(struct slice *text) {
    const char *end = text->len ? memchr(text->ptr, ' ', text->len) : NULL;
    struct slice word = slice_of(text->ptr, end ? (size_t)(end - text->ptr) : text->len);

    *text = slice_skip(*text, word.len);
    return word;
}

/* As INCRBY would take it: no sign but '-', no zeros in front. */
static bool read_i64(struct slice word, int64_t *out) {
    bool minus = word.len && word.ptr[0] == '-';

    if (word.len > minus && word.ptr[minus] == '0' && word.len > 1)
        return false;
    return redis_take_i64(&word, out) && word.len == 0;
}

/* What is stored. Phase 1's keys don't say when they were written: a read tells when it was made.
 */
static void take_read(const struct reading *in, struct slice word, struct answer *out) {
    struct answer answer = {.time_ms = in->clock_ms};

    if (slice_eq(word, SLICE("_")))
        *out = (struct answer){0};
    else if (read_i64(word, &answer.value))
        *out = answer;
    else
        *out = (struct answer){.err = ERR_CORRUPT};
}

static void refuse_part(const struct reading *in, const struct redis_plan_part *part, enum err err,
                        bool reads) {
    const struct redis_plan *plan = in->plan;

    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next) {
        uint32_t i = plan->items[at].first;

        for (; i != REDIS_PLAN_END; i = plan->ops[i].next) {
            if (reads || in->message->ops[i].kind != OP_GET)
                in->answers[i] = (struct answer){.err = err};
        }
    }
}

static bool take_reads(const struct reading *in, const struct redis_plan_part *part,
                       struct slice text) {
    const struct redis_plan *plan = in->plan;

    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next) {
        uint32_t i = plan->items[at].first;

        if (in->message->ops[i].kind != OP_GET)
            continue;
        if (!redis_take_char(&text, ' '))
            return false;
        take_read(in, take_word(&text), &in->answers[i]);
    }
    return text.len == 0;
}

static bool take_items(const struct reading *in, const struct redis_plan_part *part,
                       struct slice text) {
    const struct redis_plan *plan = in->plan;

    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next) {
        const struct redis_plan_item *item = &plan->items[at];

        if (in->message->ops[item->first].kind == OP_GET)
            continue;
        if (!redis_take_char(&text, ' '))
            return false;
        if (item->count > 1 ? !take_many(in, &text, item)
                            : !take_answer(in, &text, &in->answers[item->first]))
            return false;
    }
    return text.len == 0;
}

/* A record of format 2: the values, all of increments. */
static bool take_values(const struct reading *in, const struct redis_plan_part *part,
                        struct slice packed) {
    const struct redis_plan *plan = in->plan;
    struct answer last = {.time_ms = in->et_ms};
    uint64_t left;

    if (!redis_take_packed_array(&packed, &left))
        return false;
    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next) {
        const struct redis_plan_item *item = &plan->items[at];

        if (in->message->ops[item->first].kind == OP_GET)
            continue;
        if (left-- == 0 || !redis_take_packed(&packed, &last.value))
            return false;
        if (item->count > 1)
            spread(in, item, &last);
        else
            in->answers[item->first] = last;
    }
    return left == 0 && packed.len == 0;
}

/* Behind "N" or "R". A replay of other operations than the first time is a producer's bug. */
static enum err take_record(struct reading *in, const struct redis_plan_part *part,
                            struct slice text) {
    int64_t format;
    int64_t writes;
    bool single;

    if (!redis_take_i64(&text, &format))
        return ERR_CORRUPT;
    if (format > 2)
        return ERR_NEWER;
    single = redis_take_char(&text, 's');
    if ((!single && !redis_take_char(&text, 'c')) || !redis_take_char(&text, ' ') ||
        !redis_take_i64(&text, &writes) || !redis_take_char(&text, ' ') ||
        !redis_take_i64(&text, &in->et_ms) || !(format == 1 || redis_take_char(&text, ' ')))
        return ERR_CORRUPT;
    if (writes != part->writes) {
        refuse_part(in, part, ERR_INVALID, true);
        return ERR_OK;
    }
    return (format == 1 ? take_items : take_values)(in, part, text) ? ERR_OK : ERR_CORRUPT;
}

/* 'known': some lane has met the message before. */
static enum err take_part(struct reading *in, const struct redis_plan_part *part,
                          const struct redis_said *said, bool known) {
    struct slice writes = said->writes;

    if (said->err != ERR_OK) {
        refuse_part(in, part, said->err, true);
        return ERR_OK;
    }
    /* A message too old and in no window is refused as a whole, its reads too. */
    if (slice_eq(writes, SLICE("O")) || (slice_eq(writes, SLICE("A")) && !known)) {
        refuse_part(in, part, ERR_TOO_OLD, true);
        return ERR_OK;
    }
    in->clock_ms = said->clock_ms;
    if (!take_reads(in, part, said->reads))
        return ERR_CORRUPT;
    if (writes.len == 0 || slice_eq(writes, SLICE("A")))
        return part->writes ? ERR_CORRUPT : ERR_OK;
    if (slice_eq(writes, SLICE("F"))) {
        refuse_part(in, part, ERR_OUTBOX_FULL, false);
        return ERR_OK;
    }
    if (!redis_take_char(&writes, 'N')) {
        if (!redis_take_char(&writes, 'R'))
            return ERR_CORRUPT;
        in->replayed = true;
    }
    return take_record(in, part, writes);
}

/* Which plan the part was applied by: an earlier time may have been under another setting. */
static bool part_coalesced(struct slice writes, bool now) {
    return writes.len > 2 && writes.ptr[0] == 'R' ? writes.ptr[2] == 'c' : now;
}

static bool is_known(const struct redis_plan *plan) {
    for (uint32_t i = 0; i < plan->parts_count; i++) {
        const struct redis_said *said = &plan->said[i];

        if (said->err == ERR_OK && said->writes.len && said->writes.ptr[0] == 'R')
            return true;
    }
    return false;
}

/* Reads the parts that belong to the plan and counts the others. */
static enum err take_parts(struct reading *in, bool now, uint32_t *out_others) {
    const struct redis_plan *plan = in->plan;
    bool known = is_known(plan);
    enum err err = ERR_OK;

    *out_others = 0;
    for (uint32_t i = 0; i < plan->parts_count && err == ERR_OK; i++) {
        const struct redis_said *said = &plan->said[i];

        if (said->err != ERR_OK || part_coalesced(said->writes, now) == plan->coalesce)
            err = take_part(in, &plan->parts[i], said, known);
        else
            ++*out_others;
    }
    return err;
}

static enum err take_all(struct redis_plan *plan, const struct redis_layout *layout,
                         const struct message *message, struct answer *out_answers,
                         bool *out_replayed) {
    struct reading in = {.plan = plan, .message = message, .answers = out_answers};
    uint32_t others;

    for (size_t i = 0; i < message->count; i++) {
        if (!plan->ops[i].valid)
            out_answers[i] = (struct answer){.err = ERR_INVALID};
    }
    enum err err = take_parts(&in, layout->coalesce, &others);
    if (err == ERR_OK && others) {
        /* The lanes' order is the same in both plans. */
        err = redis_plan_split(plan, layout, message, !layout->coalesce);
        if (err == ERR_OK)
            err = take_parts(&in, layout->coalesce, &others);
    }
    *out_replayed = in.replayed;
    return err;
}

static enum err read_said(const struct slice *strings, size_t count, uint32_t parts,
                          struct redis_said *out) {
    struct slice clock = count ? strings[0] : SLICE("");
    int64_t clock_ms;

    if (count != 1 + 2 * (size_t)parts || !redis_take_i64(&clock, &clock_ms))
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < parts; i++)
        out[i] = (struct redis_said){.clock_ms = clock_ms,
                                     .writes = strings[1 + 2 * (size_t)i],
                                     .reads = strings[2 + 2 * (size_t)i]};
    return ERR_OK;
}

enum err redis_plan_answers(struct redis_plan *plan, const struct redis_layout *layout,
                            const struct message *message, const struct slice *strings,
                            size_t count, struct answer *out_answers, struct redis_applied *out) {
    bool replayed;
    enum err err = read_said(strings, count, plan->parts_count, plan->said);

    if (err == ERR_OK)
        err = take_all(plan, layout, message, out_answers, &replayed);
    if (err == ERR_OK)
        *out = (struct redis_applied){.clock_ms = plan->parts_count ? plan->said[0].clock_ms : 0,
                                      .replayed = replayed};
    return err;
}

/* ---- a reply for each part ---- */

enum err redis_plan_hear(struct redis_plan *plan, uint32_t i, const struct slice *strings,
                         size_t count) {
    struct redis_said *said = &plan->said[i];
    enum err err = read_said(strings, count, 1, said);

    if (err != ERR_OK)
        return err;
    said->heard_at = plan->heard.len;
    buf_add_slice(&plan->heard, said->writes);
    buf_add_slice(&plan->heard, said->reads);
    return ERR_OK;
}

void redis_plan_refuse(struct redis_plan *plan, uint32_t i, enum err err) {
    plan->said[i] = (struct redis_said){.err = err};
}

enum err redis_plan_finish(struct redis_plan *plan, const struct redis_layout *layout,
                           const struct message *message, struct answer *out_answers,
                           struct redis_applied *out) {
    struct redis_applied applied = {0};

    if (buf_failed(&plan->heard))
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < plan->parts_count; i++) {
        struct redis_said *said = &plan->said[i];

        if (said->err != ERR_OK)
            continue;
        said->writes.ptr = plan->heard.ptr + said->heard_at;
        said->reads.ptr = said->writes.ptr + said->writes.len;
        if (said->clock_ms > applied.clock_ms)
            applied.clock_ms = said->clock_ms;
    }
    enum err err = take_all(plan, layout, message, out_answers, &applied.replayed);
    if (err == ERR_OK)
        *out = applied;
    return err;
}
