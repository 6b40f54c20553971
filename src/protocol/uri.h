/*-------------------------------------------------------------------------
 * uri.h
 *	  Names and addresses as OSS spells them: escaping, endpoints, buckets,
 *	  keys, regions.
 *
 * Ground floor: no PostgreSQL, no curl.  Rules: README.md 1.4, 1.5, 1.8
 * and 4.4.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_URI_H
#define OSS_URI_H

#include "protocol/text.h"

#define OSS_BUCKET_MAX	63
#define OSS_KEY_MAX		1023	/* bytes of UTF-8 */
#define OSS_HOST_MAX	253
#define OSS_REGION_MAX	59		/* "oss-" and it make one host label */
#define OSS_VERSION_ID_MAX	1024

typedef enum OssAddressing
{
	OSS_VIRTUAL_HOST,			/* https://bucket.endpoint/key */
	OSS_PATH,					/* https://endpoint/bucket/key */
	OSS_CNAME					/* https://endpoint/key */
} OssAddressing;

/*
 * Where requests go.  host is lower case and without brackets; port is
 * never 0 (443 or 80 when the text had none).
 */
typedef struct OssEndpoint
{
	bool		https;
	bool		is_ip;			/* host is an IPv4 or IPv6 literal */
	bool		is_loopback;	/* 127.0.0.0/8, ::1, localhost, *.localhost */
	bool		default_port;	/* the scheme's own port: not in URL or Host */
	int			port;
	char		host[OSS_HOST_MAX + 1];
} OssEndpoint;

/*
 * Append n bytes percent-escaped: A-Z a-z 0-9 - _ . ~ stay, and '/' when
 * keep_slash; every other byte becomes %XX in upper case (README.md 1.4).
 */
extern void oss_escape(OssText *out, const char *bytes, size_t n,
					   bool keep_slash);

/*
 * Each returns NULL when the name is legal, otherwise what is wrong with it
 * as a lower-case phrase for an error's DETAIL (a static string).
 *
 * bucket: 3 to 63 of [a-z0-9-], not beginning or ending with '-'.
 * key: 1 to 1023 bytes of valid UTF-8 without NUL, not beginning with '/'
 * or '\'.  region: 1 to 59 of [a-z0-9-], not beginning or ending with '-', and
 * never the spelling "oss-<region>".  version_id: 1 to 1024 visible ASCII
 * characters.
 */
extern const char *oss_bucket_problem(const char *bucket);
extern const char *oss_key_problem(const char *key, size_t len);
extern const char *oss_region_problem(const char *region);
extern const char *oss_version_id_problem(const char *version_id);

/*
 * Parse "[scheme://]host[:port][/]" into *endpoint; no scheme means https.
 * Returns NULL, or what is wrong (user info, path, query, bad port, bad host
 * label, unknown scheme); *endpoint is then undefined.  An IPv6 address stands
 * in brackets.  A dot at the end of the host is left out.  Numeric forms that a resolver would take for an address
 * ("127.1", "0x7f000001") are refused.  http is accepted here for loopback
 * hosts only: a signed request in clear text can be replayed for 15 minutes.
 */
extern const char *oss_endpoint_parse(const char *text, OssEndpoint *endpoint);

/*
 * Return where OSS's own endpoint begins in the host when something stands
 * before it that can only be a bucket, as in bucket.oss-cn-hangzhou.aliyuncs.com,
 * else NULL.  Endpoints of other kinds, such as CloudBox's, have names before
 * them that are theirs.
 */
extern const char *oss_endpoint_behind_bucket(const OssEndpoint *endpoint);

/*
 * Does a label begin as those of OSS's endpoints do, oss-cn-hangzhou or
 * oss-accelerate?
 */
extern bool oss_is_endpoint_label(const char *label);

/*
 * Set *endpoint to the public one of a legal region,
 * oss-<region>.aliyuncs.com.
 */
extern void oss_endpoint_of_region(const char *region, OssEndpoint *endpoint);

/*
 * Append the URL of an object without its query: scheme, host as addressing
 * says, port unless default, escaped key.  bucket or key may be NULL (service
 * or bucket request).  An IP literal has no names below it, so that virtual
 * hosts are addressed by path there (README.md 1.8).
 */
extern void oss_object_url(OssText *out, const OssEndpoint *endpoint,
						   OssAddressing addressing,
						   const char *bucket, const char *key);

#endif							/* OSS_URI_H */
