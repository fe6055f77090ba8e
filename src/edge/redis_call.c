/* redis_call.c - a plan as the scripts' arguments. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/hex.h"
#include "base/siphash.h"
#include "core/bytes.h"
#include "edge/redis_apply.h"
#include "edge/redis_command.h"
#include "edge/redis_script.h"

#define KIND_MANY   4 /* lua/apply.lua's; the others are enum op_kind */
#define KIND_SHARED 8 /* added to it */
#define DIGEST_LEN  16

#define MESSAGE_FIELDS 4 /* before its parts */
#define PART_FIELDS    5 /* before a part's items and texts */

/* lua/apply.lua's, of a part. */
enum way { WAY_ITEMS, WAY_PLAIN, WAY_READS };

_Static_assert(OP_ADD == 0 && OP_SET == 1 && OP_RESET == 2 && OP_GET == 3,
               "lua/apply.lua knows the kinds by number");

/* ---- pack: MessagePack, no more of it than is needed ---- */

static void pack_number(struct buf *out, uint32_t number) {
    if (number < 0x80) {
        buf_add_char(out, (char)number);
        return;
    }
    uint32_t wire = htobe32(number);
    buf_add_char(out, (char)0xce);
    buf_add(out, &wire, sizeof(wire));
}

static void pack_long(struct buf *out, int64_t number) {
    uint64_t wire = htobe64((uint64_t)number);

    buf_add_char(out, (char)0xd3); /* a double in Lua: below 2^53 the same number */
    buf_add(out, &wire, sizeof(wire));
}

static void pack_array(struct buf *out, uint32_t count) {
    uint32_t wire = htobe32(count);

    buf_add_char(out, (char)0xdd);
    buf_add(out, &wire, sizeof(wire));
}

static void pack_text(struct buf *out, struct slice text) {
    if (text.len < 32) {
        buf_add_char(out, (char)(0xa0 | text.len));
    } else {
        uint32_t wire = htobe32((uint32_t)text.len);

        buf_add_char(out, (char)0xdb);
        buf_add(out, &wire, sizeof(wire));
    }
    buf_add_slice(out, text);
}

static void pack_i64(struct buf *out, int64_t value) {
    char room[DECIMAL_BYTES];

    pack_text(out, decimal_i64(room, value));
}

static void pack_scratch(const struct redis_plan *plan, struct buf *out) {
    if (buf_failed(&plan->scratch))
        out->failed = true;
    else
        pack_text(out, buf_slice(&plan->scratch));
}

/* "3,9,12" or "1,1,1". */
static void add_list(const struct redis_plan *plan, const struct message *message,
                     const struct redis_plan_item *item, bool deltas, struct buf *out) {
    for (uint32_t i = item->first; i != REDIS_PLAN_END; i = plan->ops[i].next) {
        if (i != item->first)
            buf_add_char(out, ',');
        buf_add_i64(out, deltas ? message->ops[i].arg : (int64_t)i);
    }
}

static void pack_list(struct redis_plan *plan, const struct message *message,
                      const struct redis_plan_item *item, bool deltas, struct buf *out) {
    buf_clear(&plan->scratch);
    add_list(plan, message, item, deltas, &plan->scratch);
    pack_scratch(plan, out);
}

/* Where a client's key is kept: four hex digits of bucket, then the field. 128 bits that nobody
 * without the store's seed can make collide stand for counter, kind and key. */
static void pack_key(struct redis_plan *plan, const struct redis_layout *layout,
                     const struct redis_plan_item *item, const struct op *op, struct buf *out) {
    struct slice counter = bytes_table_key(&plan->counters, item->counter);
    uint64_t other[2] = {layout->seed[1], ~layout->seed[0]};
    char text[4 + DIGEST_LEN + 1];

    buf_clear(&plan->scratch);
    buf_add_char(&plan->scratch, (char)op->kind);
    bytes_add_varint(&plan->scratch, counter.len);
    buf_add_slice(&plan->scratch, counter);
    buf_add_slice(&plan->scratch, op->key);
    if (buf_failed(&plan->scratch)) {
        out->failed = true;
        return;
    }
    uint64_t halves[2] = {htobe64(siphash(layout->seed, buf_slice(&plan->scratch))),
                          htobe64(siphash(other, buf_slice(&plan->scratch)))};
    (void)snprintf(text, sizeof(text), "%04x", (unsigned)(halves[0] & 0xffff));
    memcpy(text + 4, halves, DIGEST_LEN);
    pack_text(out, slice_of(text, 4 + DIGEST_LEN));
}

