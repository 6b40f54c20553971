/*-------------------------------------------------------------------------
 * image.c
 *	  Which image, and from which confidence on its labels are wanted.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/image.h"
#include "client/request.h"
#include "client/utf8.h"
#include "common/hashfn.h"
#include "protocol/image_labels.h"

/* Are two the same version of the same object?  The threshold may differ. */
bool
oss_image_same(const OssImage *a, const OssImage *b)
{
	return strcmp(a->key, b->key) == 0 && strcmp(a->bucket, b->bucket) == 0 &&
		(a->version_id == NULL) == (b->version_id == NULL) &&
		(a->version_id == NULL || strcmp(a->version_id, b->version_id) == 0);
}

/* Return the threshold that the service applies. */
static double
applied_thr(const OssImage *image)
{
	return image->has_thr ? image->thr : OSS_LABELS_THR_DEFAULT;
}

/*
 * Does an answer to one image have all labels that are wanted of another?  The
 * statements that read stored answers have the same rule in SQL.
 */
bool
oss_image_covers(const OssImage *answer, const OssImage *wanted)
{
	return oss_image_same(answer, wanted) &&
		applied_thr(answer) <= applied_thr(wanted);
}

/* Hash an image; the same images have the same hash. */
uint32
oss_image_hash(const OssImage *image)
{
	const char *strings[] = {image->bucket, image->key, image->version_id};
	uint32		hash = 0;

	for (int i = 0; i < lengthof(strings) && strings[i]; i++)
		hash = hash_combine(hash, hash_bytes((const unsigned char *) strings[i],
											 strlen(strings[i])));
	return hash;
}

/* Copy an image and its strings into CurrentMemoryContext. */
OssImage
oss_image_copy(const OssImage *image)
{
	OssImage	copy = *image;

	copy.bucket = pstrdup(image->bucket);
	copy.key = pstrdup(image->key);
	if (image->version_id != NULL)
		copy.version_id = pstrdup(image->version_id);
	return copy;
}

/*
 * Convert an image from the database's encoding to UTF-8; strings may be the same
 * pointers.  Errors: those of oss_utf8().
 */
OssImage
oss_image_utf8(const OssImage *image)
{
	OssImage	utf8 = *image;

	utf8.bucket = oss_utf8(image->bucket);
	utf8.key = oss_utf8(image->key);
	utf8.version_id = oss_utf8(image->version_id);
	return utf8;
}

/* Raise what is wrong with an image. */
void
oss_image_check(const OssImage *image)
{
	const OssFailure *failure = oss_image_failure(image);

	if (failure != NULL)
		oss_failure_throw(failure);
}
