/* config_value.h - one value of the configuration, between text and field.
 *
 * Private to config.c.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef BASE_CONFIG_VALUE_H
#define BASE_CONFIG_VALUE_H

#include "base/config.h"

/* False when the row doesn't allow 'text'; then *field is untouched. */
MUST_CHECK bool config_value_parse(const struct config_row *row, const char *text, void *field);

/* The field as text; a password in a URL is replaced by ***. */
void config_value_print(const struct config_row *row, const void *field, struct buf *out);

/* A number's or choice's field as a number. */
int64_t config_value_number(const struct config_row *row, const void *field);

/* Text as it may be shown: of a URL row without its password. */
void config_value_redact(const struct config_row *row, const char *text, struct buf *out);

#endif