static void pack_item(struct redis_plan *plan, const struct redis_layout *layout,
                      const struct message *message, const struct redis_plan_item *item,
                      struct buf *out) {
    const struct op *op = &message->ops[item->first];
    bool many = item->count > 1;
    bool shared = plan->latest[item->counter] != (uint32_t)(item - plan->items) || item->shared;

    pack_number(out, (many ? KIND_MANY : (uint32_t)op->kind) + (shared ? KIND_SHARED : 0));
    pack_i64(out, many ? item->total : op_arg(op));
    if (many)
        pack_list(plan, message, item, false, out);
    else
        pack_i64(out, item->first);
    if (many)
        pack_list(plan, message, item, true, out);
    else if (op->key.ptr && op->kind != OP_GET)
        pack_key(plan, layout, item, op, out);
    else
        pack_text(out, SLICE(""));
    if (layout->tags)
        pack_text(out, bytes_table_key(&plan->counters, item->counter));
}

/* string.format takes '%' alone as its own. */
static void add_escaped(struct buf *out, struct slice text) {
    const char *percent;

    while (text.len && (percent = memchr(text.ptr, '%', text.len))) {
        size_t len = (size_t)(percent - text.ptr) + 1;

        buf_add(out, text.ptr, len);
        buf_add_char(out, '%');
        text = slice_skip(text, len);
    }
    buf_add_slice(out, text);
}

/* "a1 %d 5,7 post:like\0": as lua/apply.lua's encode() makes it, but for the value. */
static void add_event(const struct redis_plan *plan, const struct redis_layout *layout,
                      const struct message *message, const struct redis_plan_item *item,
                      struct buf *out) {
    struct slice key = bytes_table_key(&plan->counters, item->counter);

    buf_add_char(out, 'a');
    buf_add_i64(out, item->total);
    buf_add_str(out, " %d ");
    add_list(plan, message, item, false, out);
    buf_add_char(out, ' ');
    add_escaped(out, layout->tags ? key : slice_skip(key, sizeof("counter:") - 1));
    buf_add_char(out, '\0');
}

static enum way way_of(const struct redis_plan_part *part) {
    if (part->writes == 0)
        return WAY_READS;
    return part->plain ? WAY_PLAIN : WAY_ITEMS;
}

/* What is told of all increments of a plain part in one text. */
enum texts { EVENTS, INDEXES, DELTAS, TEXTS };

static void add_increment(const struct redis_plan *plan, const struct redis_layout *layout,
                          const struct message *message, const struct redis_plan_item *item,
                          enum texts text, struct buf *out) {
    if (text == EVENTS) {
        add_event(plan, layout, message, item, out);
    } else if (text == INDEXES || item->count > 1) {
        if (out->len)
            buf_add_char(out, text == INDEXES ? ',' : ';');
        add_list(plan, message, item, text == DELTAS, out);
    }
}

/* The delta, or sum of deltas, that all items of a plain part have; 0: they differ. */
static int64_t common_delta(const struct redis_plan *plan, const struct redis_plan_part *part) {
    int64_t total = plan->items[part->first].total; /* of a get: 0 */

    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next)
        if (plan->items[at].total != total)
            return 0;
    return total;
}

static void pack_plain(struct redis_plan *plan, const struct redis_layout *layout,
                       const struct message *message, const struct redis_plan_part *part,
                       struct buf *out) {
    for (enum texts text = EVENTS; text < TEXTS; text++) {
        buf_clear(&plan->scratch);
        for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next) {
            const struct redis_plan_item *item = &plan->items[at];

            if (message->ops[item->first].kind == OP_ADD)
                add_increment(plan, layout, message, item, text, &plan->scratch);
        }
        pack_scratch(plan, out);
    }
    int64_t each = common_delta(plan, part);

    if (each)
        pack_i64(out, each);
    else
        pack_text(out, SLICE(""));
    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next) {
        const struct redis_plan_item *item = &plan->items[at];

        if (!each && message->ops[item->first].kind == OP_ADD)
            pack_i64(out, item->total);
        else if (!each)
            pack_text(out, SLICE(""));
        if (layout->tags)
            pack_text(out, bytes_table_key(&plan->counters, item->counter));
    }
}

