/* test_grpc_reflection.c - every question, over the product's index and one with imports. */
#include <stdlib.h>

#include "edge/grpc_reflection.h"
#include "fake_grpc.h"
#include "reflection.pb-c.h"
#include "test.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_message;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_message;

#define V1      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

#define WORKSPACE_BYTES 4096

/* The numbers of ServerReflectionRequest, as tags. */
enum question { FILE_NAMED = 0x1A, SYMBOL = 0x22, TYPE_EXTENSIONS = 0x32, LIST = 0x3A };

extern const struct descriptor_index test_descriptors;

static const struct slice services[] = {{"counter.CounterService", 22},
                                        {"grpc.health.v1.Health", 21}};

/* One stream of questions. */
struct fixture {
    struct grpc_reflection *reflection;
    struct grpc_method methods[GRPC_REFLECTION_METHODS];
    const struct grpc_method *method;
    struct grpc_call *call;
    response_message *response; /* the last */
};

static struct fixture *open_stream(const struct descriptor_index *index, const char *path) {
    struct fixture *f = calloc(1, sizeof(*f));

    f->reflection = grpc_reflection_new(index, services, ARRAY_LEN(services));
    grpc_reflection_methods(f->reflection, f->methods);
    f->method = fake_method(f->methods, GRPC_REFLECTION_METHODS, path);
    f->call = fake_call_new(WORKSPACE_BYTES);
    return f;
}

static int up(void **state) {
    *state = open_stream(&descriptors, V1);
    return 0;
}

static int up_imports(void **state) {
    *state = open_stream(&test_descriptors, V1);
    return 0;
}

static void forget_response(struct fixture *f) {
    if (f->response)
        grpc__reflection__v1__server_reflection_response__free_unpacked(f->response, NULL);
    f->response = NULL;
}

static int down(void **state) {
    struct fixture *f = *state;

    forget_response(f);
    fake_call_free(f->call);
    grpc_reflection_free(f->reflection);
    free(f);
    return 0;
}

/* Asks; the answer, which repeats the question, is in f->response. */
static void ask_raw(struct fixture *f, struct slice request) {
    size_t before = fake_sent_count(f->call);

    forget_response(f);
    fake_call_message(f->method, f->call, request);
    assert_int_equal(fake_sent_count(f->call), before + 1);
    struct slice sent = fake_sent(f->call, before);
    f->response = grpc__reflection__v1__server_reflection_response__unpack(
        NULL, sent.len, (const uint8_t *)sent.ptr);
    assert_non_null(f->response);
    assert_non_null(f->response->original_request);
    uint8_t again[512];
    assert_int_equal(protobuf_c_message_get_packed_size(&f->response->original_request->base),
                     request.len);
    (void)protobuf_c_message_pack(&f->response->original_request->base, again);
    assert_memory_equal(again, request.ptr, request.len);
}

static void ask(struct fixture *f, enum question question, const char *text) {
    char request[256];
    size_t len = strlen(text);

    assert_true(len < 128);
    request[0] = (char)question;
    request[1] = (char)len;
    memcpy(request + 2, text, len);
    ask_raw(f, slice_of(request, len + 2));
}

static void ask_extension(struct fixture *f, const char *type, int32_t number) {
    request_message request;
    Grpc__Reflection__V1__ExtensionRequest extension =
        GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
    uint8_t packed[256];

    grpc__reflection__v1__server_reflection_request__init(&request);
    extension.containing_type = (ProtobufCBinaryData){strlen(type), (uint8_t *)(uintptr_t)type};
    extension.extension_number = number;
    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION;
    request.file_containing_extension = &extension;
    size_t len = protobuf_c_message_pack(&request.base, packed);
    ask_raw(f, slice_of((char *)packed, len));
}

static void assert_error(struct fixture *f, int code) {
    assert_int_equal(
        f->response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE);
    assert_int_equal(f->response->error_response->error_code, code);
    assert_true(f->response->error_response->error_message.len > 0);
    assert_int_equal(fake_status(f->call), -1); /* the stream goes on */
}

