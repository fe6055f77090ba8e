/* print_config.h - the effective configuration as YAML that can be read again.
 *
 * Threads    Any.
 */
#ifndef CLI_PRINT_CONFIG_H
#define CLI_PRINT_CONFIG_H

#include "base/config.h"

/* Every key, with a comment that says where its value came from. A password
 * inside a URL is printed as ***. */
void print_config(const struct config *cfg, struct buf *out);

/* The same of one row: its key as in a file and its value, without a line feed. */
void print_config_row(const struct config *cfg, enum config_key key, struct buf *out);

/* "limits:" and a line feed where 'key' begins a group, else nothing. */
void print_config_group(enum config_key key, struct buf *out);

#endif
