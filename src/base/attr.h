/* attr.h - the compiler attributes this code uses, under one spelling. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

/* The caller must look at the result; dropping it is a compile error. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* printf-style: 'fmt' and 'args' are 1-based parameter positions. */
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define UNUSED      __attribute__((unused))
#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The object that embeds 'member' at 'ptr'. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
