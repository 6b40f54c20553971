/*-------------------------------------------------------------------------
 * http_timeout.h
 *	  Timeouts of a transfer, which idle periods of the loop extend.
 *
 * Private to http.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_TIMEOUT_H
#define OSS_HTTP_TIMEOUT_H

#include <curl/curl.h>

#include "client/http.h"

typedef struct HttpTimeout
{
	bool		stretched;		/* changed in flight */
	bool		queued;
	bool		made_up;		/* queued: it was extended before it was sent */
	bool		over;			/* queued: it was extended after its end */
	int64		started_us;
	int64		connect_ms;		/* since then, as set in libcurl */
	int64		all_ms;
	int64		agreed_ms;		/* all_ms without extensions to read */
} HttpTimeout;

/* Set the timeouts of a transfer that starts. */
extern void oss_http_timeout_begin(HttpTimeout *t, CURL *easy, const HttpSpec *spec);

/*
 * Extend the timeouts after an idle period of the loop, which ends now; of a
 * queued transfer only as much as necessary.  sent: the request was sent.
 */
extern void oss_http_timeout_make_up(HttpTimeout *t, CURL *easy, bool sent, int64 us);

#endif							/* OSS_HTTP_TIMEOUT_H */
