/* similar.h - "did you mean": the nearest of several names to a mistyped one.
 *
 *     struct similar near = similar_to("htpp");
 *     similar_offer(&near, "http");            ... for every name there is
 *     near.found                               "http", or "" if none is near
 *
 * Threads    One owner at a time.
 * Limits     Names of SIMILAR_BYTES and longer are never near.
 */
#ifndef BASE_SIMILAR_H
#define BASE_SIMILAR_H

#define SIMILAR_BYTES 64

struct similar {
    const char *wanted; /* borrowed */
    unsigned distance;  /* of 'found'; at first one more than is still near */
    char found[SIMILAR_BYTES];
};

struct similar similar_to(const char *wanted);
void similar_offer(struct similar *similar, const char *name);

#endif
