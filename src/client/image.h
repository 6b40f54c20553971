/*-------------------------------------------------------------------------
 * image.h
 *	  Which image, and from which confidence on its labels are wanted.
 *
 * Middle floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMAGE_H
#define OSS_IMAGE_H

#include "postgres.h"

/* Strings are in UTF-8 or in the database's encoding, as the holder says. */
typedef struct OssImage
{
	const char *bucket;
	const char *key;
	const char *version_id;		/* NULL: the current version */
	bool		has_thr;
	double		thr;			/* 0 without */
} OssImage;

extern bool oss_image_same(const OssImage *a, const OssImage *b);
extern bool oss_image_covers(const OssImage *answer, const OssImage *wanted);
extern uint32 oss_image_hash(const OssImage *image);
extern OssImage oss_image_copy(const OssImage *image);
extern OssImage oss_image_utf8(const OssImage *image);

#endif							/* OSS_IMAGE_H */
