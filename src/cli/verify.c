/* verify.c - read the store, and what analytics has of it, then its events, then compare. */
#include "cli/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/log.h"
#include "cli/build_info.h"
#include "cli/events.h"
#include "cli/store_url.h"
#include "cli/verify_internal.h"

#define WAIT_S     30
#define WAIT_S_MAX 86400

int verify_give_up(const struct verify *verify, int code, const char *fmt, ...) {
    va_list args;

    (void)fprintf(verify->err, BUILD_NAME " %s: ", tool_name(verify->options->tool));
    va_start(args, fmt);
    (void)vfprintf(verify->err, fmt, args);
    va_end(args);
    (void)fputc('\n', verify->err);
    return code;
}

int verify_read_wait(struct verify *verify) {
    const char *text = verify->options->value[TOOL_FLAG_WAIT];
    char *end = NULL;
    long seconds = WAIT_S;

    errno = 0;
    if (text)
        seconds = strtol(text, &end, 10);
    if (text && (errno || end == text || *end || seconds < 0 || seconds > WAIT_S_MAX))
        return verify_give_up(verify, EX_USAGE, "--wait: a number of seconds up to %d", WAIT_S_MAX);
    verify->wait_ms = seconds * 1000;
    return EX_OK;
}

int verify_begin(struct verify *verify, uint32_t lanes, const struct event_position *at,
                 bool others_write) {
    struct audit_conf conf = {
        .store_id = verify->store_id,
        .lanes = lanes,
        .others_write = others_write && !verify->options->given[TOOL_FLAG_STRICT],
        .adds_unread = !verify->wanted.listed,
        .adds = verify->wanted.prefix,
    };

    verify->audit = audit_new(&conf);
    if (!verify->audit)
        return verify_give_up(verify, EX_OSERR, "out of memory");
    for (uint32_t i = 0; i < lanes; i++)
        audit_lane(verify->audit, i, at[i]);
    return EX_OK;
}

static int compare(struct verify *verify) {
    bool topic = events_in_kafka(verify->config);
    int code = verify_totals_open(verify);

    if (code == EX_OK)
        code = store_url_is_redis(verify->config) ? verify_redis(verify, !topic)
                                                  : verify_folder(verify, !topic);
    verify_totals_close(verify);
    if (code == EX_OK && topic)
        code = verify_kafka(verify);
    return code == EX_OK ? verify_print(verify) : code;
}

int verify(const struct config *config, const struct tool_options *options, FILE *out, FILE *err) {
    struct verify verify = {.config = config, .options = options, .out = out, .err = err};
    int code = verify_read_wait(&verify);

    log_setup(LOG_WARN, LOG_CONSOLE);

    if (code == EX_OK)
        code = verify_wanted_read(&verify);
    if (code == EX_OK)
        code = compare(&verify);
    audit_free(verify.audit);
    verify_wanted_release(&verify.wanted);
    return code;
}
