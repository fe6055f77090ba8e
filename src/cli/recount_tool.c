/* recount_tool.c - POST, then GET until it has ended. */
#include "cli/recount_tool.h"

#include <stdbool.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/slice.h"
#include "cli/admin_call.h"
#include "cli/build_info.h"

#define PATH      "/api/v1/analytics/recount"
#define WAIT_MS   10000
#define LOOK_MS   500
#define FIELD_MAX 1024

struct reply {
    char answer[ADMIN_ANSWER_BYTES];
    char state[16];
    char phase[FIELD_MAX];
    char detail[FIELD_MAX];
    char events[32];
    char values[32];
};

/* What is behind "name": in the body, a text without its quotes, or a number. Our own answer: it
 * has no escapes but \" and \\. */
static void field(const struct reply *reply, const char *name, char *out, size_t size) {
    char mark[40];
    size_t len = 0;

    (void)snprintf(mark, sizeof(mark), "\"%s\":", name);
    const char *at = strstr(reply->answer, mark);
    out[0] = '\0';
    if (!at)
        return;
    at += strlen(mark);
    bool text = *at == '"';
    at += text;
    for (; *at && (text ? *at != '"' : !strchr(",}", *at)) && len + 1 < size; at++) {
        if (*at == '\\' && at[1])
            at++;
        out[len++] = *at;
    }
    out[len] = '\0';
}

static int give_up(const struct config *config, FILE *err, int code, const char *why) {
    (void)fprintf(err, BUILD_NAME " recount: %s: %s\n", config->admin, why);
    return code;
}

/* EX_OK; else it was said why. */
static int ask(const struct config *config, const char *what, struct reply *reply, FILE *err) {
    const char *problem = admin_call(config->admin, what, WAIT_MS, reply->answer);

    if (problem)
        return give_up(config, err, EX_UNAVAILABLE, problem);
    field(reply, "detail", reply->detail, sizeof(reply->detail));
    if (strncmp(reply->answer, "HTTP/1.1 20", 11) != 0)
        return give_up(config, err, EX_UNAVAILABLE,
                       reply->detail[0] ? reply->detail : "it has no such call");
    field(reply, "state", reply->state, sizeof(reply->state));
    field(reply, "phase", reply->phase, sizeof(reply->phase));
    field(reply, "events", reply->events, sizeof(reply->events));
    field(reply, "values", reply->values, sizeof(reply->values));
    return EX_OK;
}

/* A line whenever something has moved. */
static void print(FILE *out, const struct reply *reply, char *last, size_t size) {
    char line[FIELD_MAX + 128];

    (void)snprintf(line, sizeof(line), "%s: %s events, %s values", reply->phase, reply->events,
                   reply->values);
    if (strcmp(line, last) == 0)
        return;
    (void)snprintf(last, size, "%s", line);
    (void)fprintf(out, "%s\n", line);
    (void)fflush(out);
}

static void rest(void) {
    struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

    (void)nanosleep(&pause, NULL);
}

int recount_tool(const struct config *config, FILE *out, FILE *err) {
    static struct reply reply;
    char last[FIELD_MAX + 128] = "";
    int code = ask(config, "POST " PATH, &reply, err);

    while (code == EX_OK && strcmp(reply.state, "running") == 0) {
        print(out, &reply, last, sizeof(last));
        rest();
        code = ask(config, "GET " PATH, &reply, err);
    }
    if (code != EX_OK)
        return code;
    if (strcmp(reply.state, "done") == 0) {
        (void)fprintf(out, "done: %s events, %s values\n", reply.events, reply.values);
        return EX_OK;
    }
    return give_up(config, err, RECOUNT_FAILED,
                   reply.detail[0] ? reply.detail : "the process has started again meanwhile");
}
