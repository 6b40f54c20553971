/*-------------------------------------------------------------------------
 * search_read.h
 *	  Read what a search needs from the tables: images with a label, and
 *	  labels of images, both after the house rules.
 *
 * Top floor.  SPI is connected in all of these; they read with the current
 * role's rights and the active snapshot.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_READ_H
#define OSS_SEARCH_READ_H

#include "search/search_set.h"

/* A label of an image; confidence is NaN when the service gave none. */
typedef struct ReadLabel
{
	char	   *name;			/* NULL: the image has no label */
	char	   *parent;			/* or NULL */
	double		confidence;
} ReadLabel;

/* The labels of one image. */
typedef struct ReadImage
{
	int64		image_id;
	List	   *labels;			/* of ReadLabel */
} ReadImage;

/* The images with a term's label. */
extern ImageSet oss_read_term(const LabelQueryNode *term);

/* How many label rows a term has, counted up to a limit. */
extern int64 oss_count_term(const LabelQueryNode *term, int64 limit);

/* All stored images, without scores. */
extern ImageSet oss_read_universe(void);

/* The labels of n images, as a list of ReadImage; only stored ones. */
extern List *oss_read_images(const int64 *image_ids, int n);

#endif							/* OSS_SEARCH_READ_H */
