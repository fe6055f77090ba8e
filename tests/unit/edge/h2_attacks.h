/* h2_attacks.h - what a hostile HTTP/2 client sends, frame by frame. */
#ifndef TESTS_EDGE_H2_ATTACKS_H
#define TESTS_EDGE_H2_ATTACKS_H

#include "test.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct h2_attack {
    const char *name;
    void (*add)(struct buf *out, unsigned round); /* the frames of one round */
    const char *why;                              /* in the GOAWAY that ends it */
    unsigned rounds;                              /* that are enough */
    unsigned patience;                            /* rounds that nobody minds; 0: not tried */
};

extern const struct h2_attack h2_attacks[];
extern const size_t h2_attack_count;

/* HPACK: :method POST, :scheme http, :path / from the static table, :authority t (RFC 7541 A). */
#define H2_REQUEST_HEAD "\x83\x86\x84\x01\x01t"

void h2_add_preface(struct buf *out);
void h2_add_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream_id,
                  struct slice payload);

/* Fails unless 'attack' on the connected socket ends in its GOAWAY and a close. */
void h2_attack_run(int fd, const struct h2_attack *attack);
/* Fails if its patience is met by a GOAWAY. */
void h2_attack_below(int fd, const struct h2_attack *attack);

#endif
