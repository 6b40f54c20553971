/*-------------------------------------------------------------------------
 * http_header.h
 *	  Headers of an answer.
 *
 * Middle floor, private to http.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_HEADER_H
#define OSS_HTTP_HEADER_H

#include "client/http.h"

/*
 * Keep what a caller may look at of one answer header, a line of len bytes.
 * Called within curl: neither allocates nor throws.
 */
extern void oss_http_keep_header(HttpAnswer *answer, const char *line, size_t len);

#endif							/* OSS_HTTP_HEADER_H */
