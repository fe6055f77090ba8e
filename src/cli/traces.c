/* traces.c - OTEL_ variables as
 * opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables has them; one that can't
 * be used is said and doesn't keep the service from starting. */
#include "cli/traces.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "cli/build_info.h"
#include "cli/exit.h"
#include "edge/tracer.h"

#define URL_BYTES        1100
#define NAME_BYTES       64
#define ATTRIBUTES_BYTES 2048
#define PER_MILLION      1000000
#define CLOSE_MS         2000
#define QUEUE_MAX        1048576

/* One at a time, and as long as the process: the tracer borrows them. */
static struct {
    char url[URL_BYTES];
    char service[NAME_BYTES];
    char attributes[ATTRIBUTES_BYTES];
} texts;

/* A variable that is set and not empty. */
static const char *variable(const char *name) {
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static void unusable(const char *name, const char *why) {
    log_line(LOG_WARN, "a variable for traces isn't used", LOG_STR("variable", name),
             LOG_STR("problem", why));
}

static bool given(const struct config *config, enum config_key key) {
    return config->source[key].layer != CONFIG_DEFAULT;
}

/* A whole number of a variable; 'otherwise' without one, or with one that is none. */
static int64_t number(const char *name, int64_t min, int64_t max, int64_t otherwise) {
    const char *text = variable(name);
    char *end;

    if (!text)
        return otherwise;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno == 0 && !*end && value >= min && value <= max)
        return value;
    unusable(name, "it is not a whole number in its range");
    return otherwise;
}

static bool switched_off(void) {
    const char *disabled = variable("OTEL_SDK_DISABLED");
    const char *exporter = variable("OTEL_TRACES_EXPORTER");

    return (disabled && strcasecmp(disabled, "true") == 0) ||
           (exporter && strcmp(exporter, "none") == 0);
}

/* Where to: false is nowhere. */
static bool find_url(const struct config *config) {
    const char *whole = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    const char *base = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
    const char *slash = "";

    if (given(config, CONFIG_KEY_traces_endpoint)) {
        whole = config->traces_endpoint;
        if (strcmp(whole, "none") == 0)
            return false;
    } else if (switched_off() || (!whole && !base)) {
        return false;
    }
    if (!whole && base[strlen(base) - 1] != '/')
        slash = "/";
    int len = whole ? snprintf(texts.url, sizeof(texts.url), "%s", whole)
                    : snprintf(texts.url, sizeof(texts.url), "%s%sv1/traces", base, slash);
    if (len >= (int)sizeof(texts.url)) {
        unusable("OTEL_EXPORTER_OTLP_ENDPOINT", "it is too long");
        return false;
    }
    return true;
}

static uint32_t ratio(const char *text, uint32_t otherwise) {
    char *end = NULL;
    double value = text ? strtod(text, &end) : 1.0;

    if (text && (*end || !(value >= 0 && value <= 1))) {
        unusable("OTEL_TRACES_SAMPLER_ARG", "it is not a number from 0 to 1");
        return otherwise;
    }
    return (uint32_t)(value * PER_MILLION + 0.5);
}

/* A caller's decision always holds, so the parent-based samplers are what there is. */
static uint32_t sample_per_million(const struct config *config) {
    const char *sampler = variable("OTEL_TRACES_SAMPLER");
    uint32_t otherwise = config->traces_sample_per_million;

    if (given(config, CONFIG_KEY_traces_sample_per_million) || !sampler)
        return otherwise;
    if (strcmp(sampler, "parentbased_traceidratio") == 0)
        return ratio(variable("OTEL_TRACES_SAMPLER_ARG"), otherwise);
    if (strcmp(sampler, "parentbased_always_on") == 0)
        return PER_MILLION;
    if (strcmp(sampler, "parentbased_always_off") == 0)
        return 0;
    unusable("OTEL_TRACES_SAMPLER", "only parentbased_traceidratio, _always_on and _always_off are "
                                    "known");
    return otherwise;
}

