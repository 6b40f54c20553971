/*-------------------------------------------------------------------------
 * image.h
 *	  An image, and the least confidence of its labels that are wanted.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMAGE_H
#define OSS_IMAGE_H

/*
 * Strings are in UTF-8 or in the database's encoding, as stated where it is
 * used.
 */
typedef struct OssImage
{
	const char *bucket;
	const char *key;
	const char *version_id;		/* NULL: current version */
	bool		has_thr;
	double		thr;			/* 0 if not has_thr */
} OssImage;

/* Are these the same version of the same object?  Thresholds may differ. */
extern bool oss_image_same(const OssImage *a, const OssImage *b);

/*
 * Does an answer to a request for one image contain all labels that are wanted
 * of another?  The statements that read stored answers have this rule in SQL.
 */
extern bool oss_image_covers(const OssImage *answer, const OssImage *wanted);

/* Have an image asked for with a threshold of at most thr. */
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

#endif							/* OSS_IMAGE_H */
