/*-------------------------------------------------------------------------
 * related_rank.h
 *	  Images compared by their labels.
 *
 * Top floor.  An image is a vector with a number for each of its labels, its
 * weight there times the label's rarity.  Images are compared by the cosine.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RELATED_RANK_H
#define OSS_RELATED_RANK_H

#include "postgres.h"

/* A label of an image. */
typedef struct RelatedPart
{
	int64		image_id;
	int			label;			/* number of the label */
	double		weight;
	double		wanted;			/* what is wished for of the label */
} RelatedPart;

/* An image: some parts one after another, in the order of their labels. */
typedef struct RelatedImage
{
	int64		image_id;
	RelatedPart *parts;
	int			nparts;
	double		norm;			/* length of the vector, more than 0 */
	double		score;			/* cosine with what is wished for, more than 0 */
} RelatedImage;

/*
 * Return how much a label says about its image, 0 to 1: label_weight() of SQL.
 * NaN stands for NULL.
 */
extern double oss_related_weight(double confidence, double centric_score);

/*
 * Make images of n parts, which are sorted; of equal labels of an image the one
 * with the greatest weight counts.  norm is the length of the wish.  Images
 * that have nothing of it are left out.  Sets *nimages.
 */
extern RelatedImage *oss_related_make_images(RelatedPart *parts, int64 n,
											 double norm, int *nimages);

/*
 * Put the best max_rows images first, in order of score and then image_id, and
 * return how many there are.  Those that are more like a better one than
 * max_likeness (0 to 1; 2: any) are passed over.
 */
extern int	oss_related_rank(RelatedImage *images, int n, int max_rows,
							 double max_likeness);

#endif							/* OSS_RELATED_RANK_H */
