/* gen.h - the documents that gen_docs makes of the tables, those with a file of their own.
 *
 * Threads    One.
 */
#ifndef TOOLS_GEN_H
#define TOOLS_GEN_H

#include "base/buf.h"

void put_man_1(struct buf *out); /* highgopress(1) */
void put_man_5(struct buf *out); /* highgopress.yaml(5) */
void put_completion_bash(struct buf *out);
void put_completion_zsh(struct buf *out);
void put_completion_fish(struct buf *out);

#endif
