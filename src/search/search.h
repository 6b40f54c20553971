/*-------------------------------------------------------------------------
 * search.h
 *	  Evaluating a label_query over all stored images, or for one.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_H
#define OSS_SEARCH_H

#include "search/label_query.h"

/* Takes an image that was found. */
typedef void (*OssTakeHit) (int64 image_id, double score, void *arg);

/*
 * Find the images that match a query, in ascending order of image_id; unless most is negative
 * perhaps only those with the best scores, at least "most".  Aliases in the query are
 * replaced by the names of their labels; a scope (search_scope.h) cuts the rest off.
 * SPI must be connected; reads with the rights of the current role.  The sets of a
 * query with several terms are in a temporary file beyond work_mem.
 */
extern void oss_search_images(LabelQueryNode *query, int64 most, const char *scope,
							  OssTakeHit take, void *arg);

/* The same, without images that are stored by the id of a version. */
extern void oss_search_current(LabelQueryNode *query, int64 most, const char *scope,
							   OssTakeHit take, void *arg);

/* Does an image match a query?  The same applies. */
extern bool oss_search_one(LabelQueryNode *query, int64 image_id);

/*
 * Set matches[i] if an image matches query i; a NULL query matches nothing.
 * The same applies.
 */
extern void oss_search_each(LabelQueryNode *const *queries, int n, int64 image_id,
							bool *matches);

#endif							/* OSS_SEARCH_H */
