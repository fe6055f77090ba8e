/* sanitizer.h - whether the address sanitizer watches this build. */
#ifndef BASE_SANITIZER_H
#define BASE_SANITIZER_H

/* Then nothing is kept for its next use: memory that is given back late is out of its sight. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_WATCHED 1
#elif defined(__has_feature)
#define MEMORY_IS_WATCHED __has_feature(address_sanitizer)
#else
#define MEMORY_IS_WATCHED 0
#endif

#endif
