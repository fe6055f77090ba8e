/* redis_plain.c - commands out, an array of their replies in. */
#include "redis_plain.h"

#include <stdlib.h>

#include "edge/redis_reads.h"
#include "test.h"

#define REPLIES_MAX 16

/* TIME is the last one. */
static void put_clock(struct buf *command) {
    static const char time[] = "*1\r\n$4\r\nTIME\r\n";
    size_t len = sizeof(time) - 1;

    assert_true(command->len > len);
    assert_memory_equal(command->ptr + command->len - len, time, len);
    command->len -= len;
    buf_add_str(command, "*3\r\n$4\r\nMGET\r\n$3\r\nt:s\r\n$3\r\nt:u\r\n");
    assert_false(buf_failed(command));
}

enum plain plain_ask(redisContext *client, struct redis_plan *plan,
                     const struct redis_layout *layout, const struct message *message,
                     uint32_t from, uint32_t end, struct buf *command) {
    redisReply *each[REPLIES_MAX];
    redisReply all = {.type = REDIS_REPLY_ARRAY, .element = each};

    buf_clear(command);
    size_t count = redis_reads_commands(plan, layout, from, end, command);
    assert_in_range(count, 0, REPLIES_MAX);
    if (count == 0) {
        assert_int_equal(command->len, 0);
        return PLAIN_NEVER;
    }
    put_clock(command);
    assert_int_equal(redisAppendFormattedCommand(client, command->ptr, command->len), REDIS_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(redisGetReply(client, (void **)&each[i]), REDIS_OK);
    all.elements = count;
    bool heard = redis_reads_hear(plan, layout, message, from, end, (struct redis_reply *)&all);
    for (size_t i = 0; i < count; i++)
        freeReplyObject(each[i]);
    return heard ? PLAIN_HEARD : PLAIN_SCRIPT;
}