/* The names of the files in the answer; a FileDescriptorProto begins with its name. */
static void assert_files(struct fixture *f, size_t count, const char *const *names) {
    assert_int_equal(
        f->response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
    assert_int_equal(f->response->file_descriptor_response->n_file_descriptor_proto, count);
    for (size_t i = 0; i < count; i++) {
        ProtobufCBinaryData file = f->response->file_descriptor_response->file_descriptor_proto[i];

        assert_true(file.len > 2 && file.data[0] == 0x0A);
        assert_int_equal(file.data[1], strlen(names[i]));
        assert_memory_equal(file.data + 2, names[i], strlen(names[i]));
    }
}

#define FILES(f, ...)                                                                              \
    assert_files(f, ARRAY_LEN(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__})

/* ---- the product's index ---- */

static void assert_services(struct fixture *f) {
    assert_int_equal(
        f->response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE);
    assert_int_equal(f->response->list_services_response->n_service, ARRAY_LEN(services));
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        ProtobufCBinaryData name = f->response->list_services_response->service[i]->name;

        assert_true(slice_eq(slice_of((char *)name.data, name.len), services[i]));
    }
}

static void test_list(void **state) {
    struct fixture *f = *state;

    ask(f, LIST, "");
    assert_services(f);
    ask(f, LIST, "*"); /* the content isn't looked at */
    assert_services(f);
}

static void test_v1alpha_answers_the_same(void **state) {
    (void)state;
    struct fixture *f = open_stream(&descriptors, V1ALPHA);
    void *own = f;

    assert_true(f->method->client_streams);
    ask(f, LIST, "");
    assert_services(f);
    ask(f, SYMBOL, "grpc.reflection.v1alpha.ServerReflection");
    FILES(f, "grpc/reflection/v1alpha/reflection.proto");
    (void)down(&own);
}

/* clang-format off */
static const struct {
    const char *symbol;
    const char *file; /* NULL: not found */
} symbols[] = {
    {"counter.CounterService",                                   "counter/counter.proto"},
    {"counter.CounterService.IncrementCounter",                  "counter/counter.proto"},
    {"counter.CounterService.DeleteCounter",                     "counter/counter.proto"},
    {"counter.IncrementRequest",                                 "counter/counter.proto"},
    {"counter.IncrementRequest.delta",                           "counter/counter.proto"},
    {"grpc.health.v1.Health.Watch",                              "grpc/health/v1/health.proto"},
    {"grpc.health.v1.HealthCheckResponse.ServingStatus",         "grpc/health/v1/health.proto"},
    {"grpc.health.v1.HealthCheckResponse.SERVING",               "grpc/health/v1/health.proto"},
    {"grpc.reflection.v1.ServerReflection.ServerReflectionInfo", "grpc/reflection/v1/reflection.proto"},
    {"grpc.reflection.v1.ServerReflectionRequest.message_request", "grpc/reflection/v1/reflection.proto"},
    {"counter.CounterServic",                                    NULL},
    {"counter.CounterService.",                                  NULL},
    {"counter.CounterService.Nothing",                           NULL},
    {"CounterService",                                           NULL},
    {"counter",                                                  NULL},
    {"",                                                         NULL},
    {"zzz",                                                      NULL},
};
/* clang-format on */

static void test_symbols(void **state) {
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
        ask(f, SYMBOL, symbols[i].symbol);
        if (symbols[i].file)
            FILES(f, symbols[i].file);
        else
            assert_error(f, GRPC_NOT_FOUND);
    }
}

static void test_files(void **state) {
    struct fixture *f = *state;

    for (size_t i = 0; i < descriptors.file_count; i++) {
        struct slice name = descriptors.files[i].name;

        ask(f, FILE_NAMED, name.ptr);
        FILES(f, name.ptr);
    }
    ask(f, FILE_NAMED, "counter.proto");
    assert_error(f, GRPC_NOT_FOUND);
}

static void test_no_extensions(void **state) {
    struct fixture *f = *state;

    ask(f, TYPE_EXTENSIONS, "counter.IncrementRequest");
    assert_int_equal(
        f->response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE);
    assert_int_equal(f->response->all_extension_numbers_response->n_extension_number, 0);
    ask(f, TYPE_EXTENSIONS, "counter.None");
    assert_error(f, GRPC_NOT_FOUND);
    ask_extension(f, "counter.IncrementRequest", 100);
    assert_error(f, GRPC_NOT_FOUND);
}

static void test_no_question(void **state) {
    struct fixture *f = *state;

    ask_raw(f, SLICE(""));
    assert_error(f, GRPC_INVALID_ARGUMENT);
    ask_raw(f, SLICE("\x0A\x04host"));
    assert_error(f, GRPC_INVALID_ARGUMENT);
    ask(f, LIST, ""); /* and the stream still works */
    assert_services(f);
}

/* ---- the stream ---- */

static void test_half_close_ends_it(void **state) {
    struct fixture *f = *state;

    ask(f, LIST, "");
    fake_call_half_close(f->method, f->call);
    assert_int_equal(fake_status(f->call), GRPC_OK);
}

