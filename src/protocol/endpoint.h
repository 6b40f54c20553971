/*-------------------------------------------------------------------------
 * endpoint.h
 *	  Endpoints: where requests go, perhaps one for each bucket.
 *
 * Rules: README.md 1.8, 4.4 and 4.5.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ENDPOINT_H
#define OSS_ENDPOINT_H

#include <stdbool.h>

#include "protocol/address.h"

#define OSS_HOST_MAX	253

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

/* The kinds of endpoints that the service has itself. */
typedef enum OssEndpointType
{
	OSS_ENDPOINT_PUBLIC,		/* oss-<region>.aliyuncs.com */
	OSS_ENDPOINT_INTERNAL,		/* oss-<region>-internal.aliyuncs.com */
	OSS_ENDPOINT_ACCELERATE,	/* oss-accelerate.aliyuncs.com */
	OSS_ENDPOINT_DUALSTACK,		/* <region>.oss.aliyuncs.com */
	OSS_ENDPOINT_OTHER			/* none of them: custom domains and the like */
} OssEndpointType;

/*
 * Parse "[scheme://]host[:port][/]" into *endpoint.  The default scheme is
 * https; an IPv6 address stands in brackets; a dot at the end of the host is
 * removed.  Returns NULL, or what is wrong, as a static lower-case clause for a
 * DETAIL: user information, path, query, bad port or host, unknown scheme;
 * *endpoint is then undefined.
 *
 * Numeric spellings that a resolver would take for an address ("127.1",
 * "0x7f000001") are refused.  http is allowed for loopback hosts only: a
 * signed request in clear text can be replayed for 15 minutes.  private_http
 * allows it for private addresses, and for names, whose addresses whoever
 * connects must check.
 */
extern const char *oss_endpoint_parse(const char *text, bool private_http,
									  OssEndpoint *endpoint);

/*
 * Has an endpoint's text a placeholder for the bucket, or what is meant to be
 * one?  The second returns NULL for a legal template, such as
 * https://{bucket}.img.example.com, else what is wrong with it, as above.
 */
extern bool oss_endpoint_is_template(const char *text);
extern const char *oss_template_problem(const char *text, bool private_http);

/*
 * Parse a legal template with a legal bucket in it, which may have underscores.
 * Returns as oss_endpoint_parse(): a long bucket may make the host too long.
 */
extern const char *oss_endpoint_expand(const char *text, const char *bucket,
									   bool private_http, OssEndpoint *endpoint);

/*
 * Classify the host of a URL, an IPv6 address with or without brackets and
 * zone: a name below localhost is loopback, another one ordinary, as far as
 * can be told before it is resolved.  Numeric spellings that a resolver would
 * take for an address are unusable.
 */
extern OssAddressClass oss_host_class(const char *host);

/*
 * Parse "http://host:port" or "https://host:port" into *proxy, whose
 * default_port stays false.  Returns NULL, or what is wrong, as above: no port,
 * user information, an address that requests may not go to, and what an
 * endpoint may not have either.
 */
extern const char *oss_proxy_parse(const char *text, OssEndpoint *proxy);

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
 * Set *endpoint to the service's endpoint of a type, which is not OTHER, for a
 * legal region.  Returns as oss_endpoint_parse(): a long region may make a
 * label of the host too long.
 */
extern const char *oss_endpoint_of_region(const char *region, OssEndpointType type,
										  OssEndpoint *endpoint);

/* Return the type of an endpoint, without a bucket or with one, by its host. */
extern OssEndpointType oss_endpoint_type(const OssEndpoint *endpoint);

#endif							/* OSS_ENDPOINT_H */
