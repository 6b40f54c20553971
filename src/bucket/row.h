/*-------------------------------------------------------------------------
 * row.h
 *	  Listed objects as rows of a foreign table.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ROW_H
#define OSS_ROW_H

#include "access/tupdesc.h"
#include "bucket/bucket.h"
#include "client/listing.h"

typedef struct OssBucketRow OssBucketRow;

/* Prepare, in CurrentMemoryContext, to make rows of a table. */
extern OssBucketRow *oss_bucket_row_begin(const OssBucketTable *table, TupleDesc desc);

/*
 * Set the columns of an object of a bucket, in CurrentMemoryContext.  Returns false,
 * and counts the object, if the database's encoding cannot represent its key.
 */
extern bool oss_bucket_row_set(OssBucketRow *row, const char *bucket,
							   const OssListed *object, Datum *values, bool *nulls);

/* Warn of the objects that could not be represented since the last warning. */
extern void oss_bucket_row_warn(OssBucketRow *row, const char *bucket);

#endif							/* OSS_ROW_H */