/* What a part that only reads needs of each item. */
static void pack_counters(const struct redis_plan *plan, const struct redis_layout *layout,
                          const struct redis_plan_part *part, struct buf *out) {
    if (!layout->tags)
        return;
    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next)
        pack_text(out, bytes_table_key(&plan->counters, plan->items[at].counter));
}

/* How many strings pack_part() makes. */
static uint32_t part_fields(const struct redis_plan *plan, const struct redis_layout *layout,
                            const struct redis_plan_part *part) {
    uint32_t own = layout->tags ? 1 : 0; /* that only a Cluster needs for an item */

    switch (way_of(part)) {
    case WAY_READS:
        return PART_FIELDS + own * part->items;
    case WAY_PLAIN:
        return PART_FIELDS + TEXTS + 1 + ((common_delta(plan, part) ? 0 : 1) + own) * part->items;
    default:
        return PART_FIELDS + (4 + own) * part->items;
    }
}

static void pack_part(struct redis_plan *plan, const struct redis_layout *layout,
                      const struct message *message, const struct redis_plan_part *part,
                      struct buf *out) {
    if (layout->tags)
        pack_text(out, slice_str(layout->tags[part->lane].text));
    else
        pack_i64(out, part->lane);
    pack_i64(out, (int64_t)layout->epochs[part->lane]);
    pack_number(out, part->items);
    pack_number(out, part->writes);
    enum way way = way_of(part);
    pack_number(out, way);
    if (way == WAY_READS) {
        pack_counters(plan, layout, part, out);
        return;
    }
    if (way == WAY_PLAIN) {
        pack_plain(plan, layout, message, part, out);
        return;
    }
    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next)
        pack_item(plan, layout, message, &plan->items[at], out);
}

/* ---- the command ---- */

static void add_number_arg(struct buf *out, int64_t number) {
    char room[DECIMAL_BYTES];

    redis_command_arg(out, decimal_i64(room, number));
}

static void add_script(struct buf *out, const struct redis_script *script, size_t keys,
                       size_t args) {
    redis_command_begin(out, 3 + keys + args);
    redis_command_arg(out, SLICE("EVALSHA"));
    redis_command_arg(out, slice_str(script->sha1));
    add_number_arg(out, (int64_t)keys);
}

static void add_counter_keys(const struct redis_plan *plan, struct buf *out) {
    for (uint32_t i = 0; i < plan->parts_count; i++) {
        uint32_t at = plan->parts[i].first;

        for (; at != REDIS_PLAN_END; at = plan->items[at].next)
            redis_command_arg(out, bytes_table_key(&plan->counters, plan->items[at].counter));
    }
}

void redis_lane_key(struct buf *out, const struct redis_layout *layout, uint32_t lane,
                    const char *what) {
    buf_add_str(out, "hgp:{");
    if (layout->tags)
        buf_add_str(out, layout->tags[lane].text);
    else
        buf_add_u64(out, lane);
    buf_add_str(out, "}:");
    buf_add_str(out, what);
}

/* Hashes of up to 100 fields, which Redis keeps packed, for 400 million counters in all. */
#define BUCKETS 4194304u

void redis_counter_home(struct buf *out, const struct redis_layout *layout, uint32_t lane,
                        struct slice id) {
    char what[16];
    uint64_t bucket = siphash(layout->seed, id) % (BUCKETS / layout->lanes);

    (void)snprintf(what, sizeof(what), "c:%" PRIx64, bucket);
    redis_lane_key(out, layout, lane, what);
}

static void add_lane_key(struct redis_plan *plan, const struct redis_layout *layout, uint32_t lane,
                         const char *what, struct buf *out) {
    buf_clear(&plan->scratch);
    redis_lane_key(&plan->scratch, layout, lane, what);
    redis_command_arg(out, buf_slice(&plan->scratch));
}

static void add_homes(struct redis_plan *plan, const struct redis_layout *layout,
                      const struct redis_plan_part *part, struct buf *out) {
    for (uint32_t at = part->first; at != REDIS_PLAN_END; at = plan->items[at].next) {
        struct slice id = bytes_table_key(&plan->counters, plan->items[at].counter);

        buf_clear(&plan->scratch);
        redis_counter_home(&plan->scratch, layout, part->lane, id);
        redis_command_arg(out, buf_slice(&plan->scratch));
    }
}

static struct slice how(const struct redis_layout *layout) {
    if (layout->touch)
        return layout->coalesce ? SLICE("ct") : SLICE("st");
    return layout->coalesce ? SLICE("c") : SLICE("s");
}

