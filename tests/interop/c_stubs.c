/* c_stubs.c - a user's C program on what scripts/generate_proto.sh makes: gRPC message frames on
 * standard output and input, another program carries them.
 *
 *     c_stubs request RESOURCE_ID DELTA > frame      an IncrementRequest
 *     c_stubs response < frame                       "CURRENT_VALUE RESOURCE_ID"
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counter/counter.pb-c.h"

#define PREFIX 5

static int write_request(char *resource_id, const char *delta) {
    Counter__IncrementRequest request = COUNTER__INCREMENT_REQUEST__INIT;
    uint8_t frame[1024] = {0};
    char type[] = "like";

    request.resource_id = resource_id;
    request.counter_type = type;
    request.delta = strtoll(delta, NULL, 10);
    size_t len = counter__increment_request__get_packed_size(&request);
    if (len > sizeof(frame) - PREFIX)
        return 1;
    frame[3] = (uint8_t)(len >> 8);
    frame[4] = (uint8_t)len;
    counter__increment_request__pack(&request, frame + PREFIX);
    return fwrite(frame, PREFIX + len, 1, stdout) == 1 ? 0 : 1;
}

static int read_response(void) {
    uint8_t frame[1024];
    size_t len = fread(frame, 1, sizeof(frame), stdin);

    if (len < PREFIX)
        return 1;
    Counter__IncrementResponse *response =
        counter__increment_response__unpack(NULL, len - PREFIX, frame + PREFIX);
    if (!response)
        return 1;
    printf("%" PRId64 " %s\n", response->current_value, response->resource_id);
    counter__increment_response__free_unpacked(response, NULL);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "request") == 0)
        return write_request(argv[2], argv[3]);
    return argc == 2 && strcmp(argv[1], "response") == 0 ? read_response() : 2;
}
