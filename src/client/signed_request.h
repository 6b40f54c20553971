/*-------------------------------------------------------------------------
 * signed_request.h
 *	  Signing requests to a server: for an HTTP transfer, or as a URL.
 *
 * protocol/README.md 1 and 2.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SIGNED_REQUEST_H
#define OSS_SIGNED_REQUEST_H

#include "client/http.h"
#include "client/route.h"

#define OSS_QUERY_MAX	7

/*
 * The target of a request; strings are in UTF-8.  bucket is NULL for a
 * request to the service, key for one to the bucket; process and version_id
 * may be NULL.  query has nquery more parameters, OSS_QUERY_MAX at most.
 */
typedef struct OssTarget
{
	const char *method;
	const char *bucket;
	const char *key;
	const char *process;
	const char *version_id;
	const OssField *query;
	size_t		nquery;
} OssTarget;

/*
 * Set a server's clock offset from the Date header of a response.  Returns
 * false if oss_http_parse_date() cannot read it.
 */
extern bool oss_correct_clock(const OssServer *server, const char *date);

/*
 * Set *spec, except timeout_ms, max_body, queued and fresh, to a newly signed
 * request along a route or, if who is NULL, to an unsigned one.  Strings are
 * valid until the next call.  Errors: 53200.
 */
extern void oss_signed_spec(OssServer *server, const OssRoute *route,
							const OssTarget *target, const OssCredentials *who,
							HttpSpec *spec);

/*
 * Return a palloc'd URL with which any client can GET the target for
 * "expires" seconds (1 to OSS_EXPIRES_MAX).  Errors: 53200.
 */
extern char *oss_signed_url(OssServer *server, const OssRoute *route,
							const OssTarget *target, const OssCredentials *who,
							long expires);

#endif							/* OSS_SIGNED_REQUEST_H */
