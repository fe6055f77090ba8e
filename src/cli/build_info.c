/* build_info.c - the only file that is compiled again for each commit. */
#include "cli/build_info.h"

#include "build_info_commit.h"

const char *build_version(void) {
    return HGP_VERSION;
}

const char *build_commit(void) {
    return HGP_COMMIT;
}

const char *build_compiler(void) {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}
