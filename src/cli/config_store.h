/* config_store.h - documents and their history in Consul's KV.
 *
 * A document's Flags in Consul are its version.
 *
 * Threads    The main thread.
 * Errors     False: Consul, and store->problem is a sentence.
 */
#ifndef CLI_CONFIG_STORE_H
#define CLI_CONFIG_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cli/role.h"
#include "edge/consul_kv.h"

struct config_store {
    struct consul consul;
    char problem[256];
};

struct config_document {
    bool exists;
    unsigned version; /* 0: put by other means */
    uint64_t index;   /* Consul's, of its last change */
    struct buf text;  /* the caller's */
};

struct config_version {
    unsigned number;
    int64_t at_s; /* wall clock */
};

/* NULL, or a sentence. */
MUST_CHECK const char *config_store_open(struct config_store *store, const struct config *config);
void config_store_close(struct config_store *store);

MUST_CHECK bool config_store_read(struct config_store *store, enum role role,
                                  struct config_document *out);

/* Waits until the document's index isn't '*index' any more, and sets that. */
MUST_CHECK bool config_store_wait(struct config_store *store, enum role role, uint64_t *index,
                                  struct config_document *out);

enum config_store_put { CONFIG_STORE_OK, CONFIG_STORE_RACED, CONFIG_STORE_FAILED };

/* The next version. */
MUST_CHECK enum config_store_put config_store_put(struct config_store *store, enum role role,
                                                  struct slice text, unsigned *out_version);

/* Oldest first. */
MUST_CHECK bool config_store_history(struct config_store *store, enum role role,
                                     void (*each)(void *ctx, const struct config_version *version),
                                     void *ctx);
MUST_CHECK bool config_store_read_version(struct config_store *store, enum role role,
                                          unsigned number, struct buf *out, bool *out_found);

#endif
