/* concurrency.c */
#include "core/concurrency.h"

#define WINDOW_MS   50
#define LIMIT_LEAST 16 /* below it batches would be too small to tell anything */
/* How fast 'usual' follows, in windows: up, so that a queue that grows isn't taken for usual; and
 * down while we shed, so that what was given back by mistake doesn't stay for ever. */
#define RISE         256
#define SINK         64
#define FALL         1024
#define USUAL_MIN_US 1
#define LATE_WINDOWS 2
#define RATE_WINDOWS 16 /* that the rate is an average of */
/* Before the rate is compared: so long, and four times what an answer takes. */
#define LOOK_MS 1000

void concurrency_init(struct concurrency *c, size_t limit_max, int64_t now_ms) {
    *c = (struct concurrency){.limit = limit_max, .limit_max = limit_max, .idle = true};
    c->window.began_ms = now_ms;
}

void concurrency_set(struct concurrency *c, int64_t least_ms, int64_t most_ms) {
    if (least_ms == 0)
        c->limit = c->limit_max;
    c->least_ms = least_ms;
    c->most_ms = most_ms;
}

bool concurrency_admits(struct concurrency *c, size_t under_way) {
    if (under_way < c->limit)
        return true;
    c->window.shed++;
    return false;
}

void concurrency_answered(struct concurrency *c, size_t count, int64_t took_ms) {
    c->window.answered += count;
    c->window.took_us += count * (uint64_t)(took_ms > 0 ? took_ms : 0) * 1000;
}

static int64_t target_us(const struct concurrency *c) {
    int64_t us = c->usual_us * 2;

    if (us < c->least_ms * 1000)
        us = c->least_ms * 1000;
    return us < c->most_ms * 1000 ? us : c->most_ms * 1000;
}

static void set_limit(struct concurrency *c, uint64_t limit) {
    if (limit < LIMIT_LEAST)
        limit = LIMIT_LEAST;
    c->limit = limit < c->limit_max ? (size_t)limit : c->limit_max;
}

static void learn_usual(struct concurrency *c, int64_t took_us) {
    if (c->usual_us == 0)
        c->usual_us = took_us;
    else if (took_us < c->usual_us)
        c->usual_us -= (c->usual_us - took_us) / SINK;
    else
        c->usual_us += (took_us - c->usual_us) / RISE;
    if (c->usual_us < USUAL_MIN_US)
        c->usual_us = USUAL_MIN_US;
}

/* So many are answered within the target. */
static uint64_t fitting(const struct concurrency *c, uint64_t rate) {
    return rate * (uint64_t)target_us(c) / 1000000;
}

/* What was under way has gone by then, and a rate is known. */
static void look_later(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    c->cut.look_ms = now_ms + 4 * took_us / 1000 + LOOK_MS;
}

static void lower(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    uint64_t limit = fitting(c, c->rate);

    if (limit >= c->limit)
        return;
    if (!c->cut.on) {
        c->cut.on = true;
        c->cut.given_back = false;
        c->cut.rate = c->rate;
        look_later(c, took_us, now_ms);
    }
    set_limit(c, limit);
}

/* A queue that is cut short costs no throughput. One that wasn't there does: then more brings it
 * back. */
static void look_back(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    bool fell = c->rate * 10 < c->cut.rate * 8;

    look_later(c, took_us, now_ms);
    if (!fell) {
        c->cut.given_back = false;
    } else if (c->cut.given_back) {
        c->cut.given_back = false;
        c->cut.rate = c->rate;
        c->usual_us = c->cut.usual_us;
        set_limit(c, fitting(c, c->rate));
    } else {
        c->cut.given_back = true;
        c->cut.usual_us = c->usual_us;
        if (took_us > c->usual_us)
            c->usual_us = took_us;
        set_limit(c, fitting(c, c->cut.rate));
    }
}

static void judge(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    bool shed = c->window.shed > 0;

    if (c->usual_us == 0) {
        learn_usual(c, took_us);
        return;
    }
    if (shed && c->cut.on && now_ms >= c->cut.look_ms)
        look_back(c, took_us, now_ms);
    if (shed)
        c->usual_us -= c->usual_us / FALL;
    c->late = took_us > target_us(c) ? c->late + 1 : 0;
    if (c->late >= LATE_WINDOWS) {
        lower(c, took_us, now_ms);
    } else if (c->late) {
        return; /* once is a hiccup */
    } else if (shed) {
        set_limit(c, c->limit + c->limit / 16 + 1);
    } else {
        learn_usual(c, took_us);
        set_limit(c, c->limit + c->limit / 4 + 1);
        c->cut.on = false;
    }
}

static void open_window(struct concurrency *c, int64_t now_ms) {
    c->window.began_ms = now_ms;
    c->window.answered = c->window.took_us = c->window.shed = 0;
}

/* The store had nothing to do at times: that is no overload. */
static void lighten(struct concurrency *c, int64_t took_us) {
    if (c->window.shed > 0)
        return;
    learn_usual(c, took_us);
    c->limit = c->limit_max;
    c->cut.on = false;
}

void concurrency_turn(struct concurrency *c, size_t under_way, int64_t now_ms) {
    int64_t ms = now_ms - c->window.began_ms;
    bool was_idle = c->idle;

    c->idle = under_way == 0;
    if (c->least_ms == 0 || (was_idle && c->window.answered == 0)) {
        open_window(c, now_ms);
        return;
    }
    if (c->window.answered == 0 || ms <= 0 || (ms < WINDOW_MS && !was_idle))
        return;
    int64_t took_us = (int64_t)(c->window.took_us / c->window.answered);
    uint64_t rate = c->window.answered * 1000 / (uint64_t)ms;

    /* Over a pause there is no rate. */
    if (was_idle) {
        lighten(c, took_us);
    } else {
        c->rate = c->rate ? (c->rate * (RATE_WINDOWS - 1) + rate) / RATE_WINDOWS : rate;
        judge(c, took_us, now_ms);
    }
    open_window(c, now_ms);
}
