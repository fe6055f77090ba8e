/* feed.c - reads beside the store's thread; everything that changes the store by mail to it. */
#include "counter/feed.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/consumers.h"
#include "core/outbox_read.h"
#include "counter/internal.h"

struct counter_feed {
    struct feed feed;
    struct counter_service *service;
    struct mailbox *home;
    char name[CONSUMER_NAME_BYTES + 1];

    struct { /* the consumer's loop */
        struct feed_user user;
        struct outbox_reader reader;
        struct feed_read *first; /* by 'next' */
        struct feed_read **last;
        bool reads_under_way;
        struct event_position *at; /* reported by the consumer, by lane */
        bool changed;              /* since the last report was sent */
        bool reporting;            /* one is under way */
        bool closing;
        void (*closed)(void *ctx);
        void *closed_ctx;
    } own;

    /* Mail, each under way at most once. To the store and back, except the last two. */
    struct mail open;
    struct mail report;
    struct mail close;
    struct mail reads; /* from the consumer's loop to itself */
    struct mail wake;  /* to the consumer's loop */

    enum err open_err;
    struct event_position *sent; /* the report's, or the answer to open; by lane */
    atomic_bool asleep;          /* a read came back empty since the last wake */
    atomic_bool waking;          /* the wake is under way */
    struct counter_feed *next;   /* the store thread's */
};

static struct counter_feed *of(struct feed *feed) {
    return CONTAINER_OF(feed, struct counter_feed, feed);
}

/* Both mailboxes have room: a feed has at most five mails under way. */
static void send(struct mailbox *to, struct mail *mail, void (*run)(struct mail *mail)) {
    mail->run = run;
    if (mailbox_send(to, mail) != ERR_OK)
        abort();
}

static void drop(struct mail *mail) {
    (void)mail; /* part of the feed */
}

/* ---- the ends of the lanes, for every feed ---- */

bool counter_ends_make(struct counter_service *service, uint32_t lanes) {
    service->ends = calloc(lanes, sizeof(*service->ends));
    service->lanes = lanes;
    for (uint32_t i = 0; service->ends && i < lanes; i++)
        service->ends[i].epoch = applier_lane_end(service->applier, i).epoch;
    return service->ends != NULL;
}

static struct event_position lane_end(const struct counter_service *service, uint32_t lane) {
    return (struct event_position){service->ends[lane].epoch,
                                   atomic_load(&service->ends[lane].seq)};
}

static void run_wake(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, wake);

    atomic_store(&feed->waking, false);
    if (!feed->own.closing)
        feed->own.user.more(feed->own.user.ctx);
}

static void wake(struct counter_feed *feed) {
    if (atomic_exchange(&feed->asleep, false) && !atomic_exchange(&feed->waking, true))
        send(feed->home, &feed->wake, run_wake);
}

void counter_ends_publish(struct counter_service *service) {
    bool moved = false;

    for (uint32_t i = 0; i < service->lanes; i++) {
        uint64_t seq = applier_lane_end(service->applier, i).seq;

        if (seq == atomic_load_explicit(&service->ends[i].seq, memory_order_relaxed))
            continue;
        atomic_store(&service->ends[i].seq, seq);
        moved = true;
    }
    for (struct counter_feed *feed = service->own.feeds; moved && feed; feed = feed->next)
        wake(feed);
}

/* ---- open ---- */

static void opened(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, open);
    struct feed_info info = {
        .store_id = feed->service->store_id, .lanes = feed->service->lanes, .reported = feed->sent};

    if (feed->open_err == ERR_OK)
        memcpy(feed->own.at, feed->sent, info.lanes * sizeof(*feed->own.at));
    if (!feed->own.closing)
        feed->own.user.opened(feed->own.user.ctx, feed->open_err, &info);
}

static enum err join(struct counter_feed *feed) {
    struct counter_service *service = feed->service;
    const struct event_position *at;

    if (!counter_up(service))
        return ERR_UNAVAILABLE;
    enum err err = applier_consumer_add(service->applier, slice_str(feed->name), &at);
    if (err != ERR_OK)
        return err;
    memcpy(feed->sent, at, service->lanes * sizeof(*feed->sent));
    feed->next = service->own.feeds;
    service->own.feeds = feed;
    service->own.chores = true;
    service->own.chores_durable = true;
    return ERR_OK;
}

