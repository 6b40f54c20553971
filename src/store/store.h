/*-------------------------------------------------------------------------
 * store.h
 *	  Writing answers to the tables image and image_label.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STORE_H
#define OSS_STORE_H


#include "client/image.h"
#include "client/labels_response.h"
#include "client/object_facts.h"
#include "datatype/timestamp.h"

/* An answer to store; strings are in the database's encoding. */
typedef struct OssStoreRow
{
	OssImage	image;			/* with its ETag, if it is known */
	OssObjectFacts facts;
	TimestampTz tagged_at;		/* when it was requested */
	const char *request_id;
	const char *source;			/* NULL: the service */
	Jsonb	   *response;
	OssLabels	labels;			/* of the response; none: not parsed yet */
} OssStoreRow;

/* Code of the error of an image whose id another image has. */
#define OSS_ID_COLLISION "IdCollision"

/* Value of image.source for the service's own answers. */
#define OSS_SOURCE_SERVICE "oss"

extern int	oss_store_write(const OssStoreRow *rows, int n);
extern bool oss_store_is_collision(const ErrorData *error);

/* in store_probe.c */
extern ErrorData *oss_store_probe(const OssImage *images, int n, bool *blocked);

/* in store_trial.c */
extern ErrorData *oss_store_trial(const char *bucket);

#endif							/* OSS_STORE_H */
