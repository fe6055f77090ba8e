/* endpoint.c - what streams and listeners have in common. */
#include "loop/endpoint.h"

#include <unistd.h>

#include "loop/loop_private.h"

void endpoint_init(struct endpoint *ep, struct loop *loop, enum endpoint_kind kind, int fd) {
    *ep = (struct endpoint){.loop = loop, .kind = kind, .fd = fd};
    list_init(&ep->dirty);
    list_init(&ep->due);
    loop->open++;
}

void endpoint_touch(struct endpoint *ep) {
    if ((!ep->closing || ep->kind == ENDPOINT_LISTENER) && list_empty(&ep->dirty))
        list_push_back(&ep->loop->dirty, &ep->dirty);
}

void endpoint_want(struct endpoint *ep, uint8_t want) {
    if (want == ep->want)
        return;
    ep->want = want;
    endpoint_touch(ep);
}

void endpoint_due(struct endpoint *ep) {
    /* Moved back even if it is due already: "next turn" counts from now. */
    list_remove(&ep->due);
    list_push_back(&ep->loop->due, &ep->due);
}

void endpoint_close(struct endpoint *ep) {
    struct loop *loop = ep->loop;

    ep->closing = true;
    list_remove(&ep->dirty);
    list_remove(&ep->due);
    loop->open--;
    loop->closing++;
    ep->want = 0;
    if (loop->ops->detach(loop->backend, ep))
        endpoint_due(ep);
    else
        endpoint_touch(ep);
}

void endpoint_release(struct endpoint *ep) {
    list_remove(&ep->dirty);
    if (ep->fd >= 0)
        close(ep->fd);
    ep->loop->closing--;
    listeners_resume(ep->loop);
}
