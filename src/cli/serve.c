/* serve.c - signals in, workers drained. */
#include "cli/serve.h"

#include <errno.h>
#include <signal.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/notify.h"

#define FORCE_AFTER_ABORT_MS 3000

static void end_signals(sigset_t *out) {
    sigemptyset(out);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGUSR1);
    sigaddset(out, SIGHUP);
    sigaddset(out, SIGUSR2);
}

void serve_init(struct serve *serve) {
    sigset_t set;

    serve->main_thread = pthread_self();
    serve->pulse_at_ms = INT64_MAX;
    end_signals(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* inherited by every thread */
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Wakes the main thread out of sigtimedwait(); the signal itself means "look". */
static void wake_main(struct serve *serve) {
    (void)pthread_kill(serve->main_thread, SIGUSR1);
}

void serve_broken(void *ctx) {
    struct serve *serve = ctx;

    atomic_store(&serve->broken, true);
    wake_main(serve);
}

void serve_ask_reload(void *ctx) {
    struct serve *serve = ctx;

    atomic_store(&serve->asked, true);
    wake_main(serve);
}

void serve_taken(void *ctx) {
    struct serve *serve = ctx;

    atomic_store(&serve->taken, true);
    wake_main(serve);
}

void serve_drained(void *ctx) {
    struct serve *serve = ctx;

    if (atomic_fetch_sub(&serve->draining, 1) == 1)
        wake_main(serve);
}

/* ---- the watchdog ---- */

static void begin_pulse(struct serve *serve, struct worker *workers, unsigned count) {
    serve->workers = workers;
    serve->count = count;
    serve->pulse_every_ms = notify_watchdog_ms();
    serve->pulse_at_ms = serve->pulse_every_ms ? clock_mono_ms() : INT64_MAX;
}

/* One loop that stands still, and the watchdog isn't fed. */
static void pulse(struct serve *serve) {
    bool turned = true;

    for (unsigned i = 0; i < serve->count; i++)
        turned &= worker_turned(&serve->workers[i]);
    if (turned)
        notify("WATCHDOG=1");
    serve->pulse_at_ms = clock_mono_ms() + serve->pulse_every_ms;
}

/* ---- signals ---- */

/* The next of our signals, 0 when 'until_ms' (monotonic) has come. */
static int wait_signal(int64_t until_ms) {
    sigset_t set;

    end_signals(&set);
    for (;;) {
        int64_t left_ms = until_ms - clock_mono_ms();
        struct timespec wait = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        int got;

        if (until_ms == INT64_MAX)
            got = sigwaitinfo(&set, NULL);
        else
            got = left_ms > 0 ? sigtimedwait(&set, NULL, &wait) : 0;
        if (got >= 0)
            return got;
        if (errno == EAGAIN)
            return 0;
    }
}

/* The same, and the watchdog fed meanwhile. */
static int next_signal(struct serve *serve, int64_t until_ms) {
    for (;;) {
        bool pulse_first = serve->pulse_at_ms < until_ms;
        int got = wait_signal(pulse_first ? serve->pulse_at_ms : until_ms);

        if (got || !pulse_first)
            return got;
        pulse(serve);
    }
}

static void reload_and_tell(void (*reload)(void *ctx, bool signal), void *ctx) {
    notify_reloading();
    reload(ctx, true);
    notify("READY=1");
}

static bool is_over(struct serve *serve) {
    return atomic_load(&serve->broken) || atomic_load(&serve->taken);
}

void serve_wait(struct serve *serve, struct worker *workers, unsigned count,
                void (*reload)(void *ctx, bool signal), void (*backup)(void *ctx), void *ctx) {
    int got;

    begin_pulse(serve, workers, count);
    notify("READY=1");
    do {
        got = next_signal(serve, INT64_MAX);
        if (got == SIGHUP)
            reload_and_tell(reload, ctx);
        else if (got == SIGUSR2)
            backup(ctx);
        else if (atomic_exchange(&serve->asked, false))
            reload(ctx, false);
    } while (got == SIGHUP || got == SIGUSR2 || (got == SIGUSR1 && !is_over(serve)));
    notify("STOPPING=1");
    if (atomic_load(&serve->taken))
        log_line(LOG_INFO, "draining: another process has taken the listeners over");
    else if (got != SIGUSR1)
        log_line(LOG_INFO, "draining", LOG_STR("signal", got == SIGINT ? "SIGINT" : "SIGTERM"));
}

/* Behind the workers only files and brokers are waited for: a signal needs nobody to hear it. */
static void let_signals_end_us(void) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* False: 'until_ms' has come. */
static bool next_word(struct serve *serve, int64_t until_ms) {
    int got = next_signal(serve, until_ms);

    if (got == SIGINT || got == SIGTERM) {
        log_line(LOG_WARN, "a second signal: ending at once");
        _exit(128 + got);
    }
    return got != 0;
}

void serve_linger(struct serve *serve, int64_t ms) {
    int64_t until_ms = clock_mono_ms() + ms;

    while (!atomic_load(&serve->broken) && next_word(serve, until_ms))
        ;
}

static bool wait_drained(struct serve *serve, int64_t until_ms) {
    while (atomic_load(&serve->draining) > 0)
        if (!next_word(serve, until_ms))
            return false;
    let_signals_end_us();
    return true;
}

void serve_drain(struct serve *serve, struct worker *workers, unsigned count, int64_t drain_ms) {
    int64_t until_ms = clock_mono_ms() + drain_ms;

    atomic_store(&serve->draining, count);
    for (unsigned i = 0; i < count; i++)
        worker_drain(&workers[i]);
    if (wait_drained(serve, until_ms))
        return;
    log_line(LOG_WARN, "the drain took too long: closing what clients still hold open",
             LOG_INT("drain_ms", drain_ms));
    for (unsigned i = 0; i < count; i++)
        worker_abort(&workers[i]);
    if (wait_drained(serve, clock_mono_ms() + FORCE_AFTER_ABORT_MS))
        return;
    log_line(LOG_ERROR, "requests are still under way in the store: ending without them");
    _exit(EX_TEMPFAIL);
}