static void add_producer(const struct message *message, struct buf *out) {
    char producer[2 * HEX_U64_BYTES];

    (void)hex_u64(producer, message->producer.hi);
    (void)hex_u64(producer + HEX_U64_BYTES, message->producer.lo);
    redis_command_arg(out, slice_of(producer, sizeof(producer)));
}

/* The arguments: identity, then parts 'from' up to 'end'. */
static void add_args(struct redis_plan *plan, const struct redis_layout *layout,
                     const struct message *message, uint32_t from, uint32_t end, struct buf *out) {
    struct buf *packed = &plan->packed;
    uint32_t fields = MESSAGE_FIELDS;

    add_producer(message, out);
    add_number_arg(out, (int64_t)message->number);
    redis_command_arg(out, how(layout));
    buf_clear(packed);
    for (uint32_t i = from; i < end; i++)
        fields += part_fields(plan, layout, &plan->parts[i]);
    pack_array(packed, fields);
    pack_long(packed, (int64_t)message->number);
    pack_long(packed, message->issued_ms);
    pack_long(packed, layout->key_ttl_ms);
    pack_long(packed, (int64_t)layout->outbox_max_bytes);
    for (uint32_t i = from; i < end; i++)
        pack_part(plan, layout, message, &plan->parts[i], packed);
    redis_command_arg(out, buf_slice(packed));
    out->failed |= buf_failed(packed) || buf_failed(&plan->scratch);
}

/* ---- one increment alone ---- */

#define ONE_ARGS 10 /* what lua/apply_one.lua takes on a standalone Redis */

static bool is_one(const struct redis_plan *plan, const struct redis_plan_part *part) {
    return part->plain && part->items == 1 && part->writes == 1 &&
           plan->items[part->first].count == 1;
}

static void add_one(struct redis_plan *plan, const struct redis_layout *layout,
                    const struct message *message, const struct redis_plan_part *part,
                    struct buf *out) {
    const struct redis_plan_item *item = &plan->items[part->first];

    add_producer(message, out);
    add_number_arg(out, (int64_t)message->number);
    redis_command_arg(out, layout->coalesce ? SLICE("c") : SLICE("s"));
    add_number_arg(out, message->issued_ms);
    add_number_arg(out, (int64_t)layout->outbox_max_bytes);
    if (layout->tags)
        redis_command_arg(out, slice_str(layout->tags[part->lane].text));
    else
        add_number_arg(out, part->lane);
    add_number_arg(out, (int64_t)layout->epochs[part->lane]);
    add_number_arg(out, item->total);
    add_number_arg(out, item->first);
    buf_clear(&plan->scratch);
    add_event(plan, layout, message, item, &plan->scratch);
    out->failed |= buf_failed(&plan->scratch);
    redis_command_arg(out, buf_slice(&plan->scratch));
    if (layout->tags)
        redis_command_arg(out, bytes_table_key(&plan->counters, item->counter));
}

/* ---- calls ---- */

void redis_plan_command(struct redis_plan *plan, const struct redis_layout *layout,
                        const struct message *message, struct buf *out) {
    bool one = plan->parts_count == 1 && is_one(plan, &plan->parts[0]);

    add_script(out, &redis_script_apply, plan->items_count, one ? ONE_ARGS : 4);
    add_counter_keys(plan, out);
    if (one)
        add_one(plan, layout, message, &plan->parts[0], out);
    else
        add_args(plan, layout, message, 0, plan->parts_count, out);
}

void redis_plan_part_command(struct redis_plan *plan, const struct redis_layout *layout,
                             const struct message *message, uint32_t i, struct buf *out) {
    const struct redis_plan_part *part = &plan->parts[i];
    bool one = is_one(plan, part);
    char id[HEX_U64_BYTES];

    add_script(out, &redis_script_apply_cluster, 3 + part->items, one ? ONE_ARGS + 2 : 5);
    add_lane_key(plan, layout, part->lane, "m", out);
    add_lane_key(plan, layout, part->lane, "w", out);
    add_lane_key(plan, layout, part->lane, "o", out);
    add_homes(plan, layout, part, out);
    if (one)
        add_one(plan, layout, message, part, out);
    else
        add_args(plan, layout, message, i, i + 1, out);
    redis_command_arg(out, hex_u64(id, layout->store_id));
}
