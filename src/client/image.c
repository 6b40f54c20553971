/*-------------------------------------------------------------------------
 * image.c
 *	  An image, and the least confidence of its labels that are wanted.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "client/image.h"
#include "client/utf8.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "protocol/image_labels.h"
#include "protocol/uri.h"
#include "utils/memutils.h"

/* Is this byte removed from either end of an ETag? */
static bool
surrounds_etag(char c)
{
	return c == '"' || isspace((unsigned char) c);
}

bool
oss_etag_read(char out[OSS_ETAG_MAX + 1], const char *etag, size_t len)
{
	out[0] = '\0';
	while (len > 0 && surrounds_etag(etag[len - 1]))
		len--;
	while (len > 0 && surrounds_etag(*etag))
	{
		etag++;
		len--;
	}
	if (len > 2 && strncmp(etag, "W/\"", 3) == 0)
	{
		etag += 3;
		len -= 3;
	}
	if (len == 0 || len > OSS_ETAG_MAX || memchr(etag, '\0', len) != NULL)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = pg_ascii_toupper((unsigned char) etag[i]);
	out[len] = '\0';
	return true;
}

const char *
oss_etag_argument(const char *etag)
{
	char		out[OSS_ETAG_MAX + 1];

	if (etag == NULL || etag[0] == '\0')
		return NULL;
	if (strlen(etag) > OSS_ETAG_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("etag is too long"),
				 errdetail("An ETag has at most %d characters.", OSS_ETAG_MAX),
				 errhint("Give the ETag as OSS names it, or NULL.")));
	return oss_etag_read(out, etag, strlen(etag)) ? pstrdup(out) : NULL;
}

bool
oss_etag_covers(const char *etag, const char *wanted)
{
	return wanted == NULL || (etag != NULL && strcmp(etag, wanted) == 0);
}

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
	if (image->etag != NULL)
		copy.etag = pstrdup(image->etag);
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

char *
oss_object_what(const char *bucket, const char *key, OssKind kind)
{
	static const char *const parts[] = {
		[OSS_KIND_LABELS] = "labels",
		[OSS_KIND_HEAD] = "the headers",
		[OSS_KIND_LISTING] = "the listing"
	};

	size_t		bucket_len = strlen(bucket);
	size_t		key_len = strlen(key);
	int			bucket_shown = pg_encoding_mbcliplen(PG_UTF8, bucket,
													 Min(bucket_len, MaxAllocSize),
													 OSS_BUCKET_MAX);
	int			key_shown = pg_encoding_mbcliplen(PG_UTF8, key,
												  Min(key_len, MaxAllocSize),
												  OSS_KEY_MAX);

	return psprintf("%s of \"oss://%.*s%s/%.*s%s\"",
					parts[kind], bucket_shown, bucket, bucket_shown < bucket_len ? "..." : "",
					key_shown, key, key_shown < key_len ? "..." : "");
}

const OssFailure *
oss_image_kind_failure(const OssImage *image, OssKind kind)
{
	const char *code = NULL;
	const char *problem = NULL;

	if ((problem = oss_bucket_problem(image->bucket)) != NULL)
		code = "InvalidBucketName";
	else if ((problem = oss_key_problem(image->key, strlen(image->key))) != NULL)
		code = "InvalidObjectName";
	else if (image->version_id != NULL &&
			 (problem = oss_version_id_problem(image->version_id)) != NULL)
		code = "InvalidVersionId";
	else if (image->has_thr && !oss_thr_valid(image->thr))
	{
		code = "InvalidThreshold";
		problem = psprintf("the threshold is %g", image->thr);
	}
	if (code == NULL)
		return NULL;
	return oss_failure_make(code, oss_sentence(problem),
							oss_object_what(image->bucket, image->key, kind));
}

const OssFailure *
oss_image_failure(const OssImage *image)
{
	return oss_image_kind_failure(image, OSS_KIND_LABELS);
}

void
oss_image_check(const OssImage *image)
{
	const OssFailure *failure = oss_image_failure(image);

	if (failure != NULL)
		oss_failure_throw(failure);
}