/* ---- the resource ---- */

static void add_attr(struct otlp_resource *resource, struct slice key, struct slice text) {
    for (unsigned i = 0; i < resource->attr_count; i++)
        if (slice_eq(resource->attrs[i].key, key)) {
            resource->attrs[i].text = text;
            return;
        }
    if (resource->attr_count < OTLP_ATTRS_MAX)
        resource->attrs[resource->attr_count++] = (struct span_attr){.key = key, .text = text};
    else
        unusable("OTEL_RESOURCE_ATTRIBUTES", "there are too many of them");
}

/* "key=value,key=value"; over what we say by ourselves. */
static void add_attributes(struct otlp_resource *resource) {
    const char *given_ones = variable("OTEL_RESOURCE_ATTRIBUTES");
    char *rest = texts.attributes;
    char *pair;

    if (!given_ones)
        return;
    if (strlen(given_ones) >= sizeof(texts.attributes)) {
        unusable("OTEL_RESOURCE_ATTRIBUTES", "it is too long");
        return;
    }
    (void)snprintf(texts.attributes, sizeof(texts.attributes), "%s", given_ones);
    while ((pair = strsep(&rest, ","))) {
        char *value = strchr(pair, '=');

        if (value && value != pair)
            add_attr(resource, slice_of(pair, (size_t)(value - pair)), slice_str(value + 1));
        else if (*pair)
            unusable("OTEL_RESOURCE_ATTRIBUTES", "a part of it is not key=value");
    }
}

static void describe(struct otlp_resource *resource, const char *role) {
    const char *service = variable("OTEL_SERVICE_NAME");

    (void)snprintf(texts.service, sizeof(texts.service), "high-go-press-%s",
                   strcmp(role, "all") == 0 ? "gateway" : role);
    add_attr(resource, SLICE("service.name"), slice_str(texts.service));
    add_attr(resource, SLICE("service.version"), slice_str(build_version()));
    add_attributes(resource);
    if (service)
        add_attr(resource, SLICE("service.name"), slice_str(service));
    resource->scope = SLICE(BUILD_NAME);
    resource->scope_version = slice_str(build_version());
}

int traces_open(const struct config *config, const char *role, struct metrics *metrics,
                unsigned shard) {
    const char *headers = variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS");
    struct tracer_conf conf = {
        .url = texts.url,
        .queue = (size_t)number("OTEL_BSP_MAX_QUEUE_SIZE", 1, QUEUE_MAX, config->traces_queue),
        .delay_ms = number("OTEL_BSP_SCHEDULE_DELAY", 1, 3600000, config->traces_delay_ms),
        .timeout_ms = number("OTEL_EXPORTER_OTLP_TIMEOUT", 1, 600000, config->traces_timeout_ms),
        .metrics = metrics,
        .shard = shard,
    };

    if (!find_url(config))
        return EX_OK;
    if (given(config, CONFIG_KEY_traces_queue))
        conf.queue = config->traces_queue;
    if (given(config, CONFIG_KEY_traces_delay_ms))
        conf.delay_ms = config->traces_delay_ms;
    if (given(config, CONFIG_KEY_traces_timeout_ms))
        conf.timeout_ms = config->traces_timeout_ms;
    if (!headers)
        headers = variable("OTEL_EXPORTER_OTLP_HEADERS");
    conf.headers = headers ? headers : "";
    conf.sample_per_million = sample_per_million(config);
    describe(&conf.resource, role);
    if (!tracer_open(&conf))
        return give_up("traces can't be exported",
                       "out of memory, or OTEL_EXPORTER_OTLP_HEADERS is not name=value,...",
                       EX_CONFIG);
    log_line(LOG_INFO, "exporting spans", LOG_SLICE("service", conf.resource.attrs[0].text),
             LOG_INT("sample_per_million", conf.sample_per_million));
    return EX_OK;
}

void traces_close(void) {
    tracer_close(CLOSE_MS);
}
