/* openapi.h - api/openapi.yaml, as the build has made JSON of it.
 *
 * Threads    Constant data.
 */
#ifndef GATEWAY_OPENAPI_H
#define GATEWAY_OPENAPI_H

#include "base/slice.h"

extern const struct slice openapi_json;

#endif
