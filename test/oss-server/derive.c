/*
 * derive.c
 *	  Labels derived from a hash, the same every time.
 *
 * Nothing looks at the pixels: two files that differ in one byte get labels
 * that have nothing to do with each other.
 */
#include "derive.h"

#include <stdio.h>

#include "taxonomy.h"

/* Return the next pseudo-random number of a sequence. */
uint64_t
next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return hash_bytes(state, sizeof(*state), 0);
}

/* Return a score of three digits between low and 1000 thousandths. */
static double
random_score(uint64_t *state, int low)
{
	return (double) (low + (int) (next_random(state) %
								  (uint64_t) (1001 - low))) / 1000.0;
}

/* Append one derived label as JSON. */
static void
derive_label(buffer *out, int level, const char *name, const char *parent,
			 double confidence, double centric)
{
	if (out->len > 1)
		buffer_puts(out, ",");
	buffer_printf(out, "{\"CentricScore\":%.3f,\"LabelConfidence\":%.3f,"
				  "\"LabelLevel\":%d,\"LabelName\":\"%s\","
				  "\"Language\":\"zh-Hans\"",
				  centric, confidence, level, name);
	if (parent)
		buffer_printf(out, ",\"ParentLabelName\":\"%s\"", parent);
	buffer_puts(out, "}");
}

/* Steps without common factor with 340: each meets every label once. */
static const int steps[] = {7, 11, 13, 19, 23, 29, 31, 37};

/*
 * Append an array of labels derived from a hash.  With exact, so many level-2
 * labels of distinct names, none below the default threshold; otherwise three
 * to twelve of any confidence, some with their parent and a level-3 child.
 */
void
derive_labels(buffer *out, uint64_t seed, int exact)
{
	uint64_t	state = seed;
	int			n = exact > 0 ? exact : 3 + (int) (next_random(&state) % 10);
	int			size = taxonomy_size();
	int			at = (int) (next_random(&state) % (uint64_t) size);
	int			step = steps[next_random(&state) % 8];
	char		child[128];

	buffer_puts(out, "[");
	for (int i = 0; i < n; i++)
	{
		taxon		t = taxonomy_at(at);
		double		confidence = random_score(&state, exact > 0 ? 700 : 350);
		double		centric = random_score(&state, 100);

		derive_label(out, 2, t.name, t.parent, confidence, centric);
		if (exact <= 0 && next_random(&state) % 4 == 0)
			derive_label(out, 1, t.parent, NULL, confidence, centric);
		if (exact <= 0 && next_random(&state) % 6 == 0)
		{
			snprintf(child, sizeof(child), "%s Close-up", t.name);
			derive_label(out, 3, child, t.name, confidence, centric);
		}
		at = (at + step) % size;
	}
	buffer_puts(out, "]");
}
