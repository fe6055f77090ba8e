/* source.c - see source.h. */
#include "cli/source.h"

#include "core/consumers.h"

/* A counter's embedded store has one owner, and so has every event one place to come from. */
void source_check(const struct config *config, struct config_problems *problems) {
    struct slice list = slice_str(config->counter);

    (void)config_next_upstream(&list);
    if (list.len)
        config_problem(problems, "counter: analytics reads the events of one counter");
}

static struct feed *make(void *ctx, struct loop *loop) {
    struct source *source = ctx;
    struct outbox_feed_conf conf = {
        .resolver = source->resolver,
        .address = slice_str(source->config->counter),
        .tls = source->tls,
        .consumer = SLICE(CONSUMER_ANALYTICS),
        .up = &source->up,
    };

    source->outbox = outbox_feed_new(loop, &conf);
    return source->outbox ? outbox_feed_base(source->outbox) : NULL;
}

static void release(void *ctx) {
    struct source *source = ctx;

    outbox_feed_free(source->outbox);
    source->outbox = NULL;
}

struct feed_maker source_feed_maker(struct source *source) {
    return (struct feed_maker){.ctx = source, .make = make, .release = release};
}
