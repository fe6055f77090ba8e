/* list.h - an intrusive doubly linked list.
 *
 * Ownership  The list owns nothing; a node is embedded in what it links.
 *            A node is on at most one list.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev;
    struct list *next;
};

/* An empty list, or a node that is on none. */
static inline void list_init(struct list *list) {
    list->prev = list->next = list;
}

static inline bool list_empty(const struct list *list) {
    return list->next == list;
}

static inline void list_push_back(struct list *list, struct list *node) {
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

/* Safe on a node that is on no list, if it was initialised. */
static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* NULL when empty. */
static inline struct list *list_pop_front(struct list *list) {
    struct list *node = list->next;

    if (node == list)
        return NULL;
    list_remove(node);
    return node;
}

#endif
