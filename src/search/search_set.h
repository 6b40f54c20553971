/*-------------------------------------------------------------------------
 * search_set.h
 *	  Sets of images: construction, intersection, union, difference.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_SET_H
#define OSS_SEARCH_SET_H

#include "search/search.h"

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

/* Intersection, with the lower scores; NaN counts as above all numbers. */
extern ImageSet oss_image_set_and(const ImageSet *a, const ImageSet *b);

/* Union, with the higher scores; NaN counts as below all numbers. */
extern ImageSet oss_image_set_or(const ImageSet *a, const ImageSet *b);

/* Difference a minus b, with the scores of a. */
extern ImageSet oss_image_set_minus(const ImageSet *a, const ImageSet *b);

/* The lower and the higher score, with NaN as above. */
extern double oss_score_and(double a, double b);
extern double oss_score_or(double a, double b);

#endif							/* OSS_SEARCH_SET_H */
