/* healthcheck.c - GET /readyz, judged by its status. */
#include "cli/healthcheck.h"

#include <stdlib.h>
#include <string.h>

#include "cli/admin_call.h"
#include "cli/build_info.h"

static int not_ready(FILE *err, const char *address, const char *why) {
    (void)fprintf(err, BUILD_NAME ": not ready at %s: %s\n", address, why);
    return EXIT_FAILURE;
}

int healthcheck(const struct config *config, FILE *err) {
    char answer[ADMIN_ANSWER_BYTES];
    const char *address = config->admin;
    const char *problem = admin_call(address, "GET /readyz", HEALTHCHECK_MS, answer);

    if (problem)
        return not_ready(err, address, problem);
    if (strncmp(answer, "HTTP/1.1 200 ", 13) == 0)
        return EXIT_SUCCESS;
    const char *body = strstr(answer, "\r\n\r\n");
    return not_ready(err, address, body && body[4] ? body + 4 : "it says so");
}
