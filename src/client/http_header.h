/*-------------------------------------------------------------------------
 * http_header.h
 *	  Headers of a response.
 *
 * Private to http.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_HEADER_H
#define OSS_HTTP_HEADER_H

#include "client/http.h"

/*
 * Store a header, a line of len bytes, if HttpAnswer has a field for it.
 * Called within curl: neither allocates nor throws.
 */
extern void oss_http_keep_header(HttpAnswer *answer, const char *line, size_t len);

#endif							/* OSS_HTTP_HEADER_H */
