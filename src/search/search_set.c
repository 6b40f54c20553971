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

/* Give back what a set has too much of room. */
static ImageSet
trim_set(ImageSet set, int64 room)
{
	if (room > 1024 && set.n < room / 4 * 3)
		set.hits = repalloc_huge(set.hits, sizeof(ImageHit) * Max(set.n, 1));
	return set;
}

/* Append an image to a set that has room. */
static void
append_hit(ImageHit *hits, int64 *n, int64 image_id, double score)
{
	hits[*n].image_id = image_id;
	hits[*n].score = score;
	(*n)++;
}

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
	append_hit(builder->hits, &builder->n, image_id, score);
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
	return trim_set(set, builder->room);
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

/* Return an empty set with room for so many images. */
static ImageSet
make_set(int64 room)
{
	ImageSet	set = {0, NULL};

	set.hits = MemoryContextAllocHuge(CurrentMemoryContext,
									  sizeof(ImageHit) * Max(room, 1));
	return set;
}

ImageSet
oss_image_set_and(const ImageSet *a, const ImageSet *b)
{
	ImageSet	set = make_set(Min(a->n, b->n));
	int64		i = 0;
	int64		j = 0;

	while (i < a->n && j < b->n)
	{
		if (a->hits[i].image_id < b->hits[j].image_id)
			i++;
		else if (a->hits[i].image_id > b->hits[j].image_id)
			j++;
		else
		{
			append_hit(set.hits, &set.n, a->hits[i].image_id,
					   oss_score_and(a->hits[i].score, b->hits[j].score));
			i++;
			j++;
		}
	}
	return trim_set(set, Min(a->n, b->n));
}

ImageSet
oss_image_set_or(const ImageSet *a, const ImageSet *b)
{
	ImageSet	set = make_set(a->n + b->n);
	int64		i = 0;
	int64		j = 0;

	while (i < a->n || j < b->n)
	{
		if (j == b->n || (i < a->n && a->hits[i].image_id < b->hits[j].image_id))
			set.hits[set.n++] = a->hits[i++];
		else if (i == a->n || a->hits[i].image_id > b->hits[j].image_id)
			set.hits[set.n++] = b->hits[j++];
		else
		{
			append_hit(set.hits, &set.n, a->hits[i].image_id,
					   oss_score_or(a->hits[i].score, b->hits[j].score));
			i++;
			j++;
		}
	}
	return trim_set(set, a->n + b->n);
}

ImageSet
oss_image_set_minus(const ImageSet *a, const ImageSet *b)
{
	ImageSet	set = make_set(a->n);
	int64		j = 0;

	for (int64 i = 0; i < a->n; i++)
	{
		while (j < b->n && b->hits[j].image_id < a->hits[i].image_id)
			j++;
		if (j == b->n || b->hits[j].image_id > a->hits[i].image_id)
			set.hits[set.n++] = a->hits[i];
	}
	return trim_set(set, a->n);
}
