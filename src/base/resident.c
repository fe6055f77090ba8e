/* resident.c - madvise(2) over what the dynamic linker has mapped. */
#include "base/resident.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whole pages of a segment that is never written: each is what the file has there. */
static void let_go(uintptr_t from, size_t bytes) {
    uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
    uintptr_t begin = (from + mask) & ~mask;
    uintptr_t end = (from + bytes) & ~mask;

    /* Refused for the kernel's own vdso and for what is locked in memory: that stays. */
    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static int trim(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size;
    (void)unused;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
            let_go(info->dlpi_addr + segment->p_vaddr, segment->p_filesz);
    }
    return 0;
}

/* By proc(5): a debugger keeps its breakpoints in copies of those pages. */
static bool is_traced(void) {
    static const char field[] = "TracerPid:";
    char line[128];
    long tracer = 0;
    FILE *file = fopen("/proc/self/status", "re");

    if (!file)
        return false;
    while (tracer == 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, field, sizeof(field) - 1) == 0)
            tracer = strtol(line + sizeof(field) - 1, NULL, 10);
    (void)fclose(file);
    return tracer != 0;
}

void resident_trim(void) {
    if (!is_traced())
        dl_iterate_phdr(trim, NULL);
}
