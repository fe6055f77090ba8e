/* http1_llhttp.h - llhttp.h under names that do not clash with our methods. */
#ifndef WIRE_HTTP1_LLHTTP_H
#define WIRE_HTTP1_LLHTTP_H

#define HTTP_DELETE  LLHTTP_DELETE
#define HTTP_GET     LLHTTP_GET
#define HTTP_HEAD    LLHTTP_HEAD
#define HTTP_OPTIONS LLHTTP_OPTIONS
#define HTTP_POST    LLHTTP_POST
#define HTTP_PUT     LLHTTP_PUT
#include <llhttp.h>
#undef HTTP_DELETE
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_OPTIONS
#undef HTTP_POST
#undef HTTP_PUT

#endif
