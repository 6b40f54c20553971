/*-------------------------------------------------------------------------
 * object_facts.h
 *	  Facts about objects that HEAD requests of this process returned, to be
 *	  stored with labels that are requested next.
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

/*
 * Remember facts for an image with an ETag.  The table has a fixed size: a later
 * entry may replace an earlier one.
 */
extern void oss_object_note(const OssImage *image, const OssObjectFacts *facts);

/*
 * Fill in unknown facts with those remembered for this image and ETag.  Neither
 * throws nor allocates.
 */
extern void oss_object_recall(const OssImage *image, OssObjectFacts *facts);

#endif							/* OSS_OBJECT_FACTS_H */
