/* consul_service.c - registered, and kept so.
 *
 *     REGISTERING ──► REGISTERED ──► LEAVING ──► LEFT
 *         ▲                │            ▲
 *         └── unknown ─────┘            └── from either of them
 */
#include <stdio.h>

#include "base/log.h"
#include "edge/consul.h"

#define TIMEOUT_MS       3000
#define LEAVE_TIMEOUT_MS 1000
/* An agent that was started again without its data has forgotten us. */
#define LOOK_EVERY_MS 3000

static void on_answer(struct http_fetch *fetch, const struct http_answer *answer);

/* The agent's own calls know no datacenter. */
static void ask(struct consul_service *service, const char *method, const char *path,
                const char *id, struct slice body, int64_t delay_ms) {
    (void)snprintf(service->url, sizeof(service->url), "%sagent/service/%s%s",
                   service->consul->base, path, id);
    service->fetch.method = method;
    service->fetch.url = service->url;
    service->fetch.body = body;
    service->fetch.timeout_ms = service->state == CONSUL_LEAVING ? LEAVE_TIMEOUT_MS : TIMEOUT_MS;
    service->fetch.done = on_answer;
    http_client_start(service->consul->http, &service->fetch, delay_ms);
}

static void do_register(struct consul_service *service, int64_t delay_ms) {
    service->state = CONSUL_REGISTERING;
    ask(service, "PUT", "register?replace-existing-checks=true", "", service->body, delay_ms);
}

static void look_later(struct consul_service *service) {
    ask(service, "GET", "", service->id, SLICE(""), LOOK_EVERY_MS);
}

static void failed(struct consul_service *service, const struct http_answer *answer) {
    char text[256];

    service->failures++;
    consul_heard(service->consul, consul_problem(answer, text, sizeof(text)));
    /* It may be another agent by the time it answers again. */
    do_register(service, consul_pause_ms(service->consul, service->failures));
}

static void registered(struct consul_service *service) {
    service->state = CONSUL_REGISTERED;
    log_line(LOG_INFO, "registered in Consul", LOG_STR("id", service->id));
    look_later(service);
}

static void has_left(struct consul_service *service, const struct http_answer *answer) {
    char text[256];

    service->state = CONSUL_LEFT;
    if (answer->problem || (answer->status != 200 && answer->status != 404))
        log_line(LOG_WARN, "could not leave Consul: its checks will find out",
                 LOG_STR("id", service->id),
                 LOG_STR("detail", consul_problem(answer, text, sizeof(text))));
    else
        log_line(LOG_INFO, "left Consul", LOG_STR("id", service->id));
    service->left(service);
}

static void on_answer(struct http_fetch *fetch, const struct http_answer *answer) {
    struct consul_service *service = CONTAINER_OF(fetch, struct consul_service, fetch);

    if (service->state == CONSUL_LEAVING) {
        has_left(service, answer);
        return;
    }
    bool unknown = !answer->problem && answer->status == 404;
    if (!unknown && (answer->problem || answer->status != 200)) {
        failed(service, answer);
        return;
    }
    consul_heard(service->consul, NULL);
    service->failures = 0;
    if (unknown) {
        log_line(LOG_WARN, "the Consul agent has forgotten this service: registering again",
                 LOG_STR("id", service->id));
        do_register(service, 0);
    } else if (service->state == CONSUL_REGISTERING) {
        registered(service);
    } else {
        look_later(service);
    }
}

void consul_service_start(struct consul_service *service, struct consul *consul) {
    service->consul = consul;
    do_register(service, 0);
}

void consul_service_leave(struct consul_service *service) {
    http_client_cancel(service->consul->http, &service->fetch);
    service->state = CONSUL_LEAVING;
    ask(service, "PUT", "deregister/", service->id, SLICE(""), 0);
}

void consul_service_stop(struct consul_service *service) {
    if (service->consul)
        http_client_cancel(service->consul->http, &service->fetch);
}
