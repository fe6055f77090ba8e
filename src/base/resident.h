/* resident.h - how much of the process is in memory.
 *
 * Threads    Any.
 */
#ifndef BASE_RESIDENT_H
#define BASE_RESIDENT_H

/* Lets go of the code and constants of the program and its libraries. Relocating, binding and
 * constructing touches half of them, and most of it never again: a gateway calls nothing of
 * RocksDB. What is called comes back by itself, from the page cache. Data stay where they are. To
 * be called once, when all has started. Under a debugger it does nothing; a uprobe that was there
 * before the process is lost, one set afterwards isn't. */
void resident_trim(void);

#endif
