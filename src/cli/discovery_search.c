/* discovery_search.c - from an answer of Consul's, or of name servers, to a gateway's set. */
#include "cli/discovery_search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "wire/consul_json.h"

/* Addresses with escapes in them: there are none in practice. */
#define ARENA_BYTES_MAX (1u << 20)

void search_place(struct search *search) {
    search->unplaced = !search->set(search->fleet, &search->found);
}

static void found(struct search *search, const struct instances *instances) {
    const char *service = discovery_service_name(search->service);

    if (instances->count == 0) {
        if (!search->told_empty)
            log_line(LOG_WARN, "discovery knows no instance: those known before stay in use",
                     LOG_STR("service", service), LOG_INT("known", search->found.count));
        search->told_empty = true;
        return;
    }
    search->told_empty = false;
    if (instances->left_out)
        log_line(LOG_WARN, "discovery knows more instances than a gateway can use",
                 LOG_STR("service", service), LOG_INT("used", instances->count),
                 LOG_INT("left_out", instances->left_out));
    if (instances->count != search->found.count)
        log_line(LOG_INFO, "discovery has found instances", LOG_STR("service", service),
                 LOG_INT("instances", instances->count));
    search->found = *instances;
    search_place(search);
}

/* ---- Consul ---- */

static void on_health(struct consul_watch *watch, const struct http_answer *answer) {
    struct search *search = CONTAINER_OF(watch, struct search, watch);
    struct instances *instances = calloc(1, sizeof(*instances));
    const char *problem = err_text(ERR_NO_MEMORY);
    struct arena arena;

    if (!instances)
        return;
    arena_init(&arena, 4096, ARENA_BYTES_MAX);
    if (consul_read_health(answer->body, &arena, instances, &problem) == ERR_OK)
        found(search, instances);
    else
        consul_heard(search->consul, problem);
    arena_release(&arena);
    free(instances);
}

/* Any counter does, so only those that pass their checks are asked for. Each analytics counts what
 * no other does: one that is registered and fails is missing in answers, and has to be seen so. */
void search_watch(struct search *search) {
    const char *tags = search->config->discovery_tags;
    char *path = search->path;
    size_t size = sizeof(search->path);
    int len = snprintf(path, size, "health/service/%s", discovery_service_name(search->service));
    char before = '?';

    if (search->service == DISCOVERY_COUNTER) {
        len += snprintf(path + len, size - (size_t)len, "?passing");
        before = '&';
    }
    for (const char *tag = tags; *tag && (size_t)len < size; before = '&') {
        int tag_len = (int)strcspn(tag, ",");

        len += snprintf(path + len, size - (size_t)len, "%ctag=%.*s", before, tag_len, tag);
        tag += tag_len + (tag[tag_len] == ',');
    }
    search->watch.path = path;
    search->watch.changed = on_health;
    consul_watch_start(&search->watch, search->consul);
}

/* ---- DNS ---- */

/* All names or none: who answers only for some of them says nothing of the others. */
static const char *look_up_all(const struct search *search, struct instances *out) {
    struct slice names = slice_str(search->names);
    const char *problem = NULL;

    while (names.len && !problem)
        problem = dns_lookup(search->dns, config_next_upstream(&names), out);
    return problem;
}

bool search_look_up(struct search *search) {
    struct instances *instances = calloc(1, sizeof(*instances));
    const char *problem = err_text(ERR_NO_MEMORY);
    bool was_up = search->up;

    if (instances)
        problem = look_up_all(search, instances);
    if (instances && !problem)
        found(search, instances);
    if (problem && was_up)
        log_line(LOG_WARN, "names can't be looked up: what was found last stays in use",
                 LOG_STR("names", search->names), LOG_STR("detail", problem));
    if (!problem && !was_up)
        log_line(LOG_INFO, "names are found again", LOG_STR("names", search->names));
    free(instances);
    search->up = !problem;
    return search->up;
}
