/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 B.4), as RocksDB's log carries it.
 *
 * Threads    Any.
 */
#ifndef EDGE_CRC32C_H
#define EDGE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of the bytes alone: 0xe3069283 for "123456789". */
uint32_t crc32c(const void *bytes, size_t len);

/* The same for any processor; crc32c() falls back to it. */
uint32_t crc32c_by_table(const void *bytes, size_t len);

#endif
