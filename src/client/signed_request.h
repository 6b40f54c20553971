/*-------------------------------------------------------------------------
 * signed_request.h
 *	  Requests to a server, signed: as an HTTP transfer's spec or as a URL.
 *
 * Middle floor.  protocol/README.md 1 and 2.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SIGNED_REQUEST_H
#define OSS_SIGNED_REQUEST_H

#include "client/http.h"
#include "client/server.h"

/*
 * What a request asks for; all strings in UTF-8.  bucket NULL is the service
 * itself, key NULL the bucket; process and version_id may be NULL.
 */
typedef struct OssTarget
{
	const char *method;
	const char *bucket;
	const char *key;
	const char *process;
	const char *version_id;
} OssTarget;

/*
 * Set a server's clock offset from the Date header of its response; returns false
 * when oss_http_parse_date() cannot read it.
 */
extern bool oss_correct_clock(const OssServer *server, const char *date);

/*
 * Fill in *spec for a request that is signed afresh, or not at all when who is
 * NULL.  Everything but timeout_ms is set; the strings stay valid until the
 * next call.  Errors: 53200.
 */
extern void oss_signed_spec(OssServer *server, const OssTarget *target,
							const OssCredentials *who, HttpSpec *spec);

/*
 * Return a URL, in CurrentMemoryContext, with which any client can GET the target
 * for expires seconds (1 to OSS_EXPIRES_MAX).  Errors: 53200.
 */
extern char *oss_signed_url(OssServer *server, const OssTarget *target,
							const OssCredentials *who, long expires);

#endif							/* OSS_SIGNED_REQUEST_H */
