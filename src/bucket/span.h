/*-------------------------------------------------------------------------
 * span.h
 *	  What is listed, once the values of the conditions are known.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SPAN_H
#define OSS_SPAN_H

#include "bucket/bucket.h"
#include "client/listing.h"

/* A condition with its value, in the database's encoding. */
typedef struct OssCondition
{
	OssConditionKind kind;
	int			n;				/* of values: 1 but for an array */
	const char **values;
} OssCondition;

/*
 * Write what is to be listed, one listing after the other, without servers.  Returns
 * the number of listings; palloc'd.  Errors: 22023 for a bucket's name.
 */
extern int	oss_bucket_spans(const OssBucketTable *table, const OssCondition *conditions,
							 int n, OssListSpec **spans);

/*
 * Return the beginning of what a pattern of LIKE matches, palloc'd.  Sets *whole if
 * it matches nothing else.
 */
extern char *oss_like_prefix(const char *pattern, bool *whole);

#endif							/* OSS_SPAN_H */
