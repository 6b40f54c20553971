/*-------------------------------------------------------------------------
 * page_columns.h
 *	  Listed objects as array parameters of judge_objects() and take_objects().
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PAGE_COLUMNS_H
#define OSS_PAGE_COLUMNS_H

#include "client/listing.h"
#include "spi/column_array.h"

/* Array parameters of a page. */
#define OSS_PAGE_ARGS 6

typedef struct OssPageColumns
{
	OssColumn	keys;
	OssColumn	sizes;
	OssColumn	etags;
	OssColumn	times;
	OssColumn	classes;
	OssColumn	restored;
} OssPageColumns;

/* Initialize for a page, in CurrentMemoryContext. */
extern void oss_page_columns_init(OssPageColumns *columns);

/*
 * Add an object.  Returns false if its key cannot be in this database, whose
 * encoding does not have it.
 */
extern bool oss_page_columns_add(OssPageColumns *columns, const OssListed *object);

/* Set OSS_PAGE_ARGS parameters, in the order of these functions. */
extern void oss_page_columns_args(const OssPageColumns *columns, Datum *values);

#endif							/* OSS_PAGE_COLUMNS_H */
