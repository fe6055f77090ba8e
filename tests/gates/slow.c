/* slow.c - plants about 5 % into the cost of an increment: five instructions for each byte
 * received.
 *
 * Linked into a highgopress of its own, where it takes the place of the C library's recv(), so that
 * run.py can see bench/instructions turn red. */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t recv(int fd, void *to, size_t len, int flags) {
    ssize_t got = syscall(SYS_recvfrom, fd, to, len, flags, NULL, NULL);

    for (ssize_t i = 0; i < got; i++)
        __asm__ volatile("nop; nop; nop");
    return got;
}
