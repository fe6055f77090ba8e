/* redis_reader.c - hiredis' way to build replies of another kind of memory. */
#include "edge/redis_reader.h"

#include <string.h>

/* Each in its place: the reply itself, or an element of the array that is being read. */
static redisReply *new_reply(const redisReadTask *task, int type) {
    redisReply *reply = arena_alloc(task->privdata, sizeof(*reply));

    if (!reply)
        return NULL;
    *reply = (redisReply){.type = type};
    if (task->parent)
        ((redisReply *)task->parent->obj)->element[task->idx] = reply;
    return reply;
}

static void *new_string(const redisReadTask *task, char *text, size_t len) {
    struct slice copy = arena_copy(task->privdata, slice_of(text, len));
    redisReply *reply = copy.ptr ? new_reply(task, task->type) : NULL;

    if (reply) {
        reply->str = (char *)copy.ptr;
        reply->len = len;
    }
    return reply;
}

#if HIREDIS_MAJOR >= 1
typedef size_t reply_count;
#else
typedef int reply_count;
#endif

static void *new_array(const redisReadTask *task, reply_count count) {
    size_t elements = (size_t)count;
    redisReply **element = arena_alloc(task->privdata, elements * sizeof(redisReply *));
    redisReply *reply = element ? new_reply(task, REDIS_REPLY_ARRAY) : NULL;

    if (reply) {
        reply->elements = elements;
        reply->element = element;
    }
    return reply;
}

static void *new_integer(const redisReadTask *task, long long value) {
    redisReply *reply = new_reply(task, REDIS_REPLY_INTEGER);

    if (reply)
        reply->integer = value;
    return reply;
}

static void *new_nil(const redisReadTask *task) {
    return new_reply(task, REDIS_REPLY_NIL);
}

static void leave(void *reply) {
    (void)reply; /* the arena's */
}

redisReply *redis_reader_array(struct arena *arena, size_t count) {
    redisReply *reply = arena_alloc(arena, sizeof(*reply));
    redisReply **element = arena_alloc(arena, count * sizeof(redisReply *));

    if (!reply || !element)
        return NULL;
    *reply = (redisReply){.type = REDIS_REPLY_ARRAY, .element = element};
    return reply;
}

redisReader *redis_reader_new(struct arena *arena) {
    static redisReplyObjectFunctions functions = {.createString = new_string,
                                                  .createArray = new_array,
                                                  .createInteger = new_integer,
                                                  .createNil = new_nil,
                                                  .freeObject = leave};
    redisReader *reader = redisReaderCreateWithFunctions(&functions);

    if (reader)
        reader->privdata = arena;
    return reader;
}
