/* data_folder.h - the store's folder: made, recognised as ours, owned by one process.
 *
 *     OWNER    locked while a process owns the folder; holds its process id
 *     FORMAT   one line: product, format version and, until the store has been
 *              made completely, the word "creating"
 *     others   RocksDB's
 *
 * A folder with files in it but no FORMAT is somebody else's and is left untouched.
 *
 * Threads    One owner.
 * Limits     flock(): on a network file system only as good as the server's locks.
 */
#ifndef EDGE_DATA_FOLDER_H
#define EDGE_DATA_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

#define DATA_FOLDER_VERSION 1

struct data_folder {
    char *path;
    int dir_fd;
    int owner_fd;
    bool creating; /* no store has ever been opened here */
};

/* Makes a folder (0750, parents included) where there is none; false: errno says why not. */
MUST_CHECK bool data_folder_make(const char *path);

void data_folder_init(struct data_folder *folder);
void data_folder_release(struct data_folder *folder);

/* Makes (0750, parents included), recognises and locks the folder.
 * ERR_LOCKED  another process owns it
 * ERR_NEWER   its format is newer than ours
 * ERR_CORRUPT FORMAT is damaged
 * ERR_INVALID it holds somebody else's files
 * ERR_IO      can't be made, read or written
 * 'out_detail' is then a sentence that says what to do. After any result: data_folder_release(). */
MUST_CHECK enum err data_folder_open(struct data_folder *folder, const char *path, char *out_detail,
                                     size_t detail_size);

/* Recognises it and nothing more: another process may own it, and nothing is written.
 * ERR_NOT_FOUND: no store of ours was ever made here; else as above. */
MUST_CHECK enum err data_folder_look(struct data_folder *folder, const char *path, char *out_detail,
                                     size_t detail_size);

/* The store in it is complete: a missing file is damage from now on. Durable when it returns. */
MUST_CHECK enum err data_folder_ready(struct data_folder *folder, char *out_detail,
                                      size_t detail_size);

/* 'copy' has a copy of the complete store's other files: now it is a folder of ours, too. Durable
 * when it returns. ERR_IO. */
MUST_CHECK enum err data_folder_mark(const struct data_folder *folder, const char *copy);

#endif
