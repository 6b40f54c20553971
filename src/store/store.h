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

#include "client/labels_response.h"
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

/*
 * in store_probe.c: find out which of the answers could not be written without
 * waiting for another transaction, which has inserted the image's row and is
 * open, or has deleted or locked it or one of its labels.  Locks the rows of the
 * others.  Within oss_statement_begin(); needs bucket, key and version_id of the
 * rows only.
 */
extern void oss_store_probe(const OssStoreRow *rows, int n, bool *blocked);

#endif							/* OSS_STORE_H */
