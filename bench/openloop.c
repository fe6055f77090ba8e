/* openloop.c - HTTP/1.1 requests at times of their own, whatever the server does.
 *
 *     build/bench_openloop PORT RATE SECONDS CONNECTIONS get|hot|keys SEED
 *
 * Requests are due as independent clients send them: at RATE a second, with exponentially
 * distributed gaps from SEED, so that two servers get the same ones. One that is due while all
 * connections wait is sent when one is free, and its latency counts from when it was due: a server
 * that stands still doesn't make the load wait for it (coordinated omission). The first WARM_NS
 * aren't recorded. Prints one line of JSON; latencies in us; ok_ and refused_ are those of answers
 * with 200 and with another status. "get" asks for /, "hot" and "keys"
 * increment one counter and 100,000, uniformly.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEYS        100000
#define WARM_NS     500000000
#define PATIENCE_NS 5000000000 /* for the last answers */
#define EVENTS      256
#define ANSWER_MAX  4096

struct client {
    int fd;
    int64_t due_ns; /* of the request under way */
    size_t have;
    char answer[ANSWER_MAX];
};

struct load {
    int64_t *due_ns; /* of all requests, rising, from the start */
    size_t count, next, answered, errors;
    struct client *clients, **idle;
    size_t clients_count, idle_count;
    uint32_t *latencies_us;
    uint32_t *sides_us[2]; /* of those that were answered: refused, ok */
    size_t recorded, sides[2];
    int64_t start_ns;
    int epoll;
    const char *kind;
    uint64_t random;
};

static void die(const char *what) {
    (void)fprintf(stderr, "bench_openloop: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void *must_alloc(size_t count, size_t size) {
    void *made = calloc(count, size);

    if (!made)
        die("memory");
    return made;
}

static void schedule(struct load *load, double rate, double seconds) {
    double at_s = 0;

    load->count = (size_t)(rate * seconds);
    load->due_ns = must_alloc(load->count, sizeof(*load->due_ns));
    load->latencies_us = must_alloc(load->count, sizeof(*load->latencies_us));
    load->sides_us[0] = must_alloc(load->count, sizeof(uint32_t));
    load->sides_us[1] = must_alloc(load->count, sizeof(uint32_t));
    for (size_t i = 0; i < load->count; i++) {
        double uniform = (double)(next_random(&load->random) >> 11) / 9007199254740992.0;

        at_s += -log(1 - uniform) / rate;
        load->due_ns[i] = (int64_t)(at_s * 1e9);
    }
}

static void connect_all(struct load *load, uint16_t port) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    load->epoll = epoll_create1(0);
    for (size_t i = 0; i < load->clients_count; i++) {
        struct client *client = &load->clients[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

        client->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
            die("connect");
        (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)fcntl(client->fd, F_SETFL, O_NONBLOCK);
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) != 0)
            die("epoll");
        load->idle[load->idle_count++] = client;
    }
}