static void run_open(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, open);

    feed->open_err = join(feed);
    send(feed->home, mail, opened);
}

static void embedded_open(struct feed *base, const struct feed_user *user) {
    struct counter_feed *feed = of(base);

    feed->own.user = *user;
    send(feed->service->mailbox, &feed->open, run_open);
}

/* ---- read ---- */

/* Asleep before the second look: either this sees what is new, or the store sees the sleeper. */
static void fall_asleep(struct counter_feed *feed, const struct feed_read *read) {
    atomic_store(&feed->asleep, true);
    if (event_position_less(read->after, lane_end(feed->service, read->lane)))
        wake(feed);
}

static void run_read(struct counter_feed *feed, struct feed_read *read) {
    struct outbox_reader *reader = &feed->own.reader;
    enum err err = outbox_read(reader, feed->service->conf.scanner, read->lane, read->after,
                               lane_end(feed->service, read->lane), read->max_bytes);

    if (err == ERR_OK && reader->count == 0)
        fall_asleep(feed, read);
    read->done(read, err, reader->events, err == ERR_OK ? reader->count : 0);
}

static void run_reads(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, reads);
    struct feed_read *read = feed->own.first;

    feed->own.first = NULL;
    feed->own.last = &feed->own.first;
    feed->own.reads_under_way = false;
    while (read) {
        struct feed_read *next = read->next;

        run_read(feed, read);
        read = next;
    }
}

static void embedded_read(struct feed *base, struct feed_read *read) {
    struct counter_feed *feed = of(base);

    read->next = NULL;
    *feed->own.last = read;
    feed->own.last = &read->next;
    if (feed->own.reads_under_way)
        return;
    feed->own.reads_under_way = true;
    send(feed->home, &feed->reads, run_reads);
}

static struct event_position embedded_end(struct feed *base, uint32_t lane) {
    return lane_end(of(base)->service, lane);
}

/* ---- report and close ---- */

static void run_report(struct mail *mail);
static void run_close(struct mail *mail);

static void send_what_is_due(struct counter_feed *feed) {
    if (feed->own.reporting)
        return;
    if (feed->own.changed) {
        memcpy(feed->sent, feed->own.at, feed->service->lanes * sizeof(*feed->sent));
        feed->own.changed = false;
        feed->own.reporting = true;
        send(feed->service->mailbox, &feed->report, run_report);
    } else if (feed->own.closing) {
        send(feed->service->mailbox, &feed->close, run_close);
    }
}

static void reported(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, report);

    feed->own.reporting = false;
    send_what_is_due(feed);
}

static void run_report(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, report);
    struct counter_service *service = feed->service;

    for (uint32_t i = 0; counter_up(service) && i < service->lanes; i++) {
        enum err err =
            applier_consumer_report(service->applier, slice_str(feed->name), i, feed->sent[i]);
        (void)err; /* forgotten meanwhile, or the store has failed: nothing to keep it for */
    }
    service->own.chores = true;
    send(feed->home, mail, reported);
}

static void embedded_report(struct feed *base, uint32_t lane, struct event_position at) {
    struct counter_feed *feed = of(base);

    if (!event_position_less(feed->own.at[lane], at))
        return;
    feed->own.at[lane] = at;
    feed->own.changed = true;
    send_what_is_due(feed);
}

static void closed(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, close);

    feed->own.closed(feed->own.closed_ctx);
}

static void run_close(struct mail *mail) {
    struct counter_feed *feed = CONTAINER_OF(mail, struct counter_feed, close);
    struct counter_feed **at = &feed->service->own.feeds;

    while (*at && *at != feed)
        at = &(*at)->next;
    if (*at)
        *at = feed->next;
    send(feed->home, mail, closed);
}

static void embedded_close(struct feed *base, void (*fn)(void *ctx), void *ctx) {
    struct counter_feed *feed = of(base);

    feed->own.closing = true;
    feed->own.closed = fn;
    feed->own.closed_ctx = ctx;
    send_what_is_due(feed);
}

