/* json_text.h - reading the strings and numbers inside a JSON document; json.c's own.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef WIRE_JSON_TEXT_H
#define WIRE_JSON_TEXT_H

#include "wire/json.h"

/* Both begin at 'p', fill in out->raw and return where the token ends, or NULL
 * with '*out_error' set, its position relative to 'p'. */

/* 'p' is behind the opening quote; the result is behind the closing one. */
const char *json_scan_string(const char *p, const char *end, struct json_token *out,
                             struct json_error *out_error);

const char *json_scan_number(const char *p, const char *end, struct json_token *out,
                             struct json_error *out_error);

#endif
