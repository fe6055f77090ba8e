/* test_openapi.c - api/openapi.yaml and the routing table say the same. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/openapi.h"
#include "gateway/routes.h"
#include "test.h"

static int load(void **state) {
    json_error_t error;

    *state = json_loadb(openapi_json.ptr, openapi_json.len, JSON_REJECT_DUPLICATES, &error);
    if (!*state)
        print_error("%s\n", error.text);
    return *state ? 0 : -1;
}

static int drop(void **state) {
    json_decref(*state);
    return 0;
}

/* "get", as OpenAPI writes it. */
static void operation_name(enum http_method method, char out[16]) {
    struct slice name = method_name(method);

    assert_true(name.len < 16);
    for (size_t i = 0; i < name.len; i++)
        out[i] = (char)(name.ptr[i] | 0x20);
    out[name.len] = '\0';
}

static const json_t *operation_of(const json_t *api, const struct route *route) {
    const json_t *paths = json_object_get(api, "paths");
    const json_t *item = json_object_getn(paths, route->path.ptr, route->path.len);
    char name[16];

    operation_name(route->method, name);
    return json_object_get(item, name);
}

static void test_every_route_is_described(void **state) {
    for (unsigned i = 1; i < route_count(); i++) {
        const struct route *route = route_at(i);
        const json_t *operation = operation_of(*state, route);
        bool admin_only = !(route->flags & ROUTE_PUBLIC);

        if (!operation)
            fail_msg("%.*s isn't described", SLICE_ARGS(route->path));
        if (admin_only != (json_object_get(operation, "servers") != NULL))
            fail_msg("%.*s: the admin listener", SLICE_ARGS(route->path));
        if (!!(route->flags & ROUTE_BODY) != (json_object_get(operation, "requestBody") != NULL))
            fail_msg("%.*s: the body", SLICE_ARGS(route->path));
    }
}

static const struct route *route_of(const char *path, const char *operation) {
    for (unsigned i = 1; i < route_count(); i++) {
        char name[16];

        operation_name(route_at(i)->method, name);
        if (slice_eq(route_at(i)->path, slice_str(path)) && strcmp(name, operation) == 0)
            return route_at(i);
    }
    return NULL;
}

static void test_nothing_else_is(void **state) {
    const char *path;
    const char *key;
    json_t *item;
    json_t *value;
    unsigned operations = 0;

    json_object_foreach(json_object_get(*state, "paths"), path, item) {
        json_object_foreach(item, key, value) {
            if (strcmp(key, "parameters") == 0)
                continue;
            if (!route_of(path, key))
                fail_msg("%s %s is no route", key, path);
            operations++;
        }
    }
    assert_int_equal(operations, route_count() - 1);
}

static void resolve(const json_t *api, const char *ref) {
    char text[128];
    const json_t *at = api;

    assert_true(strncmp(ref, "#/", 2) == 0 && strlen(ref) < sizeof(text));
    (void)snprintf(text, sizeof(text), "%s", ref + 2);
    for (char *rest = text, *part; (part = strsep(&rest, "/"));)
        at = json_object_get(at, part);
    if (!at)
        fail_msg("%s leads nowhere", ref);
}

static unsigned check_refs(const json_t *api, json_t *node) {
    unsigned refs = 0;
    const char *key;
    json_t *value;
    size_t index;

    json_array_foreach(node, index, value) {
        refs += check_refs(api, value);
    }
    json_object_foreach(node, key, value) {
        if (strcmp(key, "$ref") == 0) {
            resolve(api, json_string_value(value));
            refs++;
        }
        refs += check_refs(api, value);
    }
    return refs;
}

static void test_references_lead_somewhere(void **state) {
    assert_true(check_refs(*state, *state) > 50);
}

/* The build's YAML reader: what is quoted is text, what is plain is JSON's. */
static void test_types_survive_the_conversion(void **state) {
    const json_t *schemas = json_object_get(json_object_get(*state, "components"), "schemas");
    const json_t *int64 = json_object_get(schemas, "Int64");
    const json_t *headers = json_object_get(json_object_get(*state, "components"), "headers");
    const json_t *replayed = json_object_get(headers, "IdempotentReplayed");

    assert_true(json_integer_value(json_object_get(int64, "minimum")) == INT64_MIN);
    assert_true(json_integer_value(json_object_get(int64, "maximum")) == INT64_MAX);
    assert_true(json_is_string(json_object_get(json_object_get(replayed, "schema"), "const")));
    assert_true(
        json_is_false(json_object_get(json_object_get(schemas, "Change"), "additionalProperties")));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(*state, "info"), "version")), "1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_described),
        cmocka_unit_test(test_nothing_else_is),
        cmocka_unit_test(test_references_lead_somewhere),
        cmocka_unit_test(test_types_survive_the_conversion),
    };

    return cmocka_run_group_tests(tests, load, drop);
}
