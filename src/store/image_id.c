/*-------------------------------------------------------------------------
 * image_id.c
 *	  The numbers that images and labels have.
 *
 * A number is the first eight bytes, the highest first, of the SHA-256 of the
 * parts of a name one after another.  Each part is its length in UTF-8 as four
 * bytes, the highest first, and its bytes; a part that is null is 0xffffffff.  So
 * it is the same in each database and with each version, and can be computed
 * without asking.  Among 100 million images two have the same id with a
 * probability of 0.03 %; the store compares the names.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/utf8.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "protocol/signature_v4.h"
#include "store/image_id.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(oss_labels_image_id);
PG_FUNCTION_INFO_V1(oss_labels_label_id);

/* Parts of the longest name. */
#define MOST_PARTS 4

/* Encoding of a part that is null. */
#define NO_PART PG_UINT32_MAX

/* Hash parts, strings in UTF-8 of which each may be NULL. */
static int64
hash_parts(const char *const *parts, int n)
{
	unsigned char digest[OSS_SHA256_LEN];
	StringInfoData name;
	uint64		first;

	initStringInfo(&name);
	for (int i = 0; i < n; i++)
	{
		size_t		length = parts[i] ? strlen(parts[i]) : 0;
		uint32		prefix = pg_hton32(parts[i] ? (uint32) length : NO_PART);

		appendBinaryStringInfo(&name, (const char *) &prefix, sizeof(prefix));
		if (length > 0)
			appendBinaryStringInfo(&name, parts[i], length);
	}
	if (!oss_sha256(name.data, name.len, digest))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not compute a hash")));
	pfree(name.data);
	memcpy(&first, digest, sizeof(first));
	return (int64) pg_ntoh64(first);
}

/* Return the id of an image, whose strings are in the database's encoding. */
int64
oss_image_id(const OssImage *image)
{
	OssImage	utf8 = oss_image_utf8(image);
	const char *parts[] = {utf8.bucket, utf8.key, utf8.version_id};

	return hash_parts(parts, lengthof(parts));
}

/* Return a text as a string in UTF-8, NULL for NULL. */
static const char *
utf8_of(const text * value)
{
	return value == NULL ? NULL : oss_utf8(text_to_cstring(value));
}

/* Return the number of a label; its confidence and prominence are no part of it. */
int64
oss_label_id(const OssLabel *label)
{
	char		level[16];
	const char *parts[MOST_PARTS] = {utf8_of(label->name), utf8_of(label->parent),
	label->has_level ? level : NULL, utf8_of(label->language)};

	if (label->has_level)
		snprintf(level, sizeof(level), "%d", label->level);
	return hash_parts(parts, lengthof(parts));
}

/* image_id(bucket, key, version_id) */
Datum
oss_labels_image_id(PG_FUNCTION_ARGS)
{
	const char *parts[3];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	for (int i = 0; i < lengthof(parts); i++)
	{
		parts[i] = PG_ARGISNULL(i) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(i));

		/* no image has such a name */
		if (!oss_utf8_try(parts[i], &parts[i]))
			PG_RETURN_NULL();
	}
	PG_RETURN_INT64(hash_parts(parts, lengthof(parts)));
}

/* label_id(label_name, parent_label_name, label_level, language) */
Datum
oss_labels_label_id(PG_FUNCTION_ARGS)
{
	OssLabel	label = {
		.name = PG_ARGISNULL(0) ? NULL : oss_nfc(PG_GETARG_TEXT_PP(0)),
		.parent = PG_ARGISNULL(1) ? NULL : oss_nfc(PG_GETARG_TEXT_PP(1)),
		.has_level = !PG_ARGISNULL(2),
		.language = PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3)
	};

	if (label.has_level)
		label.level = PG_GETARG_INT32(2);
	PG_RETURN_INT64(oss_label_id(&label));
}