/* ---- life ---- */

static const struct feed_ops ops = {
    .open = embedded_open,
    .read = embedded_read,
    .report = embedded_report,
    .end = embedded_end,
    .close = embedded_close,
};

struct counter_feed *counter_feed_new(struct counter_service *service, const char *consumer,
                                      struct mailbox *home) {
    struct counter_feed *feed = calloc(1, sizeof(*feed));

    if (!feed)
        return NULL;
    feed->feed.ops = &ops;
    feed->service = service;
    feed->home = home;
    (void)snprintf(feed->name, sizeof(feed->name), "%s", consumer);
    feed->own.last = &feed->own.first;
    feed->own.at = calloc(service->lanes, sizeof(*feed->own.at));
    feed->sent = calloc(service->lanes, sizeof(*feed->sent));
    feed->open.drop = feed->report.drop = feed->close.drop = drop;
    feed->reads.drop = feed->wake.drop = drop;
    if (feed->own.at && feed->sent)
        return feed;
    counter_feed_free(feed);
    return NULL;
}

struct feed *counter_feed_base(struct counter_feed *feed) {
    return &feed->feed;
}

void counter_feed_free(struct counter_feed *feed) {
    if (!feed)
        return;
    outbox_reader_release(&feed->own.reader);
    free(feed->own.at);
    free(feed->sent);
    free(feed);
}

/* ---- another's positions ---- */

struct inquiry {
    struct mail mail;
    struct counter_service *service;
    struct slice name;
    struct event_position *out_at;
    uint32_t lanes;
    enum err err;
    sem_t answered;
};

static void drop_inquiry(struct mail *mail) {
    sem_post(&CONTAINER_OF(mail, struct inquiry, mail)->answered);
}

static void run_inquiry(struct mail *mail) {
    struct inquiry *inquiry = CONTAINER_OF(mail, struct inquiry, mail);
    const struct event_position *at = applier_consumer_at(inquiry->service->applier, inquiry->name);
    bool fits = inquiry->service->lanes == inquiry->lanes;

    inquiry->err = !at ? ERR_NOT_FOUND : fits ? ERR_OK : ERR_LAYOUT;
    if (inquiry->err == ERR_OK)
        memcpy(inquiry->out_at, at, inquiry->lanes * sizeof(*at));
    sem_post(&inquiry->answered);
}

enum err counter_consumer_at(struct counter_service *service, const char *consumer,
                             struct event_position *out_at, uint32_t lanes) {
    struct inquiry inquiry = {.mail = {.run = run_inquiry, .drop = drop_inquiry},
                              .service = service,
                              .name = slice_str(consumer),
                              .out_at = out_at,
                              .lanes = lanes,
                              .err = ERR_UNAVAILABLE};

    (void)sem_init(&inquiry.answered, 0, 0);
    if (mailbox_send(service->mailbox, &inquiry.mail) == ERR_OK)
        while (sem_wait(&inquiry.answered) != 0)
            ;
    (void)sem_destroy(&inquiry.answered);
    return inquiry.err;
}

/* ---- forget ---- */

struct forget {
    struct mail mail;
    struct counter_service *service;
    char name[CONSUMER_NAME_BYTES + 1];
};

static void drop_forget(struct mail *mail) {
    free(CONTAINER_OF(mail, struct forget, mail));
}

static void run_forget(struct mail *mail) {
    struct forget *forget = CONTAINER_OF(mail, struct forget, mail);

    applier_consumer_remove(forget->service->applier, slice_str(forget->name));
    forget->service->own.chores = true;
    free(forget);
}

enum err counter_forget_consumer(struct counter_service *service, const char *consumer) {
    struct forget *forget = calloc(1, sizeof(*forget));

    if (!forget)
        return ERR_NO_MEMORY;
    forget->mail = (struct mail){.run = run_forget, .drop = drop_forget};
    forget->service = service;
    (void)snprintf(forget->name, sizeof(forget->name), "%s", consumer);
    enum err err = mailbox_send(service->mailbox, &forget->mail);
    if (err != ERR_OK)
        free(forget);
    return err;
}
