/* discovery_self.c - from listeners to a registration and its check. */
#include "cli/discovery_self.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/consul_json.h"

const char *discovery_service_name(enum discovery_service which) {
    static const char *const names[DISCOVERY_SERVICES] = {
        [DISCOVERY_GATEWAY] = "high-go-press-gateway",
        [DISCOVERY_COUNTER] = "high-go-press-counter",
        [DISCOVERY_ANALYTICS] = "high-go-press-analytics",
    };

    return names[which];
}

/* "0.0.0.0" and "[::]" are where we listen, not where we are. */
static bool is_every_interface(const char *host) {
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0 || host[0] == '\0';
}

#define HOST_BYTES 254

struct place {
    char host[HOST_BYTES + 2]; /* where the agent's checks go; IPv6 in brackets */
    char address[HOST_BYTES];  /* where others go; IPv6 without; "": where the agent is */
    unsigned port;
};

static void without_brackets(char *host) {
    size_t len = strlen(host);

    if (host[0] != '[')
        return;
    memmove(host, host + 1, len - 2);
    host[len - 2] = '\0';
}

/* The agent is on our machine, unless we are told under which host we are found. */
static void find_place(const struct config *config, const char *name, struct place *out) {
    const char *colon = strrchr(name, ':');
    const char *told = config->consul_address;

    (void)snprintf(out->host, sizeof(out->host), "%.*s", (int)(colon - name), name);
    out->port = (unsigned)strtoul(colon + 1, NULL, 10);
    if (told[0])
        (void)snprintf(out->host, sizeof(out->host), strchr(told, ':') ? "[%.253s]" : "%.253s",
                       told);
    bool every = is_every_interface(out->host);
    (void)snprintf(out->address, sizeof(out->address), "%.253s", every ? "" : out->host);
    without_brackets(out->address);
    if (every)
        (void)snprintf(out->host, sizeof(out->host), "127.0.0.1");
}

static void make_id(enum discovery_service which, unsigned port, char out[DISCOVERY_ID_BYTES]) {
    char host[65] = "";

    (void)gethostname(host, sizeof(host) - 1);
    for (char *c = host; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *c))
            *c = '-';
    (void)snprintf(out, DISCOVERY_ID_BYTES, "%s-%s-%u", discovery_service_name(which), host, port);
}

struct check {
    const char *kind;
    char target[HOST_BYTES + 64];
    bool tls;
};

/* A gRPC listener that demands certificates lets no agent in: then its admin listener is asked. */
static void choose_check(const struct discovery_self *self, enum discovery_service which,
                         const struct place *place, struct check *out) {
    const struct config *config = self->config;
    bool demands = config->grpc_tls_ca_file[0] != '\0';

    *out = (struct check){.kind = "HTTP"};
    if (which != DISCOVERY_GATEWAY && !demands) {
        out->kind = "GRPC";
        out->tls = config->grpc_tls_cert_file[0] != '\0';
        (void)snprintf(out->target, sizeof(out->target), "%s:%u/%s", place->host, place->port,
                       which == DISCOVERY_COUNTER ? "counter.CounterService"
                                                  : "analytics.AnalyticsService");
    } else if (which != DISCOVERY_GATEWAY) {
        (void)snprintf(out->target, sizeof(out->target), "http://%s/readyz", self->names->admin);
    } else {
        out->tls = config->http_tls_cert_file[0] != '\0';
        (void)snprintf(out->target, sizeof(out->target), "%s://%s:%u/readyz",
                       out->tls ? "https" : "http", place->host, place->port);
    }
}

bool discovery_describe(const struct discovery_self *self, enum discovery_service which,
                        char out_id[DISCOVERY_ID_BYTES], struct buf *out_body) {
    const char *name = which == DISCOVERY_GATEWAY ? self->names->http : self->names->grpc;
    struct place place;
    struct check check;

    if (!name[0])
        return false;
    find_place(self->config, name, &place);
    make_id(which, place.port, out_id);
    choose_check(self, which, &place, &check);
    struct consul_registration registration = {
        .id = out_id,
        .name = discovery_service_name(which),
        .address = place.address,
        .port = place.port,
        .tags = self->config->consul_tags,
        .weight = self->config->consul_weight,
        .version = self->version,
        .role = role_name(self->role),
        .admin = self->names->admin,
        .check_kind = check.kind,
        .check_target = check.target,
        .check_tls = check.tls,
        .check_ms = self->config->consul_check_ms,
        .passing = self->up,
    };
    consul_write_registration(out_body, &registration);
    return !buf_failed(out_body);
}
