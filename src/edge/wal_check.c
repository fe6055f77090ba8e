#include "edge/wal_check.h"
enum err wal_check(const char *folder, char *out_detail, size_t detail_size) {
    (void)folder;
    (void)out_detail;
    (void)detail_size;
    return ERR_OK;
}
