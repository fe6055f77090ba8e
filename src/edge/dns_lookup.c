/* dns_lookup.c - res_nsearch(3), bounded, and what its answers say (RFC 1035, 2782, 3596). */
#include "edge/dns_lookup.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"

/* A server that doesn't answer costs at most these, three of them three times as much; then the
 * next round asks again. */
#define TRY_S 1
#define TRIES 2
/* RFC 6891: an answer by TCP can have so much. */
#define ANSWER_BYTES 65535

struct lookup {
    struct __res_state state;
    unsigned char answer[ANSWER_BYTES];
    ns_msg message;
};

const char *dns_parse(const char *url, struct dns *out) {
    static const char problem[] = "a name server is dns://IPV4:PORT";
    char host[INET_ADDRSTRLEN];

    *out = (struct dns){.has_server = false};
    if (strcmp(url, "dns") == 0)
        return NULL;
    const char *address = url + strlen("dns://");
    const char *colon = strrchr(address, ':');
    if (!config_are_upstreams(slice_str(address)) || !colon ||
        (size_t)(colon - address) >= sizeof(host))
        return problem;
    (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    if (inet_pton(AF_INET, host, &out->server.sin_addr) != 1)
        return problem;
    out->server.sin_family = AF_INET;
    out->server.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    out->has_server = true;
    return NULL;
}

static bool begin(struct lookup *lookup, const struct dns *dns) {
    if (res_ninit(&lookup->state) != 0)
        return false;
    lookup->state.retrans = TRY_S;
    lookup->state.retry = TRIES;
    if (dns->has_server) {
        lookup->state.nscount = 1;
        lookup->state.nsaddr_list[0] = dns->server;
    }
    return true;
}

/* NULL and the message is there; "" : the name has none of this type; else why there is no answer.
 */
static const char *query(struct lookup *lookup, const char *name, ns_type type) {
    int len =
        res_nsearch(&lookup->state, name, (int)ns_c_in, (int)type, lookup->answer, ANSWER_BYTES);

    if (len < 0 && (lookup->state.res_h_errno == NO_DATA))
        return "";
    if (len < 0)
        return hstrerror(lookup->state.res_h_errno);
    return ns_initparse(lookup->answer, len, &lookup->message) == 0 ? NULL : "a malformed answer";
}

/* ---- addresses ---- */

static unsigned add_addresses(struct lookup *lookup, ns_type type, unsigned port, uint32_t weight,
                              struct instances *out) {
    int family = type == ns_t_a ? AF_INET : AF_INET6;
    unsigned added = 0;

    for (int i = 0; i < ns_msg_count(lookup->message, ns_s_an); i++) {
        char text[INET6_ADDRSTRLEN];
        ns_rr rr;

        if (ns_parserr(&lookup->message, ns_s_an, i, &rr) != 0 || ns_rr_type(rr) != type ||
            ns_rr_rdlen(rr) != (type == ns_t_a ? NS_INADDRSZ : NS_IN6ADDRSZ))
            continue;
        if (inet_ntop(family, ns_rr_rdata(rr), text, sizeof(text))) {
            instances_add(out, text, port, weight);
            added++;
        }
    }
    return added;
}

static const char *look_up_host(struct lookup *lookup, const char *host, unsigned port,
                                uint32_t weight, struct instances *out) {
    static const ns_type types[] = {ns_t_a, ns_t_aaaa};
    const char *problem = NULL;
    unsigned added = 0;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const char *why = query(lookup, host, types[i]);

        if (!why)
            added += add_addresses(lookup, types[i], port, weight, out);
        else if (why[0])
            problem = why;
    }
    /* One family's failure hides nobody when the other has answered. */
    return added ? NULL : problem ? problem : "the name has no address";
}

/* ---- SRV ---- */

#define TARGETS_MAX INSTANCES_MAX

struct target {
    unsigned priority;
    unsigned weight;
    unsigned port;
    char host[NS_MAXDNAME];
};

static size_t read_targets(struct lookup *lookup, struct target *targets) {
    size_t count = 0;

    for (int i = 0; i < ns_msg_count(lookup->message, ns_s_an) && count < TARGETS_MAX; i++) {
        struct target *target = &targets[count];
        ns_rr rr;

        if (ns_parserr(&lookup->message, ns_s_an, i, &rr) != 0 || ns_rr_type(rr) != ns_t_srv ||
            ns_rr_rdlen(rr) < 7)
            continue;
        const unsigned char *data = ns_rr_rdata(rr);
        target->priority = ns_get16(data);
        target->weight = ns_get16(data + 2);
        target->port = ns_get16(data + 4);
        /* "." says that the service is decidedly not there. */
        if (ns_name_uncompress(ns_msg_base(lookup->message), ns_msg_end(lookup->message), data + 6,
                               target->host, sizeof(target->host)) > 0 &&
            target->host[0] && strcmp(target->host, ".") != 0)
            count++;
    }
    return count;
}

static const char *look_up_targets(struct lookup *lookup, const struct target *targets,
                                   size_t count, struct instances *out) {
    unsigned best = UINT16_MAX;

    for (size_t i = 0; i < count; i++)
        best = targets[i].priority < best ? targets[i].priority : best;
    for (size_t i = 0; i < count; i++) {
        if (targets[i].priority != best)
            continue;
        const char *problem = look_up_host(lookup, targets[i].host, targets[i].port,
                                           targets[i].weight ? targets[i].weight : 1, out);
        if (problem)
            return problem;
    }
    return NULL;
}

static const char *look_up_srv(struct lookup *lookup, const char *name, struct instances *out) {
    const char *problem = query(lookup, name, ns_t_srv);

    if (problem)
        return problem[0] ? problem : "the name has no SRV record";
    struct target *targets = calloc(TARGETS_MAX, sizeof(*targets));
    if (!targets)
        return "out of memory";
    size_t count = read_targets(lookup, targets);
    problem = count ? look_up_targets(lookup, targets, count, out) : "the name has no SRV record";
    free(targets);
    return problem;
}

/* ---- a name ---- */

static const char *look_up(struct lookup *lookup, struct slice name, struct instances *out) {
    const char *colon = memrchr(name.ptr, ':', name.len);
    size_t len = colon ? (size_t)(colon - name.ptr) : name.len;
    char host[INSTANCE_ADDRESS_BYTES];
    struct in_addr v4;

    if (len >= sizeof(host))
        return "the name is too long";
    memcpy(host, name.ptr, len);
    host[len] = '\0';
    if (!colon)
        return look_up_srv(lookup, host, out);
    unsigned port = (unsigned)strtoul(colon + 1, NULL, 10);
    if (host[0] == '[' || inet_pton(AF_INET, host, &v4) == 1) { /* no name at all */
        if (host[0] == '[')
            host[len - 1] = '\0';
        instances_add(out, host + (host[0] == '['), port, 1);
        return NULL;
    }
    return look_up_host(lookup, host, port, 1, out);
}

const char *dns_lookup(const struct dns *dns, struct slice name, struct instances *out) {
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    const char *problem = "out of memory";

    if (!lookup)
        return problem;
    if (begin(lookup, dns)) {
        problem = look_up(lookup, name, out);
        res_nclose(&lookup->state);
    }
    free(lookup);
    return problem;
}
