/* test_http1_strict.c - what two parsers could read in two ways is refused.
 *
 * The ids are Http11Probe's (github.com/MDA2AV/Http11Probe) as far as parsing
 * goes; rows without one are our own. A row that is accepted says how many
 * requests were seen: one more would be a smuggled one.
 */
#include "http1_check.h"

/* More than two words of eight bytes. */
#define LONG_RUN 19

struct row {
    const char *id;
    struct slice in;
    enum err want;
    size_t requests;
};

/* clang-format off */
#define BAD(id, text) {id, {text, sizeof(text) - 1}, ERR_INVALID, 0}
#define NOT(id, text) {id, {text, sizeof(text) - 1}, ERR_NOT_IMPL, 0}
#define VER(id, text) {id, {text, sizeof(text) - 1}, ERR_VERSION, 0}
#define YES(id, n, text) {id, {text, sizeof(text) - 1}, ERR_OK, n}
#define SMUGGLED "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n"

static const struct row length_rows[] = {
    BAD("SMUG-DUPLICATE-CL", POST "Content-Length: 5\r\nContent-Length: 10\r\n\r\nhelloworld"),
    BAD("two equal lengths", POST "Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello"),
    BAD("SMUG-CL-LEADING-ZEROS", POST "Content-Length: 005\r\n\r\nhello"),
    BAD("SMUG-CL-LEADING-ZEROS-OCTAL", POST "Content-Length: 0200\r\n\r\nhello"),
    BAD("SMUG-CL-DOUBLE-ZERO", POST "Content-Length: 00\r\n\r\n"),
    BAD("SMUG-CL-NEGATIVE", POST "Content-Length: -1\r\n\r\n"),
    BAD("SMUG-CL-NEGATIVE-ZERO", POST "Content-Length: -0\r\n\r\n"),
    BAD("SMUG-CL-COMMA-DIFFERENT", POST "Content-Length: 5, 10\r\n\r\nhello"),
    BAD("SMUG-CL-COMMA-SAME", POST "Content-Length: 5, 5\r\n\r\nhello"),
    BAD("SMUG-CL-COMMA-TRIPLE", POST "Content-Length: 5, 5, 5\r\n\r\nhello"),
    BAD("a trailing comma", POST "Content-Length: 5,\r\n\r\nhello"),
    BAD("SMUG-CL-OCTAL", POST "Content-Length: 0o5\r\n\r\nhello"),
    BAD("SMUG-CL-HEX-PREFIX", POST "Content-Length: 0x5\r\n\r\nhello"),
    BAD("SMUG-CL-INTERNAL-SPACE", POST "Content-Length: 1 0\r\n\r\nhello12345"),
    BAD("SMUG-CL-UNDERSCORE", POST "Content-Length: 1_0\r\n\r\nhelloworld"),
    BAD("RFC9112-6.1-CL-NON-NUMERIC", POST "Content-Length: abc\r\n\r\n"),
    BAD("RFC9112-6.1-CL-PLUS-SIGN", POST "Content-Length: +5\r\n\r\nhello"),
    BAD("a fraction", POST "Content-Length: 5.0\r\n\r\nhello"),
    BAD("MAL-CL-OVERFLOW", POST "Content-Length: 99999999999999999999\r\n\r\n"),
    BAD("2^64 + 5", POST "Content-Length: 18446744073709551621\r\n\r\nhello"),
    BAD("19 digits", POST "Content-Length: 1000000000000000005\r\n\r\nhello"),
    BAD("MAL-CL-EMPTY", POST "Content-Length: \r\n\r\n"),
    BAD("an empty one at all", POST "Content-Length:\r\n\r\n"),
    BAD("NORM-SP-BEFORE-COLON-CL", POST "Content-Length: 11\r\nContent-Length : 5\r\n\r\nhello world"),
    BAD("NORM-TAB-IN-NAME", POST "Content-Length: 11\r\nContent\tLength: 99\r\n\r\nhello world"),
    BAD("SMUG-DUPLICATE-CL-SMUGGLED-GET",
        POST "Content-Length: 4\r\nContent-Length: 36\r\n\r\nPING" SMUGGLED),
    YES("NORM-UNDERSCORE-CL", 1, POST "Content-Length: 5\r\nContent_Length: 99\r\n\r\nhello"),
    YES("SMUG-CL-TRAILING-SPACE", 1, POST "Content-Length: 5 \r\n\r\nhello"),
    YES("SMUG-CL-EXTRA-LEADING-SP", 1, POST "Content-Length:  5\r\n\r\nhello"),
    YES("MAL-CL-TAB-BEFORE-VALUE", 1, POST "Content-Length:\t5\r\n\r\nhello"),
    YES("SMUG-HEAD-CL-BODY", 1, "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"),
    YES("SMUG-OPTIONS-CL-BODY", 1, "OPTIONS / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"),
    YES("COMP-GET-WITH-CL-BODY", 1, GET "Content-Length: 5\r\n\r\nhello"),
    YES("SMUG-GET-CL-PREFIX-DESYNC", 1,
        GET "Content-Length: 35\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\nX-A: "),
    YES("COMP-TRACE-WITH-BODY", 1, "TRACE / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"),
    YES("COMP-POST-CL-ZERO", 1, POST "Content-Length: 0\r\n\r\n"),
    YES("COMP-POST-NO-CL-NO-TE", 1, POST "\r\n"),
    YES("COMP-POST-CL-UNDERSEND", 0, POST "Content-Length: 10\r\n\r\nhello"),
    YES("SMUG-CL0-BODY-POISON: X starts the next one", 1, POST "Content-Length: 0\r\n\r\nX"),
    YES("18 digits, to be refused as too large elsewhere", 0,
        POST "Content-Length: 100000000000000000\r\n"),
};

