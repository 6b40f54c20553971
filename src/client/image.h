/*-------------------------------------------------------------------------
 * image.h
 *	  An image, and the least confidence of its labels that are wanted.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMAGE_H
#define OSS_IMAGE_H

#include "client/failure.h"
#include "client/outcome.h"

/* Longest ETag; the service's have 32 to 40 characters. */
#define OSS_ETAG_MAX	128

/*
 * Strings are in UTF-8 or in the database's encoding, as stated where it is
 * used.
 */
typedef struct OssImage
{
	const char *bucket;
	const char *key;
	const char *version_id;		/* NULL: current version */
	const char *etag;			/* of its content, by oss_etag_read(); NULL:
								 * unknown, or any */
	bool		has_thr;
	double		thr;			/* 0 if not has_thr */
} OssImage;

/*
 * Write an ETag as it is compared and stored: without quotes, blanks and the mark
 * of a weak one, in upper case.  Returns false, with an empty string, for one that
 * is empty or too long.  Never throws nor allocates.
 */
extern bool oss_etag_read(char out[OSS_ETAG_MAX + 1], const char *etag, size_t len);

/*
 * Return an argument in this form, palloc'd; NULL for NULL and an empty one.
 * Errors: 22023 for one that is too long.
 */
extern const char *oss_etag_argument(const char *etag);

/* Is this known to be the content that is wanted, if any is? */
extern bool oss_etag_covers(const char *etag, const char *wanted);

/*
 * Are these the same version of the same object?  Thresholds and ETags may
 * differ.
 */
extern bool oss_image_same(const OssImage *a, const OssImage *b);

/*
 * Does an answer to a request for one image contain all labels that are wanted
 * of another?  The statements that read stored answers have this rule in SQL.
 */
extern bool oss_image_covers(const OssImage *answer, const OssImage *wanted);

/* Lower the threshold of an image to thr, unless it is lower. */
extern void oss_image_lower_thr(OssImage *image, double thr);

/* Return the same hash for all images that are the same. */
extern uint32 oss_image_hash(const OssImage *image);

/* Copy an image and its strings into CurrentMemoryContext. */
extern OssImage oss_image_copy(const OssImage *image);

/*
 * Convert an image from the database's encoding to UTF-8; unchanged strings are
 * not copied.  Errors: those of oss_utf8().
 */
extern OssImage oss_image_utf8(const OssImage *image);

/*
 * Return what is requested of an object, or of a bucket and prefix, palloc'd, as
 * errors name it: labels of "oss://bucket/key".  An illegal name may have any
 * length, so names are truncated to the length of the longest legal ones.
 */
extern char *oss_object_what(const char *bucket, const char *key, OssKind kind);

/*
 * Check an image, whose strings are in UTF-8.  Returns NULL, or a failure
 * (22023) in CurrentMemoryContext: InvalidBucketName, InvalidObjectName and
 * InvalidVersionId, of scope IMAGE, or InvalidThreshold, of scope CALL.
 */
extern const OssFailure *oss_image_failure(const OssImage *image);

/* The same for another kind of request than one for labels. */
extern const OssFailure *oss_image_kind_failure(const OssImage *image, OssKind kind);

/* Raise the failure of an image, if any. */
extern void oss_image_check(const OssImage *image);

#endif							/* OSS_IMAGE_H */
