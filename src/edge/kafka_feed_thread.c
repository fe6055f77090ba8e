/* kafka_feed_thread.c - reads the topic, as far ahead as the consumer lets it. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/kafka_feed_internal.h"

#define WAIT_MS  50  /* for messages; what has come by then goes */
#define AGAIN_MS 500 /* after a failure */
#define OPEN_MS  2000

static bool stopped(const struct kafka_feed *feed) {
    return atomic_load(&feed->stop);
}

/* Other partitions are wanted than those that are read. */
static bool turned(const struct kafka_feed *feed) {
    return atomic_load(&feed->turn) != feed->thread_own.turn;
}

/* 'up' again is said once. */
static void say(struct kafka_feed *feed, bool up, const char *problem) {
    if (atomic_exchange(feed->conf.up, up) == up && up)
        return;
    if (up)
        log_line(LOG_INFO, "reading events from Kafka", LOG_STR("brokers", feed->conf.url.brokers),
                 LOG_STR("topic", feed->conf.url.topic));
    else
        log_line(LOG_WARN, "events can't be read from Kafka; trying again",
                 LOG_STR("brokers", feed->conf.url.brokers), LOG_STR("topic", feed->conf.url.topic),
                 LOG_STR("problem", problem));
}

static void rest(void) {
    struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};

    (void)nanosleep(&pause, NULL);
}

/* ---- a consumer that begins where the last one was ---- */

static int64_t *offsets_from(const struct kafka_feed *feed, uint32_t *out_count) {
    const struct kafka_offset *at =
        (const struct kafka_offset *)(const void *)feed->thread_own.resume.ptr;
    size_t known = feed->thread_own.resume.len / sizeof(*at);
    uint32_t count = 0;

    for (size_t i = 0; i < known; i++)
        if ((uint32_t)at[i].partition >= count)
            count = (uint32_t)at[i].partition + 1;
    int64_t *from = malloc((count + 1) * sizeof(*from));
    for (uint32_t i = 0; from && i < count; i++)
        from[i] = KAFKA_FROM_FIRST;
    for (size_t i = 0; from && i < known; i++)
        from[at[i].partition] = at[i].next;
    *out_count = count;
    return from;
}

static void turn_to(struct kafka_feed *feed) {
    pthread_mutex_lock(&feed->lock);
    feed->thread_own.turn = atomic_load(&feed->turn);
    feed->thread_own.reads = feed->wanted.reads;
    buf_clear(&feed->thread_own.resume);
    buf_add_slice(&feed->thread_own.resume, buf_slice(&feed->wanted.from));
    pthread_mutex_unlock(&feed->lock);
}

/* NULL: it was said why. */
static struct kafka_consumer *make(struct kafka_feed *feed) {
    struct kafka_consumer_conf conf = {
        .url = &feed->conf.url, .read = &feed->thread_own.reads, .ends = true};
    struct kafka_consumer *consumer = NULL;
    const char *detail = "out of memory";
    int64_t *from = offsets_from(feed, &conf.from_count);

    conf.from = from;
    if (!from || kafka_consumer_new(&conf, &consumer, &detail) != ERR_OK) {
        say(feed, false, detail);
    } else if (kafka_consumer_open(consumer, OPEN_MS) != ERR_OK) {
        say(feed, false, kafka_consumer_problem(consumer));
        kafka_consumer_free(consumer);
        consumer = NULL;
    }
    free(from);
    if (consumer)
        atomic_store(&feed->count, kafka_consumer_partitions(consumer));
    return consumer;
}

/* ---- chunks ---- */

static enum err take(struct kafka_feed *feed, struct chunk *chunk,
                     const struct kafka_message *message) {
    if (message->end) {
        kafka_chunk_end(chunk, message->partition, message->offset);
        return ERR_OK;
    }
    enum err err = kafka_chunk_add(chunk, message);
    if (err == ERR_OK)
        kafka_offset_set(&feed->thread_own.resume, message->partition, message->offset + 1);
    return err;
}

/* ERR_OK: it is full, or its time is over: waiting for each message anew would never end while
 * some come all the time. Those that are here already take none. */
static enum err fill(struct kafka_feed *feed, struct kafka_consumer *consumer,
                     struct chunk *chunk) {
    int64_t left_ms = WAIT_MS;
    int64_t until_ms = clock_mono_ms() + left_ms;
    enum err err = ERR_OK;

    while (err == ERR_OK && left_ms > 0 && !stopped(feed) && !turned(feed) &&
           !kafka_chunk_is_full(chunk)) {
        struct kafka_message message;

        err = kafka_consumer_next(consumer, left_ms, &message);
        if (err == ERR_OK)
            err = take(feed, chunk, &message);
        if (!kafka_consumer_has_more(consumer))
            left_ms = until_ms - clock_mono_ms();
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static void drop(struct mail *mail) {
    kafka_chunk_free(CONTAINER_OF(mail, struct chunk, mail));
}

static bool take_credit(struct kafka_feed *feed) {
    while (sem_wait(&feed->credit) != 0)
        ;
    return !stopped(feed);
}

static void send_chunk(struct kafka_feed *feed, struct chunk *chunk) {
    chunk->mail = (struct mail){.run = kafka_feed_take, .drop = drop};
    if (mailbox_send(loop_mailbox(feed->loop), &chunk->mail) != ERR_OK)
        abort(); /* CHUNKS at most: the mailbox has room */
}

/* False: nothing comes behind it. */
static bool pass_on(struct kafka_feed *feed, struct kafka_consumer *consumer) {
    struct chunk *chunk = kafka_chunk_new(feed);
    enum err err = chunk ? fill(feed, consumer, chunk) : ERR_NO_MEMORY;

    if (!chunk)
        return false;
    bool again = err == ERR_UNAVAILABLE;
    if (again)
        say(feed, false, kafka_consumer_problem(consumer));
    else if (err == ERR_OK)
        say(feed, true, NULL);
    chunk->fault = again ? ERR_OK : err;
    if (!kafka_chunk_close(chunk))
        chunk->fault = ERR_NO_MEMORY;
    bool ends = chunk->fault != ERR_OK;
    if (chunk->count == 0 && chunk->offsets.len == 0 && !ends)
        kafka_chunk_free(chunk);
    else if (take_credit(feed))
        send_chunk(feed, chunk);
    else
        kafka_chunk_free(chunk);
    return !ends && !again;
}

void *kafka_feed_run(void *arg) {
    struct kafka_feed *feed = arg;

    while (!stopped(feed)) {
        if (turned(feed))
            turn_to(feed);
        struct kafka_consumer *consumer = make(feed);

        while (consumer && !stopped(feed) && !turned(feed) && pass_on(feed, consumer))
            ;
        kafka_consumer_free(consumer);
        if (!stopped(feed) && !turned(feed))
            rest();
    }
    return NULL;
}