static const struct row coding_rows[] = {
    BAD("SMUG-CL-TE-BOTH", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-CLTE-PIPELINE", POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TECL-PIPELINE", POST "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-CLTE-DESYNC", POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX"),
    BAD("SMUG-CLTE-SMUGGLED-GET",
        POST "Content-Length: 38\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
    BAD("SMUG-CLTE-SMUGGLED-GET-CL-PLUS",
        POST "Content-Length: +38\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
    BAD("SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC",
        POST "Content-Length: 38x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
    BAD("SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH",
        POST "Content-Length: 38\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
    BAD("SMUG-TECL-SMUGGLED-GET",
        POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n21\r\n" SMUGGLED "\r\n0\r\n\r\n"),
    BAD("SMUG-TE-XCHUNKED", POST "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("SMUG-TE-TRAILING-SPACE", POST "Transfer-Encoding: chunked \r\nContent-Length: 5\r\n\r\nhello"),
    BAD("SMUG-TE-SP-BEFORE-COLON", POST "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("a tab before the colon", POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-DOUBLE-CHUNKED", POST "Transfer-Encoding: chunked, chunked\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("chunked twice, no length", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-CASE-MISMATCH", POST "Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("SMUG-TE-NOT-FINAL-CHUNKED", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-HTTP10", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-EMPTY-VALUE", POST "Transfer-Encoding: \r\nContent-Length: 5\r\n\r\nhello"),
    BAD("an empty coding alone", POST "Transfer-Encoding:\r\n\r\n"),
    BAD("SMUG-TE-LEADING-COMMA", POST "Transfer-Encoding: , chunked\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("a leading comma alone", POST "Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-TRAILING-COMMA", POST "Transfer-Encoding: chunked,\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("a trailing comma alone", POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    BAD("a trailing comma behind another", POST "Transfer-Encoding: gzip,\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-DUPLICATE-HEADERS",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("two equal codings", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("two codings", POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-VTAB", POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-FORMFEED", POST "Transfer-Encoding: \x0c" "chunked\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-NULL", POST "Transfer-Encoding: chunked\0\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("SMUG-TE-IDENTITY", POST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("SMUG-CHUNKED-WITH-PARAMS", POST "Transfer-Encoding: chunked;ext=val\r\n\r\n0\r\n\r\n"),
    BAD("a quoted coding", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    BAD("a space in the coding", POST "Transfer-Encoding: chu nked\r\n\r\n0\r\n\r\n"),
    BAD("obs-text in the coding", POST "Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n"),
    BAD("SMUG-TE-OBS-FOLD", POST "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello"),
    BAD("a fold without a length", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    BAD("NORM-CASE-TE", POST "Content-Length: 11\r\nTRANSFER-ENCODING: chunked\r\n\r\nhello world"),
    NOT("COMP-UNKNOWN-TE-501", POST "Transfer-Encoding: gzip\r\n\r\n"),
    NOT("an unknown coding", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    NOT("identity, which is gone", POST "Transfer-Encoding: identity\r\n\r\n"),
    NOT("a coding below chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    YES("chunked in capitals", 1, POST "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n"),
    YES("chunked with white space around", 1, POST "transfer-encoding: \t chunked \t\r\n\r\n0\r\n\r\n"),
    YES("SMUG-TRANSFER_ENCODING", 1, POST "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"),
    YES("SMUG-PIPELINE-SAFE", 3, GET "\r\n" GET "\r\n" GET "\r\n"),
};

static const struct row chunk_rows[] = {
    BAD("SMUG-CHUNK-BARE-SEMICOLON", CHUNKED "5;\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-EXT-INVALID-TOKEN", CHUNKED "5;bad[=x\r\nhello\r\n0\r\n\r\n"),
    BAD("an extension without a value", CHUNKED "5;a=\r\nhello\r\n0\r\n\r\n"),
    BAD("white space around an extension", CHUNKED "5 ; a=b\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-UNDERSCORE", CHUNKED "1_0\r\nhello world!!!!!\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-HEX-PREFIX", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-SIZE-PLUS", CHUNKED "+5\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-SIZE-TRAILING-OWS", CHUNKED "5 \r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-LEADING-SP", CHUNKED " 5\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-NEGATIVE", CHUNKED "-1\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-INVALID-SIZE-DESYNC", CHUNKED "+0\r\n\r\nX"),
    BAD("SMUG-CHUNK-MISSING-TRAILING-CRLF", CHUNKED "5\r\nhello0\r\n\r\n"),
    BAD("SMUG-CHUNK-SPILL", CHUNKED "5\r\nhello!!\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-EXT-LF", CHUNKED "5;\nhello\r\n0\r\n\r\n"),
    BAD("a LF behind an extension", CHUNKED "5;a\nhello\r\n0\r\n\r\n"),
    BAD("a LF behind the size", CHUNKED "5\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-LF-TERM", CHUNKED "5\r\nhello\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-EXT-CTRL", CHUNKED "5;\0ext\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-EXT-CR", CHUNKED "5;a\rX\r\nhello\r\n0\r\n\r\n"),
    BAD("CRLF inside quotes", CHUNKED "5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\nhello\r\n0\r\n\r\n"),
    BAD("an escape inside quotes", CHUNKED "5;a=\"b\\\"c\"\r\nhello\r\n0\r\n\r\n"),
    BAD("something behind quotes", CHUNKED "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"),
    BAD("SMUG-CHUNK-BARE-CR-TERM", CHUNKED "5\rhello\r\n0\r\n\r\n"),
    BAD("CR where data ends", CHUNKED "5\r\nhello\r0\r\n\r\n"),
    BAD("SMUG-CHUNK-LF-TRAILER", CHUNKED "5\r\nhello\r\n0\r\n\n"),
    BAD("a LF behind the last size", CHUNKED "0\n\r\n"),
    BAD("MAL-CHUNK-SIZE-OVERFLOW", CHUNKED "FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n"),
    BAD("2^64 + 5", CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    BAD("leading zeros without end", CHUNKED "0000000000000005\r\nhello\r\n0\r\n\r\n"),
    BAD("no size", CHUNKED "\r\nhello\r\n0\r\n\r\n"),
    BAD("not hex", CHUNKED "5g\r\nhello\r\n0\r\n\r\n"),
    BAD("a comma in the size", CHUNKED "5,5\r\nhello\r\n0\r\n\r\n"),
    BAD("a space before a trailer's colon", CHUNKED "0\r\nX : a\r\n\r\n"),
    BAD("a folded trailer", CHUNKED "0\r\nX: a\r\n b\r\n\r\n"),
    BAD("a trailer that ends in LF", CHUNKED "0\r\nX: a\n\r\n"),
    BAD("a request where trailers belong", CHUNKED "0\r\n" SMUGGLED),
    BAD("SMUG-TRAILER-CL", CHUNKED "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
    BAD("SMUG-TRAILER-TE", CHUNKED "5\r\nhello\r\n0\r\nX: a\r\ntransfer-encoding: chunked\r\n\r\n"),
    BAD("SMUG-TRAILER-HOST", CHUNKED "5\r\nhello\r\n0\r\nHost: evil.example.com\r\n\r\n"),
    YES("COMP-CHUNKED-BODY", 1, CHUNKED "5\r\nhello\r\n0\r\n\r\n"),
    YES("COMP-CHUNKED-MULTI", 1, CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    YES("COMP-CHUNKED-EMPTY", 1, CHUNKED "0\r\n\r\n"),
    YES("COMP-CHUNKED-NO-FINAL", 0, CHUNKED "5\r\nhello\r\n"),
    YES("COMP-CHUNKED-EXTENSION", 1, CHUNKED "5;ext=value\r\nhello\r\n0\r\n\r\n"),
    YES("an extension behind a value", 1, CHUNKED "5;a=b;c=d;e\r\nhello\r\n0;f=g;h\r\n\r\n"),
    YES("extensions of all kinds", 1, CHUNKED "5;a;b=c;d=\"e; f\"\r\nhello\r\n0;g=\"\"\r\n\r\n"),
    YES("COMP-CHUNKED-TRAILER-VALID", 1, CHUNKED "5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n"),
    YES("COMP-CHUNKED-HEX-UPPERCASE", 1, CHUNKED "A\r\nhelloworld\r\n0\r\n\r\n"),
    YES("lower-case hex and a leading zero", 1, CHUNKED "0a\r\nhelloworld\r\n000\r\n\r\n"),
    YES("SMUG-TRAILER-AUTH", 2,
        CHUNKED "5\r\nhello\r\n0\r\nAuthorization: Bearer evil\r\nHosted: a\r\n\r\n" GET "\r\n"),
    YES("SMUG-TRAILER-CONTENT-TYPE", 1, CHUNKED "5\r\nhello\r\n0\r\nContent-Type: text/evil\r\n\r\n"),
};

static const struct row line_rows[] = {
    BAD("RFC9112-2.2-BARE-LF-REQUEST-LINE", "GET / HTTP/1.1\nHost: h\r\n\r\n"),
    BAD("RFC9112-3-CR-ONLY-LINE-ENDING", "GET / HTTP/1.1\rHost: h\r\n\r\n"),
    BAD("RFC9112-3-MULTI-SP-REQUEST-LINE", "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    BAD("two spaces before the version", "GET /  HTTP/1.1\r\n" HOST "\r\n"),
    BAD("a space behind the version", "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    BAD("RFC9112-3-MISSING-TARGET", "GET HTTP/1.1\r\n" HOST "\r\n"),
    BAD("no target at all", "GET\r\n" HOST "\r\n"),
    BAD("RFC9112-3.2-FRAGMENT-IN-TARGET", "GET /path#frag HTTP/1.1\r\n" HOST "\r\n"),
    BAD("a fragment behind a query", "GET /path?a#frag HTTP/1.1\r\n" HOST "\r\n"),
    BAD("RFC9112-2.3-HTTP09-REQUEST", "GET /\r\n"),
    BAD("COMP-REQUEST-LINE-TAB", "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    BAD("COMP-VERSION-MISSING-MINOR", "GET / HTTP/1\r\n" HOST "\r\n"),
    BAD("COMP-VERSION-LEADING-ZEROS: no such digit", "GET / HTTP/1.01\r\n" HOST "\r\n"),
    BAD("COMP-VERSION-WHITESPACE", "GET / HTTP/ 1.1\r\n" HOST "\r\n"),
    BAD("COMP-VERSION-CASE", "GET / http/1.1\r\n" HOST "\r\n"),
    BAD("another protocol", "GET / RTSP/1.0\r\n" HOST "\r\n"),
    BAD("ICY", "SOURCE / ICE/1.0\r\n" HOST "\r\n"),
    BAD("COMP-SPACE-IN-TARGET", "GET /pa th HTTP/1.1\r\n" HOST "\r\n"),
    BAD("MAL-NUL-IN-URL", "GET /\0test HTTP/1.1\r\n" HOST "\r\n"),
    BAD("MAL-NON-ASCII-URL", "GET /caf\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
    BAD("MAL-URL-OVERLONG-UTF8", "GET /\xc0\xaf HTTP/1.1\r\n" HOST "\r\n"),
    BAD("MAL-URL-BACKSLASH", "GET /path\\file HTTP/1.1\r\n" HOST "\r\n"),
    BAD("DEL in the target", "GET /\x7f HTTP/1.1\r\n" HOST "\r\n"),
    BAD("MAL-WHITESPACE-ONLY-LINE", " \r\n\r\n"),
    BAD("MAL-BINARY-GARBAGE", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    BAD("a method with a separator", "GE(T / HTTP/1.1\r\n" HOST "\r\n"),
    BAD("an empty method", " / HTTP/1.1\r\n" HOST "\r\n"),
    BAD("COMP-ASTERISK-WITH-GET", "GET * HTTP/1.1\r\n" HOST "\r\n"),
    BAD("a path without a slash", "GET path HTTP/1.1\r\n" HOST "\r\n"),
    BAD("a query alone", "GET ?a=b HTTP/1.1\r\n" HOST "\r\n"),
    BAD("another scheme", "GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"),
    BAD("SMUG-ABSOLUTE-URI-HOST-MISMATCH", "GET http://other.example.com/ HTTP/1.1\r\n" HOST "\r\n"),
    BAD("an absolute target without a host", "GET http:/// HTTP/1.1\r\n" HOST "\r\n"),
    BAD("an absolute target with a user", "GET http://user@h/ HTTP/1.1\r\n" HOST "\r\n"),
    BAD("CONNECT with a path", "CONNECT /path HTTP/1.1\r\n" HOST "\r\n"),
    BAD("five empty lines", "\r\n\r\n\r\n\r\n\r\n" GET "\r\n"),
    BAD("a bare LF first", "\n" GET "\r\n"),
    BAD("a bare CR first", "\r" GET "\r\n"),
    NOT("COMP-METHOD-CASE", "get / HTTP/1.1\r\n" HOST "\r\n"),
    NOT("COMP-UNKNOWN-METHOD", "FOOBAR / HTTP/1.1\r\n" HOST "\r\n"),
    NOT("a method that starts like one", "GETS / HTTP/1.1\r\n" HOST "\r\n"),
    NOT("a method's first half", "GE / HTTP/1.1\r\n" HOST "\r\n"),
    BAD("PRI outside the preface", "PRI * HTTP/1.1\r\n" HOST "\r\n"),
    NOT("a method of RTSP", "DESCRIBE / HTTP/1.1\r\n" HOST "\r\n"),
    VER("MAL-H2-PREFACE", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    VER("RFC9112-2.3-INVALID-VERSION", "GET / HTTP/9.9\r\n" HOST "\r\n"),
    VER("COMP-VERSION-LEADING-ZEROS", "GET / HTTP/01.01\r\n" HOST "\r\n"),
    VER("HTTP/0.9 by name", "GET / HTTP/0.9\r\n\r\n"),
    VER("COMP-HTTP12-VERSION", "GET / HTTP/1.2\r\n" HOST "\r\n"),
    YES("COMP-LEADING-CRLF", 1, "\r\n\r\n" GET "\r\n"),
    YES("four empty lines", 1, "\r\n\r\n\r\n\r\n" GET "\r\n"),
    YES("empty lines between requests", 2, GET "\r\n\r\n\r\n" GET "\r\n"),
    YES("COMP-OPTIONS-STAR", 1, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
    YES("COMP-ABSOLUTE-FORM", 1, "GET http://h/ HTTP/1.1\r\n" HOST "\r\n"),
    YES("COMP-METHOD-CONNECT", 1, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"),
    YES("COMP-METHOD-TRACE", 1, "TRACE / HTTP/1.1\r\n" HOST "\r\n"),
    YES("COMP-HTTP10-NO-HOST", 1, "GET / HTTP/1.0\r\n\r\n"),
    YES("MAL-URL-PERCENT-CRLF: still escaped", 1, "GET /path%0d%0aX:%20true HTTP/1.1\r\n" HOST "\r\n"),
    YES("MAL-URL-PERCENT-NULL: uri_decode_part refuses it", 1, "GET /path%00 HTTP/1.1\r\n" HOST "\r\n"),
};

static const struct row field_rows[] = {
    BAD("RFC9112-2.2-BARE-LF-HEADER", "GET / HTTP/1.1\r\nHost: h\nX-Test: value\r\n\r\n"),
    BAD("a bare LF at the end", GET "\n"),
    BAD("a bare CR at the end", GET "\rX"),
    BAD("RFC9112-5.1-OBS-FOLD", GET "X-Test: value\r\n continued\r\n\r\n"),
    BAD("a fold with a tab", GET "X-Test: value\r\n\tcontinued\r\n\r\n"),
    BAD("a fold that is blank", GET "X-Test: value\r\n \r\n\r\n"),
    BAD("RFC9110-5.6.2-SP-BEFORE-COLON", GET "X-Test : value\r\n\r\n"),
    BAD("RFC9112-5-EMPTY-HEADER-NAME", GET ": empty-name\r\n\r\n"),
    BAD("RFC9112-5-INVALID-HEADER-NAME", GET "Bad[Name: value\r\n\r\n"),
    BAD("a space in a name", GET "Bad Name: value\r\n\r\n"),
    BAD("RFC9112-5-HEADER-NO-COLON", GET "NoColonHere\r\n\r\n"),
    BAD("COMP-WHITESPACE-BEFORE-HEADERS", "GET / HTTP/1.1\r\n \r\n" HOST "\r\n"),
    BAD("SMUG-BARE-CR-HEADER-VALUE", POST "Content-Length: 5\r\nX-Test: val\rue\r\n\r\nhello"),
    BAD("CR CR LF", GET "X-Test: value\r\r\n\r\n"),
    BAD("a CR instead of a value (CVE-2023-30589)", GET "X:\rTransfer-Encoding: chunked\r\n\r\n"),
    BAD("MAL-CONTROL-CHARS-HEADER", GET "X-Test: abc\x07\x08\x0b" "def\r\n\r\n"),
    BAD("MAL-NUL-IN-HEADER-VALUE", GET "X-Test: val\0ue\r\n\r\n"),
    BAD("DEL in a value", GET "X-Test: a\x7f\r\n\r\n"),
    BAD("MAL-NON-ASCII-HEADER-NAME", GET "X-T\xc3\xabst: value\r\n\r\n"),
    BAD("NUL in a name", GET "X-T\0st: value\r\n\r\n"),
    BAD("RFC9112-7.1-MISSING-HOST", "GET / HTTP/1.1\r\n\r\n"),
    BAD("RFC9110-5.4-DUPLICATE-HOST", GET "Host: other.example.com\r\n\r\n"),
    BAD("COMP-DUPLICATE-HOST-SAME", GET "host: h\r\n\r\n"),
    BAD("two in HTTP/1.0", "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
    BAD("COMP-HOST-WITH-USERINFO", "GET / HTTP/1.1\r\nHost: user@h\r\n\r\n"),
    BAD("COMP-HOST-WITH-PATH", "GET / HTTP/1.1\r\nHost: h/path\r\n\r\n"),
    BAD("COMP-HOST-EMPTY-VALUE", "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    BAD("SMUG-MULTIPLE-HOST-COMMA", "GET / HTTP/1.1\r\nHost: h, other.example.com\r\n\r\n"),
    BAD("a comma without space", "GET / HTTP/1.1\r\nHost: h,i\r\n\r\n"),
    BAD("a port alone", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    BAD("a port that isn't one", "GET / HTTP/1.1\r\nHost: h:80a\r\n\r\n"),
    BAD("an empty port", "GET / HTTP/1.1\r\nHost: h:\r\n\r\n"),
    BAD("a port of six digits", "GET / HTTP/1.1\r\nHost: h:000080\r\n\r\n"),
    BAD("an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    BAD("empty brackets", "GET / HTTP/1.1\r\nHost: []\r\n\r\n"),
    BAD("something behind brackets", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
    BAD("obs-text in Host", "GET / HTTP/1.1\r\nHost: h\xff\r\n\r\n"),
    YES("an IPv6 host", 1, "GET / HTTP/1.1\r\nHost: [::ffff:127.0.0.1]:8080\r\n\r\n"),
    YES("a host with an underscore", 1, "GET / HTTP/1.1\r\nHost: counter_1.local:65535\r\n\r\n"),
    YES("obs-text in a value", 1, GET "X-Test: caf\xe9\r\n\r\n"),
    YES("an empty value", 1, GET "X-Test:\r\n\r\n"),
    YES("a blank value", 1, GET "X-Test: \t \r\n\r\n"),
    YES("a value without a space", 1, GET "X-Test:a\r\n\r\n"),
    YES("COMP-DUPLICATE-CT", 1, GET "Content-Type: a/b\r\nContent-Type: a/c\r\n\r\n"),
    YES("MAL-INCOMPLETE-REQUEST", 0, GET "X-Test: value"),
    YES("MAL-EMPTY-REQUEST", 0, ""),
    YES("COMP-UPGRADE-POST", 2, POST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" GET "\r\n"),
    YES("an upgrade with a body", 2,
        POST "Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\nhello" GET "\r\n"),
    YES("COMP-UPGRADE-UNKNOWN", 2, GET "Connection: Upgrade\r\nUpgrade: made-up/1.0\r\n\r\n" GET "\r\n"),
    YES("COMP-UPGRADE-HTTP10", 1,
        "GET / HTTP/1.0\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    YES("h2c", 2,
        GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        GET "\r\n"),
    YES("COMP-EXPECT-UNKNOWN: answered 417 by the server", 1, GET "Expect: 200-ok\r\n\r\n"),
    YES("SMUG-EXPECT-100-CL", 1, POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"),
};
/* clang-format on */

static void run(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        check_row(rows[i].id, &usual, rows[i].in, rows[i].want, rows[i].requests);
}

static void test_lengths(void **state) {
    (void)state;
    run(length_rows, ARRAY_LEN(length_rows));
}

static void test_codings(void **state) {
    (void)state;
    run(coding_rows, ARRAY_LEN(coding_rows));
}

static void test_chunks(void **state) {
    (void)state;
    run(chunk_rows, ARRAY_LEN(chunk_rows));
}

static void test_lines(void **state) {
    (void)state;
    run(line_rows, ARRAY_LEN(line_rows));
}

static void test_fields(void **state) {
    (void)state;
    run(field_rows, ARRAY_LEN(field_rows));
}

/* Runs of bytes are read several at a time: as one by one, whatever stands where. */
static void check_everywhere(const char *before, const char *behind) {
    char text[256];
    size_t at = strlen(before);
    size_t len = at + LONG_RUN + strlen(behind);

    for (size_t place = 0; place < LONG_RUN; place++)
        for (int c = 0; c < 256; c++) {
            (void)snprintf(text, sizeof(text), "%s%.*s%s", before, LONG_RUN, "abcdefghijklmnopqrs",
                           behind);
            text[at + place] = (char)c;
            struct transcript whole = transcript_of(&usual, slice_of(text, len), NULL, 0);
            struct transcript bytes = transcript_of_bytes(&usual, slice_of(text, len));

            check_same(before, 0, &whole, &bytes);
            buf_release(&whole.text);
        }
}

static void test_every_byte_everywhere(void **state) {
    (void)state;
    check_everywhere("", " / HTTP/1.1\r\n" HOST "\r\n");
    check_everywhere("GET /", " HTTP/1.1\r\n" HOST "\r\n");
    check_everywhere("GET / HTTP/1.1\r\nHost: ", "\r\n\r\n");
    check_everywhere(GET, ": a\r\n\r\n");
    check_everywhere(GET "X-Test: ", "\r\n\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths), cmocka_unit_test(test_codings),
        cmocka_unit_test(test_chunks),  cmocka_unit_test(test_lines),
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_every_byte_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
