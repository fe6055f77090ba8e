/* config_yaml.h - the configuration's YAML file, into the table.
 *
 * Nested maps make dotted keys, and a dotted key may be written as one:
 *     limits:                          limits.body_bytes: 4096
 *       body_bytes: 4096
 * Only that much of YAML is taken: one document of maps and plain or quoted
 * values. Lists, anchors, aliases and tags are refused; so is a key or a
 * group that comes twice. A file without any value is fine.
 *
 * Threads    Any, one call for a config at a time.
 * Limits     CONFIG_YAML_BYTES_MAX of text, CONFIG_YAML_DEPTH_MAX maps deep.
 */
#ifndef WIRE_CONFIG_YAML_H
#define WIRE_CONFIG_YAML_H

#include "base/config.h"
#include "base/slice.h"

#define CONFIG_YAML_BYTES_MAX (256u * 1024)
#define CONFIG_YAML_DEPTH_MAX 4u

/* Sets what 'text' says, as 'layer' (CONFIG_FILE or CONFIG_KV) with 'file' (borrowed for as long as
 * the config lives) and the line. Reads on after a value that is refused, so
 * that one run shows them all; stops where the text isn't our YAML. */
void config_yaml_read(struct config *cfg, struct slice text, enum config_layer layer,
                      const char *file, struct config_problems *problems);

#endif
