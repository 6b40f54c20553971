/*-------------------------------------------------------------------------
 * uri.h
 *	  URLs of objects: escaping, and the rules for names of buckets, keys,
 *	  regions, versions and endpoints.
 *
 * Rules: README.md 1.4, 1.5, 1.8 and 4.4.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_URI_H
#define OSS_URI_H

#include "protocol/text.h"

#define OSS_BUCKET_MAX	63
#define OSS_KEY_MAX		1023	/* bytes of UTF-8 */
#define OSS_HOST_MAX	253
#define OSS_REGION_MAX	59		/* with "oss-" it makes one host label */
#define OSS_VERSION_ID_MAX	1024

typedef enum OssAddressing
{
	OSS_VIRTUAL_HOST,			/* https://bucket.endpoint/key */
	OSS_PATH,					/* https://endpoint/bucket/key */
	OSS_CNAME					/* https://endpoint/key */
} OssAddressing;

/*
 * An endpoint.  host is in lower case and without brackets; port is 443 or 80
 * if the text had none.
 */
typedef struct OssEndpoint
{
	bool		https;
	bool		is_ip;			/* host is an IPv4 or IPv6 literal */
	bool		is_loopback;	/* 127.0.0.0/8, ::1, localhost, *.localhost */
	bool		default_port;	/* the scheme's default port, left out of URL
								 * and Host header */
	int			port;
	char		host[OSS_HOST_MAX + 1];
} OssEndpoint;

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
 * Each returns NULL if the name is legal, else what is wrong with it as a
 * static lower-case clause for a DETAIL.
 *
 * bucket: 3 to 63 of [a-z0-9-], not beginning or ending with '-'.  key: 1 to
 * 1023 bytes of valid UTF-8 without NUL, not beginning with '/' or '\'.
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

/*
 * Parse "[scheme://]host[:port][/]" into *endpoint.  The default scheme is
 * https; an IPv6 address stands in brackets; a dot at the end of the host is
 * removed.  Returns NULL, or what is wrong, as above: user information, path,
 * query, bad port or host, unknown scheme; *endpoint is then undefined.
 *
 * Numeric spellings that a resolver would take for an address ("127.1",
 * "0x7f000001") are refused.  http is allowed for loopback hosts only: a
 * signed request in clear text can be replayed for 15 minutes.
 */
extern const char *oss_endpoint_parse(const char *text, OssEndpoint *endpoint);

/*
 * If the host is a bucket's, as in bucket.oss-cn-hangzhou.aliyuncs.com,
 * return where OSS's endpoint begins in it, else NULL.  Endpoints of other
 * kinds, such as those of CloudBox, may have labels of their own before the
 * region's and give NULL.
 */
extern const char *oss_endpoint_behind_bucket(const OssEndpoint *endpoint);

/*
 * Does a host label begin like those of OSS's endpoints: "oss-" and a region,
 * or "oss-accelerate"?
 */
extern bool oss_is_endpoint_label(const char *label);

/*
 * Set *endpoint to the public endpoint of a legal region,
 * https://oss-<region>.aliyuncs.com.
 */
extern void oss_endpoint_of_region(const char *region, OssEndpoint *endpoint);

/*
 * Append the URL of an object, without query.  key is NULL for the URL of a
 * bucket, bucket too for that of the service.  OSS_VIRTUAL_HOST means
 * OSS_PATH if the host is an IP address (README.md 1.8).
 */
extern void oss_object_url(OssText *out, const OssEndpoint *endpoint,
						   OssAddressing addressing,
						   const char *bucket, const char *key);

#endif							/* OSS_URI_H */
