/*-------------------------------------------------------------------------
 * related_rank.c
 *	  Similarity of images by their labels.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "search/related_rank.h"

/* Order by image, then label, then the greatest weight first. */
static inline int
compare_parts(const RelatedPart *a, const RelatedPart *b)
{
	if (a->image_id != b->image_id)
		return a->image_id < b->image_id ? -1 : 1;
	if (a->label != b->label)
		return a->label < b->label ? -1 : 1;
	return a->weight > b->weight ? -1 : a->weight < b->weight;
}

#define ST_SORT sort_parts
#define ST_ELEMENT_TYPE RelatedPart
#define ST_COMPARE(a, b) compare_parts(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Order by score, best first. */
static int
compare_images(const void *a, const void *b)
{
	const RelatedImage *left = a;
	const RelatedImage *right = b;

	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	return left->image_id < right->image_id ? -1 : left->image_id > right->image_id;
}

double
oss_related_weight(double confidence, double centric_score)
{
	return (isnan(confidence) ? 0.5 : confidence) *
		(1 + (isnan(centric_score) ? 0.5 : centric_score)) / 2;
}

/*
 * Make an image of the leading parts.  Returns how many parts were consumed.
 */
static int64
make_image(RelatedPart *parts, int64 n, double norm, RelatedImage *image)
{
	double		square = 0;
	double		product = 0;
	int64		i;

	image->image_id = parts[0].image_id;
	image->parts = parts;
	image->nparts = 0;
	for (i = 0; i < n && parts[i].image_id == image->image_id; i++)
	{
		if (image->nparts > 0 && parts[image->nparts - 1].label == parts[i].label)
			continue;
		square += parts[i].weight * parts[i].weight;
		product += parts[i].weight * parts[i].wanted;
		parts[image->nparts++] = parts[i];
	}
	image->norm = sqrt(square);
	image->score = product > 0 ? product / (image->norm * norm) : 0;
	return i;
}

RelatedImage *
oss_related_make_images(RelatedPart *parts, int64 n, double norm, int *nimages)
{
	RelatedImage *images;
	int			room = 0;

	sort_parts(parts, n);
	for (int64 i = 0; i < n; i++)
		room += i == 0 || parts[i].image_id != parts[i - 1].image_id;
	images = palloc(sizeof(RelatedImage) * Max(room, 1));
	*nimages = 0;
	for (int64 i = 0; i < n;)
	{
		i += make_image(parts + i, n - i, norm, &images[*nimages]);
		*nimages += images[*nimages].score > 0;
	}
	return images;
}

static double
dot_product(const RelatedImage *a, const RelatedImage *b)
{
	double		product = 0;
	int			i = 0;
	int			j = 0;

	while (i < a->nparts && j < b->nparts)
	{
		if (a->parts[i].label < b->parts[j].label)
			i++;
		else if (a->parts[i].label > b->parts[j].label)
			j++;
		else
			product += a->parts[i++].weight * b->parts[j++].weight;
	}
	return product;
}

/* Return 1 minus the distance of two images divided by the longer norm. */
static double
relative_likeness(const RelatedImage *a, const RelatedImage *b)
{
	double		square = a->norm * a->norm + b->norm * b->norm - 2 * dot_product(a, b);

	return 1 - sqrt(Max(square, 0)) / Max(a->norm, b->norm);
}

/* Is image i too similar to one before it? */
static bool
is_double(const RelatedImage *images, int i, double max_likeness)
{
	if (max_likeness > 1)
		return false;
	for (int j = 0; j < i; j++)
	{
		if (relative_likeness(&images[j], &images[i]) > max_likeness)
			return true;
	}
	return false;
}

int
oss_related_rank(RelatedImage *images, int n, int max_rows, double max_likeness)
{
	bool	   *passed = palloc0(sizeof(bool) * Max(n, 1));
	int			last = 0;
	int			kept = 0;

	qsort(images, n, sizeof(RelatedImage), compare_images);
	for (last = 0; last < n && kept < max_rows; last++)
	{
		CHECK_FOR_INTERRUPTS();
		passed[last] = is_double(images, last, max_likeness);
		kept += !passed[last];
	}
	kept = 0;
	for (int i = 0; i < last; i++)
	{
		if (!passed[i])
			images[kept++] = images[i];
	}
	return kept;
}

int
oss_related_max_rows(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		return PG_INT32_MAX;
	if (PG_GETARG_INT32(i) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must not be negative"),
				 errhint("Give the number of images that are wanted, or NULL for all.")));
	return PG_GETARG_INT32(i);
}

double
oss_related_max_likeness(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		return 2;
	if (!(PG_GETARG_FLOAT8(i) >= 0 && PG_GETARG_FLOAT8(i) <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_likeness must be a number from 0 to 1"),
				 errhint("Images that are more alike are left out as near-duplicates; NULL leaves out none.")));
	return PG_GETARG_FLOAT8(i);
}
