/* store_url.c - the URL's parts, and the password from where it is. */
#include "cli/store_url.h"

#include <stdio.h>

#include "edge/private_file.h"

bool store_url_is_redis(const struct config *config) {
    return redis_url_is(slice_str(config->store));
}

bool store_url_is_tls(const struct config *config) {
    const char *problem;
    struct redis_url url;

    return redis_url_parse(slice_str(config->store), &url, &problem) == ERR_OK && url.is_tls;
}

void store_name(const struct config *config, char *out, size_t size) {
    const char *problem;
    struct redis_url url;

    if (redis_url_parse(slice_str(config->store), &url, &problem) == ERR_OK)
        redis_url_name(&url, out, size);
    else
        (void)snprintf(out, size, "%s", config->data);
}

static const char *problem_of(const struct config *config) {
    const char *problem = NULL;
    struct redis_url url;

    if (redis_url_parse(slice_str(config->store), &url, &problem) != ERR_OK)
        return problem;
    if (url.password[0] && config->redis_password_file[0])
        return "it has a password, and so has redis.password_file";
    if (url.user[0] && !url.password[0] && !config->redis_password_file[0])
        return "it has a user and no password; redis.password_file names a file with it";
    return NULL;
}

static void add_problem(const struct config *config, enum config_key key, const char *problem,
                        struct config_problems *problems) {
    struct buf source = {0};

    if (!problem)
        return;
    config_print_source(config_row(key), config->source[key], &source);
    config_problem(problems, "%s (%.*s): %s", config_row(key)->key, SLICE_ARGS(buf_slice(&source)),
                   problem);
    buf_release(&source);
}

void store_url_check(const struct config *config, struct config_problems *problems) {
    if (store_url_is_redis(config))
        add_problem(config, CONFIG_KEY_store, problem_of(config), problems);
    else if (config->durability_mode == CONFIG_DURABILITY_REPLICATED)
        add_problem(
            config, CONFIG_KEY_durability_mode,
            "a store in the data folder has no replicas; replicated takes a Redis with some",
            problems);
}

void store_url_check_shared(const struct config *config, struct config_problems *problems) {
    if (!store_url_is_redis(config))
        add_problem(config, CONFIG_KEY_gateway_upstream,
                    "canary counts here and through counters on one and the same Redis; the store "
                    "in the data folder has one owner",
                    problems);
}

const char *store_url_read(const struct config *config, struct redis_url *out) {
    static char sentence[CONFIG_TEXT_BYTES + 256];
    const char *why = NULL;

    if (redis_url_parse(slice_str(config->store), out, &why) != ERR_OK)
        return why;
    if (!config->redis_password_file[0] ||
        private_file_line(config->redis_password_file, out->password, sizeof(out->password),
                          &why) == ERR_OK)
        return NULL;
    (void)snprintf(sentence, sizeof(sentence), "redis.password_file: %s: %s",
                   config->redis_password_file, why);
    return sentence;
}
