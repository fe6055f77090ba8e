/* port.c - a loop's way to the store thread and back. */
#include <stdlib.h>

#include "counter/internal.h"

static void ticket_delivered(struct mail *mail) {
    struct ticket *ticket = CONTAINER_OF(mail, struct ticket, mail);
    struct counter_port *port = ticket->port;
    struct delivery *delivery = ticket->delivery;

    ticket->next = port->free;
    port->free = ticket;
    port->delivered(port->ctx, delivery);
}

static void ticket_drop(struct mail *mail) {
    free(CONTAINER_OF(mail, struct ticket, mail));
}

/* Into the open group; on the store thread. */
static void add_to_group(struct mail *mail) {
    struct ticket *ticket = CONTAINER_OF(mail, struct ticket, mail);
    struct counter_service *service = ticket->port->service;

    ticket->next = NULL;
    *service->own.last = ticket;
    service->own.last = &ticket->next;
    service->own.messages++;
}

void counter_ticket_return(struct ticket *ticket) {
    ticket->mail.run = ticket_delivered;
    /* A loop's mailbox has room for every ticket that its batcher can have under way. */
    if (mailbox_send(ticket->port->home, &ticket->mail) != ERR_OK)
        abort();
}

static enum err port_send(struct upstream *upstream, struct delivery *delivery) {
    struct counter_port *port = CONTAINER_OF(upstream, struct counter_port, upstream);
    struct ticket *ticket = port->free;

    if (ticket)
        port->free = ticket->next;
    else if (!(ticket = malloc(sizeof(*ticket))))
        return ERR_NO_MEMORY;
    *ticket = (struct ticket){
        .mail = {.run = add_to_group, .drop = ticket_drop}, .port = port, .delivery = delivery};
    enum err err = mailbox_send(port->service->mailbox, &ticket->mail);
    if (err != ERR_OK) {
        ticket->next = port->free;
        port->free = ticket;
    }
    return err;
}

struct counter_port *counter_port_new(struct counter_service *service, struct mailbox *home,
                                      void (*delivered)(void *ctx, struct delivery *delivery),
                                      void *ctx) {
    struct counter_port *port = calloc(1, sizeof(*port));

    if (!port)
        return NULL;
    port->upstream.send = port_send;
    port->service = service;
    port->home = home;
    port->delivered = delivered;
    port->ctx = ctx;
    return port;
}

struct upstream *counter_port_upstream(struct counter_port *port) {
    return &port->upstream;
}

void counter_port_free(struct counter_port *port) {
    if (!port)
        return;
    while (port->free) {
        struct ticket *ticket = port->free;

        port->free = ticket->next;
        free(ticket);
    }
    free(port);
}
