/*-------------------------------------------------------------------------
 * search.h
 *	  Evaluate a label_query: over all stored images, or over one.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_H
#define OSS_SEARCH_H

#include "postgres.h"

#include "search/label_query.h"

/*
 * An image that was found.  score is the least confidence that the match
 * needed; NaN when it needed none.
 */
typedef struct ImageHit
{
	int64		image_id;
	double		score;
} ImageHit;

/* Images in ascending order of image_id, each once. */
typedef struct ImageSet
{
	int64		n;
	ImageHit   *hits;
} ImageSet;

/*
 * Find the images that meet a query, in CurrentMemoryContext.  SPI is
 * connected; reads with the current role's rights.
 */
extern ImageSet oss_search_images(const LabelQueryNode *query);

/* Does one image meet a query?  SPI is connected. */
extern bool oss_search_one(const LabelQueryNode *query, int64 image_id);

#endif							/* OSS_SEARCH_H */
