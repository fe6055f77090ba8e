/* alloccount.c - a preloaded module that counts what each thread of a process asks malloc for.
 *
 * The file ALLOC_COUNT holds a struct count for each thread, in this machine's byte order, in the
 * order of their first request; a test reads it while the process runs. free() isn't counted.
 *
 * Threads    Any; each has a place of its own.
 * Limits     THREADS_MAX threads; the rest isn't counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS_MAX 64

struct count {
    int64_t tid; /* 0: no thread yet */
    _Atomic uint64_t requests;
};

/* glibc's own, under the names that it exports for such as us. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static struct count *_Atomic counts;
static atomic_uint used;
/* Of a model that needs no memory of its own at the first use. */
static __thread struct count *mine __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("ALLOC_COUNT");
    size_t bytes = THREADS_MAX * sizeof(struct count);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        abort();
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        abort();
    close(fd);
    counts = at;
}

static void count(void) {
    struct count *all = counts;

    if (!mine && all) {
        unsigned slot = atomic_fetch_add(&used, 1);

        if (slot >= THREADS_MAX)
            return;
        all[slot].tid = syscall(SYS_gettid);
        mine = &all[slot];
    }
    if (mine)
        atomic_fetch_add_explicit(&mine->requests, 1, memory_order_relaxed);
}

void *malloc(size_t bytes) {
    count();
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes) {
    count();
    return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes) {
    count();
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    count();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    count();
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}
