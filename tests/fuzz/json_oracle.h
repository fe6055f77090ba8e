/* json_oracle.h - what jansson makes of a document, to compare ours with.
 *
 * A file of its own, since jansson.h and json.h claim the same names.
 *
 * Threads    One owner at a time.
 * Ownership  Slices live as long as their oracle.
 */
#ifndef TESTS_FUZZ_JSON_ORACLE_H
#define TESTS_FUZZ_JSON_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct oracle;

enum oracle_verdict {
    ORACLE_ACCEPTS,
    ORACLE_REJECTS,
    ORACLE_PASSES /* met a limit of its own: an int64 or a double overflows, NUL in a name */
};

/* Never NULL. */
struct oracle *oracle_new(const void *bytes, size_t len);
void oracle_free(struct oracle *oracle);

enum oracle_verdict oracle_verdict(const struct oracle *oracle);

/* The rest only for what it accepts. */

/* How many arrays and objects are open at the deepest place. */
size_t oracle_depth(const struct oracle *oracle);

/* Some object has the same name twice. */
bool oracle_has_duplicates(const struct oracle *oracle);

struct oracle_item {
    struct slice resource_id;
    struct slice counter_type;
    struct slice idempotency_key;
    int64_t delta;
};

/* The document as the body of an increment; false when CONTRACT A refuses it. */
bool oracle_increment(const struct oracle *oracle, struct oracle_item *out);

/* The document as the body of a batch increment: is "items" an array, and how long. */
bool oracle_batch(const struct oracle *oracle, size_t *out_count);

/* Its item 'i', which may not even be an object. */
bool oracle_batch_item(const struct oracle *oracle, size_t i, struct oracle_item *out);

/* The document as the body of PUT. */
bool oracle_value(const struct oracle *oracle, int64_t *out);

/* Member 'name' of member "data", {NULL, 0} when it isn't a string. */
struct slice oracle_data_text(const struct oracle *oracle, const char *name);

#endif
