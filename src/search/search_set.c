/*-------------------------------------------------------------------------
 * search_set.c
 *	  Sets of images.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "search/search_set.h"
#include "utils/memutils.h"

/* Order by image, and for one image the best score first. */
static inline int
compare_hits(const ImageHit *a, const ImageHit *b)
{
	if (a->image_id != b->image_id)
		return a->image_id < b->image_id ? -1 : 1;
	if (isnan(a->score) || isnan(b->score))
		return isnan(a->score) - isnan(b->score);
	return a->score > b->score ? -1 : a->score < b->score;
}

#define ST_SORT sort_hits
#define ST_ELEMENT_TYPE ImageHit
#define ST_COMPARE(a, b) compare_hits(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

void
oss_image_set_begin(ImageSetBuilder *builder)
{
	builder->n = 0;
	builder->room = 1024;
	builder->hits = palloc(sizeof(ImageHit) * builder->room);
}

void
oss_image_set_add(ImageSetBuilder *builder, int64 image_id, double score)
{
	if (builder->n == builder->room)
	{
		builder->room *= 2;
		builder->hits = repalloc_huge(builder->hits,
									  sizeof(ImageHit) * builder->room);
	}
	builder->hits[builder->n++] = (ImageHit)
	{
		image_id, score
	};
}

ImageSet
oss_image_set_finish(ImageSetBuilder *builder)
{
	ImageSet	set = {0, builder->hits};

	sort_hits(builder->hits, builder->n);
	for (int64 i = 0; i < builder->n; i++)
	{
		if (set.n == 0 || set.hits[set.n - 1].image_id != builder->hits[i].image_id)
			set.hits[set.n++] = builder->hits[i];
	}
	if (builder->room > 1024 && set.n < builder->room / 4 * 3)
		set.hits = repalloc_huge(set.hits, sizeof(ImageHit) * Max(set.n, 1));
	return set;
}

double
oss_score_and(double a, double b)
{
	return isnan(a) ? b : isnan(b) ? a : Min(a, b);
}

double
oss_score_or(double a, double b)
{
	return isnan(a) ? b : isnan(b) ? a : Max(a, b);
}

bool
oss_image_set_has(const ImageSet *set, int64 image_id)
{
	int64		low = 0;
	int64		high = set->n;

	while (low < high)
	{
		int64		middle = (low + high) / 2;

		if (set->hits[middle].image_id == image_id)
			return true;
		if (set->hits[middle].image_id < image_id)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}
