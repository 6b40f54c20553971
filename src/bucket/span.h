/*-------------------------------------------------------------------------
 * span.h
 *	  The listings of a scan, once the values of the conditions are known.
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
 * Write the listings in their order, without servers.  Returns their number;
 * palloc'd.  Errors: 22023 for a bucket's name.
 */
extern int	oss_bucket_spans(const OssBucketTable *table, const OssCondition *conditions,
							 int n, OssListSpec **spans);

/*
 * Return the literal beginning of a pattern of LIKE, palloc'd.  Sets *whole if the
 * pattern matches only that text.
 */
extern char *oss_like_prefix(const char *pattern, bool *whole);

#endif							/* OSS_SPAN_H */
