/*-------------------------------------------------------------------------
 * related_rank.h
 *	  Similarity of images by their labels.
 *
 * An image is a vector with a coordinate per label: the label's weight in the
 * image times the label's rarity.  The score of an image is the cosine between its
 * vector and that of the wanted labels.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RELATED_RANK_H
#define OSS_RELATED_RANK_H

#include "fmgr.h"

/* A label of an image. */
typedef struct RelatedPart
{
	int64		image_id;
	int			label;			/* number of the label's coordinate */
	double		weight;
	double		wanted;			/* coordinate of the wanted vector */
} RelatedPart;

/* An image; its parts are adjacent and sorted by label. */
typedef struct RelatedImage
{
	int64		image_id;
	RelatedPart *parts;
	int			nparts;
	double		norm;			/* length of the vector, above 0 */
	double		score;			/* above 0 */
} RelatedImage;

/*
 * Return the weight of a label in its image, 0 to 1, as label_weight() in
 * SQL.  NaN stands for NULL.
 */
extern double oss_related_weight(double confidence, double centric_score);

/*
 * Sort n parts and make images of them; of equal labels of an image the
 * greatest weight counts.  norm is the length of the wanted vector.  Images
 * with score 0 are omitted.  Sets *nimages.
 */
extern RelatedImage *oss_related_make_images(RelatedPart *parts, int64 n,
											 double norm, int *nimages);

/*
 * Move the best max_rows images to the front, by score and then image_id, and
 * return their number.  Images whose likeness to a better one is above
 * max_likeness (0 to 1; 2: no limit) are skipped.
 */
extern int	oss_related_rank(RelatedImage *images, int n, int max_rows,
							 double max_likeness);

/* Return the argument max_rows, the most there is for NULL.  Errors: 22023. */
extern int	oss_related_max_rows(FunctionCallInfo fcinfo, int i);

/* Return the argument max_likeness, 2 for NULL.  Errors: 22023. */
extern double oss_related_max_likeness(FunctionCallInfo fcinfo, int i);

#endif							/* OSS_RELATED_RANK_H */
