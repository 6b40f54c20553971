/*-------------------------------------------------------------------------
 * search_set.h
 *	  Sets of images: sorting, and, or, minus.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_SET_H
#define OSS_SEARCH_SET_H

#include "search/search.h"

/*
 * A set under construction: hits in any order, an image perhaps more than
 * once, of which the best score will count.
 */
typedef struct ImageSetBuilder
{
	int64		n;
	int64		room;
	ImageHit   *hits;
} ImageSetBuilder;

/* Begin an empty set in CurrentMemoryContext. */
extern void oss_image_set_begin(ImageSetBuilder *builder);

/* Add an image. */
extern void oss_image_set_add(ImageSetBuilder *builder, int64 image_id,
							  double score);

/* Sort and make each image occur once; takes over the builder's memory. */
extern ImageSet oss_image_set_finish(ImageSetBuilder *builder);

/* In both sets: the lower score counts.  NaN is above all numbers. */
extern ImageSet oss_image_set_and(const ImageSet *a, const ImageSet *b);

/* In either set: the higher score counts.  NaN is below all numbers. */
extern ImageSet oss_image_set_or(const ImageSet *a, const ImageSet *b);

/* In a but not in b, with a's scores. */
extern ImageSet oss_image_set_minus(const ImageSet *a, const ImageSet *b);

/* The lower score, and the higher one, where NaN means none. */
extern double oss_score_and(double a, double b);
extern double oss_score_or(double a, double b);

#endif							/* OSS_SEARCH_SET_H */
