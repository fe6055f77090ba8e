/* build_info.h - which build this is, for --version, the log and hgp_build_info.
 *
 * Threads    Any; constant strings.
 */
#ifndef CLI_BUILD_INFO_H
#define CLI_BUILD_INFO_H

#define BUILD_NAME "highgopress"

/* "0.1.0" */
const char *build_version(void);

/* What `git describe` said, "unknown" outside a repository. */
const char *build_commit(void);

/* "gcc 12.2.0" */
const char *build_compiler(void);

#endif