static size_t write_request(struct load *load, char *out, size_t size) {
    char body[128];
    int len = 0;

    if (strcmp(load->kind, "get") == 0)
        return (size_t)snprintf(out, size, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
    if (strcmp(load->kind, "hot") == 0)
        len = snprintf(body, sizeof(body),
                       "{\"resource_id\":\"bench-hot\",\"counter_type\":\"like\",\"delta\":1}");
    else
        len = snprintf(body, sizeof(body),
                       "{\"resource_id\":\"bench-%" PRIu64
                       "\",\"counter_type\":\"like\",\"delta\":1}",
                       next_random(&load->random) % KEYS);
    return (size_t)snprintf(out, size,
                            "POST /api/v1/counter/increment HTTP/1.1\r\nHost: bench\r\n"
                            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                            len, body);
}

/* What is due now, as far as there are connections. */
static void send_due(struct load *load) {
    int64_t since_ns = now_ns() - load->start_ns;
    char request[512];

    while (load->next < load->count && load->idle_count > 0 &&
           load->due_ns[load->next] <= since_ns) {
        struct client *client = load->idle[--load->idle_count];
        size_t len = write_request(load, request, sizeof(request));

        client->due_ns = load->due_ns[load->next++];
        client->have = 0;
        if (send(client->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
            die("send");
    }
}

/* The length of a whole answer in the client's buffer; 0: there is more to come. */
static size_t whole_answer(const struct client *client) {
    const char *end = memmem(client->answer, client->have, "\r\n\r\n", 4);

    for (const char *line = client->answer; end && line < end;) {
        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            size_t len = (size_t)(end + 4 - client->answer) + strtoul(line + 15, NULL, 10);

            return client->have >= len ? len : 0;
        }
        line = (const char *)memchr(line, '\n', (size_t)(end + 2 - line)) + 1;
    }
    return 0;
}

static void record(struct load *load, int64_t due_ns) {
    int64_t late_ns = now_ns() - load->start_ns - due_ns;

    if (due_ns >= WARM_NS)
        load->latencies_us[load->recorded++] = (uint32_t)(late_ns / 1000);
}

static void receive(struct load *load, struct client *client) {
    ssize_t got = recv(client->fd, client->answer + client->have,
                       sizeof(client->answer) - 1 - client->have, 0);

    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return;
        die("the server closed a connection");
    }
    client->have += (size_t)got;
    client->answer[client->have] = '\0';
    if (whole_answer(client) == 0)
        return;
    bool ok = strncmp(client->answer, "HTTP/1.1 200 ", 13) == 0;
    load->errors += !ok;
    record(load, client->due_ns);
    if (client->due_ns >= WARM_NS)
        load->sides_us[ok][load->sides[ok]++] = load->latencies_us[load->recorded - 1];
    load->answered++;
    load->idle[load->idle_count++] = client;
}

/* Until the next request is due, if somebody could send it. */
static void wait_and_receive(struct load *load) {
    struct epoll_event events[EVENTS];
    int64_t until_ns = load->next < load->count && load->idle_count > 0
                           ? load->due_ns[load->next]
                           : load->due_ns[load->count - 1] + PATIENCE_NS;
    int64_t left_ns = until_ns - (now_ns() - load->start_ns);
    struct timespec timeout = {0, 0};

    if (left_ns > 0)
        timeout = (struct timespec){left_ns / 1000000000, left_ns % 1000000000};
    int ready = epoll_pwait2(load->epoll, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < ready; i++)
        receive(load, events[i].data.ptr);
}

static int by_size(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static uint32_t of_sorted(const uint32_t *latencies_us, size_t count, double share) {
    return count ? latencies_us[(size_t)((double)(count - 1) * share)] : 0;
}

static uint32_t percentile(const struct load *load, double share) {
    return of_sorted(load->latencies_us, load->recorded, share);
}

static void report_side(const struct load *load, const char *name, bool ok) {
    uint32_t *latencies_us = load->sides_us[ok];
    size_t count = load->sides[ok];

    qsort(latencies_us, count, sizeof(*latencies_us), by_size);
    printf(",\"%s\":%zu,\"%s_p50_us\":%u,\"%s_p99_us\":%u,\"%s_max_us\":%u", name, count, name,
           of_sorted(latencies_us, count, 0.5), name, of_sorted(latencies_us, count, 0.99), name,
           of_sorted(latencies_us, count, 1));
}

static void report(struct load *load, double rate) {
    /* What never came counts as what it has waited so far. */
    for (size_t i = 0; i < load->clients_count; i++) {
        bool idle = false;

        for (size_t j = 0; j < load->idle_count && !idle; j++)
            idle = load->idle[j] == &load->clients[i];
        if (!idle)
            record(load, load->clients[i].due_ns);
    }
    for (size_t i = load->next; i < load->count; i++)
        record(load, load->due_ns[i]);
    if (load->recorded == 0)
        die("nothing was recorded: more SECONDS");
    qsort(load->latencies_us, load->recorded, sizeof(*load->latencies_us), by_size);
    printf("{\"rate\":%.0f,\"requests\":%zu,\"unanswered\":%zu,\"errors\":%zu,\"p50_us\":%u,"
           "\"p90_us\":%u,\"p99_us\":%u,\"p999_us\":%u,\"max_us\":%u",
           rate, load->count, load->count - load->answered, load->errors, percentile(load, 0.5),
           percentile(load, 0.9), percentile(load, 0.99), percentile(load, 0.999),
           percentile(load, 1));
    report_side(load, "ok", true);
    report_side(load, "refused", false);
    printf("}\n");
}

int main(int argc, char **argv) {
    struct load load = {0};

    if (argc != 7) {
        (void)fprintf(stderr, "usage: %s PORT RATE SECONDS CONNECTIONS get|hot|keys SEED\n",
                      argv[0]);
        return 64;
    }
    double rate = strtod(argv[2], NULL);
    load.clients_count = strtoul(argv[4], NULL, 10);
    load.kind = argv[5];
    load.random = strtoull(argv[6], NULL, 10);
    load.clients = must_alloc(load.clients_count, sizeof(*load.clients));
    load.idle = must_alloc(load.clients_count, sizeof(struct client *));
    schedule(&load, rate, strtod(argv[3], NULL));
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    connect_all(&load, (uint16_t)strtoul(argv[1], NULL, 10));
    load.start_ns = now_ns();
    int64_t end_ns = load.start_ns + load.due_ns[load.count - 1] + PATIENCE_NS;
    while (load.answered < load.count && now_ns() < end_ns) {
        send_due(&load);
        wait_and_receive(&load);
    }
    report(&load, rate);
    return 0;
}
