/*-------------------------------------------------------------------------
 * search_set.h
 *	  Sets of images: construction, membership.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_SET_H
#define OSS_SEARCH_SET_H

/*
 * An image that was found.  score is the least confidence among the labels
 * that the match needed, NaN if it needed none.
 */
typedef struct ImageHit
{
	int64		image_id;
	double		score;
} ImageHit;

/* A set of images, in ascending order of image_id. */
typedef struct ImageSet
{
	int64		n;
	ImageHit   *hits;
} ImageSet;

/*
 * A set under construction: hits in any order; of several hits of an image,
 * the best score will count.
 */
typedef struct ImageSetBuilder
{
	int64		n;
	int64		room;
	ImageHit   *hits;
} ImageSetBuilder;

/* Initialize an empty set in CurrentMemoryContext. */
extern void oss_image_set_begin(ImageSetBuilder *builder);

extern void oss_image_set_add(ImageSetBuilder *builder, int64 image_id,
							  double score);

/* Return the set, which takes over the builder's memory. */
extern ImageSet oss_image_set_finish(ImageSetBuilder *builder);

/* Is an image in a set? */
extern bool oss_image_set_has(const ImageSet *set, int64 image_id);

/* The lower and the higher score; NaN counts as above and below all numbers. */
extern double oss_score_and(double a, double b);
extern double oss_score_or(double a, double b);

#endif							/* OSS_SEARCH_SET_H */
