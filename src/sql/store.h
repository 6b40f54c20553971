/*-------------------------------------------------------------------------
 * store.h
 *	  Labels that stay: writing answers to image and image_label.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STORE_H
#define OSS_STORE_H

#include "postgres.h"

#include "client/answer.h"
#include "datatype/timestamp.h"

/* One answer to store; strings are in the database's encoding. */
typedef struct OssStoreRow
{
	const char *bucket;
	const char *key;
	const char *version_id;		/* NULL: the current version */
	bool		has_thr;
	double		thr;
	TimestampTz tagged_at;		/* when it was asked for */
	const char *request_id;
	Jsonb	   *response;
} OssStoreRow;

/*
 * Write n answers, which must be of different images, replacing what is stored
 * of these images unless that was asked for later.  A few statements, whatever
 * n.  Within oss_statement_begin(), with SPI connected; allocates in
 * CurrentMemoryContext.
 */
extern void oss_store_write(const OssStoreRow *rows, int n);

#endif							/* OSS_STORE_H */
