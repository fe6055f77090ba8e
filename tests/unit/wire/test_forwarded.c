/* test_forwarded.c - whom X-Forwarded-For makes the client, and whom it doesn't. */
#include "wire/forwarded.h"

#include "base/attr.h"
#include "test.h"

#define HEADERS_MAX 3

/* Trusted: 10.0.0.0/8 and fd00::/8. */
static const struct {
    const char *name;
    const char *peer;
    const char *fields[HEADERS_MAX];
    const char *want;
} rows[] = {
    {"nobody says anything", "10.0.0.1", {NULL}, "10.0.0.1"},
    {"a peer that isn't trusted", "192.0.2.1", {"203.0.113.9"}, "192.0.2.1"},
    {"one proxy", "10.0.0.1", {"203.0.113.9"}, "203.0.113.9"},
    {"what the client invents", "10.0.0.1", {"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
    {"a client that plays a proxy", "10.0.0.1", {"1.1.1.1, 10.0.0.7, 203.0.113.9"}, "203.0.113.9"},
    {"two proxies", "10.0.0.1", {"203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
    {"proxies only", "10.0.0.1", {"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
    {"in two fields", "10.0.0.1", {"1.1.1.1, 203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
    {"no blanks", "10.0.0.1", {"1.1.1.1,203.0.113.9"}, "203.0.113.9"},
    {"many blanks", "10.0.0.1", {" \t203.0.113.9\t , 10.0.0.2 "}, "203.0.113.9"},
    {"IPv6", "fd00::1", {"2001:db8::9"}, "2001:db8::9"},
    {"no address at all", "10.0.0.1", {"unknown"}, "10.0.0.1"},
    {"with a port", "10.0.0.1", {"203.0.113.9:80"}, "10.0.0.1"},
    {"nonsense behind a proxy", "10.0.0.1", {"203.0.113.9, x, 10.0.0.2"}, "10.0.0.2"},
    {"an empty one", "10.0.0.1", {""}, "10.0.0.1"},
    {"an empty last part", "10.0.0.1", {"203.0.113.9,"}, "10.0.0.1"},
};

static void test_client(void **state) {
    (void)state;
    struct network trusted[2];

    assert_true(network_parse(SLICE("10.0.0.0/8"), &trusted[0]));
    assert_true(network_parse(SLICE("fd00::/8"), &trusted[1]));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http1_header headers[HEADERS_MAX + 1] = {{SLICE("Host"), SLICE("x")}};
        struct http1_request request = {.headers = headers, .header_count = 1};
        struct in6_addr peer, want;

        for (size_t k = 0; k < HEADERS_MAX && rows[i].fields[k]; k++)
            headers[request.header_count++] =
                (struct http1_header){SLICE("x-forwarded-for"), slice_str(rows[i].fields[k])};
        assert_true(network_address(slice_str(rows[i].peer), &peer));
        assert_true(network_address(slice_str(rows[i].want), &want));
        struct in6_addr got = forwarded_client(&request, peer, trusted, ARRAY_LEN(trusted));
        if (memcmp(&got, &want, sizeof(got)) != 0)
            fail_msg("%s", rows[i].name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
