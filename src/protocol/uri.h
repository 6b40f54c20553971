/*-------------------------------------------------------------------------
 * uri.h
 *	  URLs of objects: escaping, and the rules for names of buckets, keys,
 *	  regions and versions.
 *
 * Rules: README.md 1.4, 1.5, 1.8 and 4.4.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_URI_H
#define OSS_URI_H

#include "protocol/endpoint.h"
#include "protocol/text.h"

#define OSS_BUCKET_MAX	63
#define OSS_KEY_MAX		1023	/* bytes of UTF-8 */
#define OSS_REGION_MAX	59		/* with "oss-" it makes one host label */
#define OSS_VERSION_ID_MAX	1024

typedef enum OssAddressing
{
	OSS_VIRTUAL_HOST,			/* https://bucket.endpoint/key */
	OSS_PATH,					/* https://endpoint/bucket/key */
	OSS_CNAME					/* https://endpoint/key */
} OssAddressing;

/*
 * Append n bytes percent-escaped: A-Z a-z 0-9 - _ . ~ and, with keep_slash,
 * '/' stay as they are; every other byte becomes %XX in upper case (README.md
 * 1.4).
 */
extern void oss_escape(OssText *out, const char *bytes, size_t n,
					   bool keep_slash);

/*
 * Undo the escaping of a query, in place: %XX is a byte, + a space; the others
 * stand for themselves.  *len becomes shorter, or stays.  Returns false at a %
 * that two hexadecimal digits do not follow; the bytes are then undefined.
 */
extern bool oss_query_unescape(char *bytes, size_t *len);

/*
 * Is this name of n bytes from [a-z0-9-], perhaps with underscores, and with
 * neither hyphen nor underscore at its ends?
 */
extern bool oss_is_name(const char *name, size_t n, bool underscores);

/*
 * Each returns NULL if the name is legal, else what is wrong with it as a
 * static lower-case clause for a DETAIL.
 *
 * bucket: 3 to 63 of [a-z0-9_-], not beginning or ending with '-' or '_'; only
 * old buckets have '_'.  key: 1 to 1023 bytes of valid UTF-8 without NUL, not
 * beginning with '/' or '\'.
 * prefix: the beginning of a key, or empty.  marker: at most 1023 bytes of valid
 * UTF-8, with which keys are compared.
 * region: 1 to 59 of [a-z0-9-], not beginning or ending with '-', and not
 * beginning with "oss-".  version_id: 1 to 1024 visible ASCII characters.
 */
extern const char *oss_bucket_problem(const char *bucket);
extern const char *oss_key_problem(const char *key, size_t len);
extern const char *oss_prefix_problem(const char *prefix);
extern const char *oss_marker_problem(const char *key);
extern const char *oss_region_problem(const char *region);
extern const char *oss_version_id_problem(const char *version_id);

/* Append the URL of a proxy, as oss_proxy_parse() reads it. */
extern void oss_proxy_url(OssText *out, const OssEndpoint *proxy);

/*
 * Append the URL of an object, without query.  key is NULL for the URL of a
 * bucket, bucket too for that of the service.  OSS_VIRTUAL_HOST means
 * OSS_PATH if the host is an IP address (README.md 1.8).
 */
extern void oss_object_url(OssText *out, const OssEndpoint *endpoint,
						   OssAddressing addressing,
						   const char *bucket, const char *key);

#endif							/* OSS_URI_H */
