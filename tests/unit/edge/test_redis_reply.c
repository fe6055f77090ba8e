/* What Redis' errors come to, in the words of its versions. */
#include <hiredis/hiredis.h>

#include "edge/redis_reply.h"
#include "test.h"

static const struct {
    const char *says;
    enum err err;
    bool refused; /* surely nothing has changed */
} rows[] = {
    {"NOSCRIPT No matching script. Please use EVAL.", ERR_NOT_FOUND, true},
    {"OOM command not allowed when used memory > 'maxmemory'. script: 0a, on @user_script:9.",
     ERR_NO_MEMORY, true}, /* at the script's first write: none behind it can fail so */
    {"READONLY You can't write against a read only replica.", ERR_UNAVAILABLE, true},
    {"HGPEPOCH 2", ERR_LAYOUT, true},
    {"HGPHALTED hgp:{0}:o: WRONGTYPE", ERR_CORRUPT, false},

    /* A right may be missing behind the first write: 7.2, then 7.0, then 6.2. */
    {"NOPERM User svc has no permissions to run the 'evalsha' command", ERR_INTERNAL, true},
    {"NOPERM User svc has no permissions to run the 'set' command script: 0a, on "
     "@user_script:9.",
     ERR_INTERNAL, false},
    {"ERR The user executing the script can't run this command or subcommand script: 0a, on "
     "@user_script:9.",
     ERR_INTERNAL, false},
    {"ERR Error running script (call to f_0a): @user_script:9: NOPERM this user", ERR_INTERNAL,
     false},
    {"NOPERMANENT", ERR_INTERNAL, false},
};

static void test_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[160];
        int len = snprintf(text, sizeof(text), "%s", rows[i].says);
        redisReply reply = {.type = REDIS_REPLY_ERROR, .str = text, .len = (size_t)len};
        bool refused;
        enum err err = redis_reply_err((const struct redis_reply *)&reply, &refused);

        if (err != rows[i].err || refused != rows[i].refused)
            fail_msg("\"%s\": %s, refused %d", rows[i].says, err_name(err), refused);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests_name("edge/redis_reply", tests, NULL, NULL);
}