static void test_cancel_ends_it(void **state) {
    struct fixture *f = *state;

    ask(f, LIST, "");
    fake_call_cancel(f->method, f->call);
    assert_int_equal(fake_status(f->call), GRPC_CANCELLED);
}

/* clang-format off */
static const struct slice garbage[] = {
    {"\x1A\x05x", 3},         /* cut short */
    {"\x18\x01", 2},          /* a name that is a number */
    {"\x22\x01\xFF", 3},      /* a symbol that isn't UTF-8: it couldn't be repeated */
    {"\x0A\x01\x80", 3},      /* a host likewise */
    {"\x2A\x02\x0A\x05", 4},  /* an extension request cut short */
};
/* clang-format on */

static void test_garbage_ends_it(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        struct fixture *f = open_stream(&descriptors, V1);
        void *own = f;

        fake_call_message(f->method, f->call, garbage[i]);
        assert_int_equal(fake_status(f->call), GRPC_INVALID_ARGUMENT);
        assert_int_equal(fake_sent_count(f->call), 0);
        (void)down(&own);
    }
}

/* More questions than the call's workspace could hold, were they kept there. */
static void test_questions_without_end(void **state) {
    struct fixture *f = *state;

    for (size_t i = 0; i < 60; i++) {
        ask(f, SYMBOL, "grpc.reflection.v1.ServerReflection.ServerReflectionInfo");
        FILES(f, "grpc/reflection/v1/reflection.proto");
    }
    assert_int_equal(grpc_arena(f->call)->held, 0);
}

static void test_a_question_too_large(void **state) {
    struct fixture *f = *state;
    size_t len = 1u << 20;
    char *request = malloc(len);

    for (size_t i = 0; i < len; i += 2)
        memcpy(request + i, "\x78\x01", 2); /* unknown fields, each of which is kept */
    fake_call_message(f->method, f->call, slice_of(request, len));
    assert_int_equal(fake_status(f->call), GRPC_RESOURCE_EXHAUSTED);
    free(request);
}

/* ---- imports and extensions ---- */

static void test_imports_come_along(void **state) {
    struct fixture *f = *state;

    ask(f, SYMBOL, "root.Service.Call");
    FILES(f, "root.proto", "middle.proto", "leaf.proto"); /* leaf once, though it is needed twice */
    ask(f, FILE_NAMED, "middle.proto");
    FILES(f, "middle.proto", "leaf.proto");
    ask(f, SYMBOL, "leaf.Base.own");
    FILES(f, "leaf.proto");
    ask(f, SYMBOL, "middle.RED"); /* an enum's values are its siblings */
    FILES(f, "middle.proto", "leaf.proto");
    ask(f, SYMBOL, "middle.Outer.Inner.nested");
    FILES(f, "middle.proto", "leaf.proto");
}

static void test_extensions(void **state) {
    struct fixture *f = *state;

    ask_extension(f, "leaf.Base", 100);
    FILES(f, "middle.proto", "leaf.proto");
    ask_extension(f, "leaf.Base", 101);
    FILES(f, "middle.proto", "leaf.proto");
    ask_extension(f, "leaf.Base", 102);
    assert_error(f, GRPC_NOT_FOUND);
    ask_extension(f, "root.Ask", 100);
    assert_error(f, GRPC_NOT_FOUND);
    ask(f, TYPE_EXTENSIONS, "leaf.Base");
    Grpc__Reflection__V1__ExtensionNumberResponse *all =
        f->response->all_extension_numbers_response;
    assert_int_equal(
        f->response->message_response_case,
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE);
    assert_memory_equal(all->base_type_name.data, "leaf.Base", 9);
    assert_int_equal(all->n_extension_number, 2);
    assert_int_equal(all->extension_number[0] + all->extension_number[1], 201);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, up, down),
        cmocka_unit_test(test_v1alpha_answers_the_same),
        cmocka_unit_test_setup_teardown(test_symbols, up, down),
        cmocka_unit_test_setup_teardown(test_files, up, down),
        cmocka_unit_test_setup_teardown(test_no_extensions, up, down),
        cmocka_unit_test_setup_teardown(test_no_question, up, down),
        cmocka_unit_test_setup_teardown(test_half_close_ends_it, up, down),
        cmocka_unit_test_setup_teardown(test_cancel_ends_it, up, down),
        cmocka_unit_test(test_garbage_ends_it),
        cmocka_unit_test_setup_teardown(test_questions_without_end, up, down),
        cmocka_unit_test_setup_teardown(test_a_question_too_large, up, down),
        cmocka_unit_test_setup_teardown(test_imports_come_along, up_imports, down),
        cmocka_unit_test_setup_teardown(test_extensions, up_imports, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
