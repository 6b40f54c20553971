/*-------------------------------------------------------------------------
 * object_facts.h
 *	  What this process was told of objects by HEAD requests, so that labels
 *	  which are asked for next are stored with it.
 *
 * Middle floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_OBJECT_FACTS_H
#define OSS_OBJECT_FACTS_H

#include "client/image.h"
#include "datatype/timestamp.h"

/* Facts about a content; 0: unknown. */
typedef struct OssObjectFacts
{
	int64		size;
	TimestampTz last_modified;
} OssObjectFacts;

/* Note them for an image with an ETag; of a thousand or so, others replace some. */
extern void oss_object_note(const OssImage *image, const OssObjectFacts *facts);

/*
 * Complete what is unknown by what was noted for this image and ETag.  Never throws
 * nor allocates.
 */
extern void oss_object_recall(const OssImage *image, OssObjectFacts *facts);

#endif							/* OSS_OBJECT_FACTS_H */
