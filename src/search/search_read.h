/*-------------------------------------------------------------------------
 * search_read.h
 *	  Reading images with a label, and labels of images, with the house rules
 *	  applied.
 *
 * SPI must be connected.  These functions read with the rights of the current role
 * and the active snapshot.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_READ_H
#define OSS_SEARCH_READ_H

#include "search/label_query.h"
#include "search/search_set.h"

/* A label of an image; confidence is NaN if the service gave none. */
typedef struct ReadLabel
{
	char	   *name;			/* NULL: the image has no label */
	char	   *parent;			/* or NULL */
	double		confidence;
	bool		counts;			/* where no confidence is asked for */
} ReadLabel;

/* The labels of one image. */
typedef struct ReadImage
{
	int64		image_id;
	List	   *labels;			/* of ReadLabel */
} ReadImage;

/* Return the terms of a query, as a list of LabelQueryNode. */
extern List *oss_query_terms(LabelQueryNode *query);

/* Replace aliases in a query by the names of their labels. */
extern void oss_resolve_query(LabelQueryNode *query);

/*
 * The same for queries that are evaluated for one image only, whose labels are
 * fewer than the terms: other labels' aliases are left.
 */
extern void oss_resolve_for_image(List *queries, const ReadImage *image);

/*
 * Return the images that match a term; unless most is negative perhaps only
 * those with the best scores, at least "most" of them; those in a scope (search_scope.h).
 */
extern ImageSet oss_read_term(const LabelQueryNode *term, int64 most, const char *scope);

/*
 * Return the number of a term's label rows and corrections in a scope, counted up to
 * a limit.
 */
extern int64 oss_count_term(const LabelQueryNode *term, int64 limit, const char *scope);

/*
 * Return the labels of n images, as a list of ReadImage for those that are
 * stored.
 */
extern List *oss_read_images(const int64 *image_ids, int n);

#endif							/* OSS_SEARCH_READ_H */
