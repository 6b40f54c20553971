/*-------------------------------------------------------------------------
 * image.c
 *	  An image, and the least confidence of its labels that are wanted.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/image.h"
#include "client/request.h"
#include "client/utf8.h"
#include "common/hashfn.h"
#include "protocol/image_labels.h"

bool
oss_image_same(const OssImage *a, const OssImage *b)
{
	return strcmp(a->key, b->key) == 0 && strcmp(a->bucket, b->bucket) == 0 &&
		(a->version_id == NULL) == (b->version_id == NULL) &&
		(a->version_id == NULL || strcmp(a->version_id, b->version_id) == 0);
}

static double
applied_thr(const OssImage *image)
{
	return image->has_thr ? image->thr : OSS_LABELS_THR_DEFAULT;
}

bool
oss_image_covers(const OssImage *answer, const OssImage *wanted)
{
	return oss_image_same(answer, wanted) &&
		applied_thr(answer) <= applied_thr(wanted);
}

void
oss_image_lower_thr(OssImage *image, double thr)
{
	if (thr >= applied_thr(image))
		return;
	image->has_thr = true;
	image->thr = thr;
}

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

OssImage
oss_image_utf8(const OssImage *image)
{
	OssImage	utf8 = *image;

	utf8.bucket = oss_utf8(image->bucket);
	utf8.key = oss_utf8(image->key);
	utf8.version_id = oss_utf8(image->version_id);
	return utf8;
}

void
oss_image_check(const OssImage *image)
{
	const OssFailure *failure = oss_image_failure(image);

	if (failure != NULL)
		oss_failure_throw(failure);
}
