/* concurrency.c */
#include "core/concurrency.h"

#define WINDOW_MS   50
#define LIMIT_LEAST 4 /* of each loop, whatever happens: without answers nothing can be seen */
/* How fast 'usual' follows, in windows: up, so that a queue that grows isn't taken for usual; down;
 * and what is but a guess, while we shed: before others that share the store hold a trial. */
#define RISE         256
#define SINK         64
#define GUESS_SINK   16
#define LEARNED      16 /* windows: no guess any more */
#define USUAL_MIN_US 1
#define LATE_WINDOWS 2
#define RATE_WINDOWS 16 /* that the rate is an average of */
#define LOOK_MS      1000
#define TRIALS_MAX   5 /* that make the next one come later */

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

/* Half as much again is too long. */
static void believe(struct concurrency *c, int64_t took_us) {
    c->usual_us = took_us * 3 / 4;
    if (c->usual_us < USUAL_MIN_US)
        c->usual_us = USUAL_MIN_US;
}

static void learn_usual(struct concurrency *c, int64_t took_us) {
    if (c->learned < LEARNED)
        c->learned++;
    if (c->usual_us == 0) {
        believe(c, took_us);
        return;
    }
    if (took_us < c->usual_us)
        c->usual_us -= (c->usual_us - took_us) / SINK;
    else
        c->usual_us += (took_us - c->usual_us) / RISE;
}

/* So many are answered within the target. */
static uint64_t fitting(const struct concurrency *c, uint64_t rate) {
    return rate * (uint64_t)target_us(c) / 1000000;
}

/* What came of a change. A trial makes a queue longer if it was one, so it mustn't come often. */
static void look_later(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    c->cut.settled_ms = now_ms + 4 * took_us / 1000 + LOOK_MS;
    c->cut.look_ms = c->cut.settled_ms + (LOOK_MS << c->cut.trials);
    c->cut.windows = c->cut.late = c->cut.took_us = 0;
}

/* A fifth less than fits: a queue is gone soon, and what is late then isn't because of it. */
static void lower(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    uint64_t limit = fitting(c, c->rate) * 4 / 5;

    if (limit >= c->limit)
        return;
    if (!c->cut.on) {
        c->cut.on = true;
        c->cut.trials = 0;
        c->cut.rate = c->rate;
        look_later(c, took_us, now_ms);
    }
    set_limit(c, limit);
}

static void begin_trial(struct concurrency *c, int64_t took_us) {
    c->trial.on = true;
    c->trial.usual_us = c->usual_us;
    c->trial.rate = c->rate;
    if (c->cut.trials < TRIALS_MAX)
        c->cut.trials++;
    believe(c, took_us);
    set_limit(c, fitting(c, c->cut.rate));
}

static void end_trial(struct concurrency *c) {
    c->trial.on = false;
    if (c->rate * 2 >= c->trial.rate * 3) {
        c->learned = LEARNED;
        return;
    }
    c->usual_us = c->trial.usual_us;
    set_limit(c, fitting(c, c->rate));
}

/* A queue that is cut short costs no throughput, and takes no longer than it may. */
static void look_back(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    if (now_ms < c->cut.settled_ms)
        return;
    c->cut.windows++;
    c->cut.late += took_us > target_us(c);
    c->cut.took_us += (uint64_t)took_us;
    if (now_ms < c->cut.look_ms)
        return;
    if (c->trial.on)
        end_trial(c);
    else if (c->cut.late * 8 >= c->cut.windows * 7)
        begin_trial(c, (int64_t)(c->cut.took_us / c->cut.windows));
    else
        c->cut.rate = c->rate;
    look_later(c, took_us, now_ms);
}

/* Slowly where it is nearly late: what one of those who share the store lets in, all wait for. */
static void let_in_more(struct concurrency *c, int64_t took_us, bool shed) {
    size_t more = shed ? 4 : 16; /* of 64 */

    if (took_us * 5 > target_us(c) * 4)
        more = 1;
    c->owed += c->limit * more;
    set_limit(c, c->limit + c->owed / 64);
    c->owed %= 64;
}

/* Nothing is held back: this is what answers take. */
static void all_let_in(struct concurrency *c, int64_t took_us) {
    learn_usual(c, took_us);
    c->limit = c->limit_max;
    c->cut.on = c->trial.on = false;
}

static void judge(struct concurrency *c, int64_t took_us, int64_t now_ms) {
    bool shed = c->window.shed > 0;

    if (c->usual_us == 0) {
        learn_usual(c, took_us);
        return;
    }
    if (shed && c->cut.on)
        look_back(c, took_us, now_ms);
    if (c->cut.on && !c->trial.on && c->learned < LEARNED)
        c->usual_us -= c->usual_us / GUESS_SINK;
    c->late = took_us > target_us(c) ? c->late + 1 : 0;
    if (c->late >= LATE_WINDOWS)
        lower(c, took_us, now_ms);
    else if (c->late)
        return; /* once is a hiccup */
    else if (shed || c->limit < c->limit_max)
        let_in_more(c, took_us, shed);
    else
        all_let_in(c, took_us);
}

static void open_window(struct concurrency *c, int64_t now_ms) {
    c->window.began_ms = now_ms;
    c->window.answered = c->window.took_us = c->window.shed = 0;
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

    /* The store had nothing to do at times: that is no overload, and over a pause there is no rate.
     */
    if (was_idle && c->window.shed == 0) {
        all_let_in(c, took_us);
    } else if (!was_idle) {
        c->rate = c->rate ? (c->rate * (RATE_WINDOWS - 1) + rate) / RATE_WINDOWS : rate;
        judge(c, took_us, now_ms);
    }
    open_window(c, now_ms);
}
