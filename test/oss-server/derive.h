/*
 * derive.h
 *	  Labels derived from a hash, the same every time.
 */
#ifndef STANDIN_DERIVE_H
#define STANDIN_DERIVE_H

#include "text.h"

/* Return the next pseudo-random number of a sequence. */
extern uint64_t next_random(uint64_t *state);

/*
 * Append an array of labels derived from a hash.  exact > 0 asks for so many
 * level-2 labels of distinct names (at most 340), none below the default
 * threshold; otherwise there are three to twelve of any confidence, some with
 * their parent and a level-3 child.
 */
extern void derive_labels(buffer *out, uint64_t seed, int exact);

#endif							/* STANDIN_DERIVE_H */
