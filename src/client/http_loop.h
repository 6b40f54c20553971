/*-------------------------------------------------------------------------
 * http_loop.h
 *	  The event loop under http.c: one curl multi handle, one epoll
 *	  descriptor, one wait event set per process.
 *
 * Middle floor, for http.c; rate_limit.c asks for the number of connections.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_LOOP_H
#define OSS_HTTP_LOOP_H

#include "postgres.h"

#include <curl/curl.h>

/* Told of each transfer that ended, from oss_http_loop_turn(); must not throw. */
typedef void (*HttpLoopEnded) (CURL *easy, CURLcode code);

/*
 * Make the loop unless it is there.  Errors: 53000 when descriptors, memory or
 * libcurl run out.
 */
extern void oss_http_loop_init(HttpLoopEnded ended);

/*
 * Return how many connections the process may have, in flight and idle: a third
 * of the descriptors is what extensions may take (storage/file/fd.c).  At the
 * limit the oldest idle one is closed for a new one.
 */
extern int	oss_http_loop_connections(void);

/* Begin a transfer; returns false when libcurl refuses. */
extern bool oss_http_loop_add(CURL *easy);

/* Take a transfer out, closing its connection unless it has ended. */
extern void oss_http_loop_remove(CURL *easy);

/*
 * Has libcurl given up, as when the system refuses to watch a socket?  Then all
 * transfers are to be taken out and the loop discarded; oss_http_loop_init() makes
 * another.
 */
extern bool oss_http_loop_broken(void);
extern void oss_http_loop_discard(void);

/* See oss_http_turn(). */
extern bool oss_http_loop_turn(long timeout_ms);

/*
 * Look at every transfer: for timeouts that were changed on the way, which
 * libcurl does not wake up for.
 */
extern void oss_http_loop_check(void);

/*
 * To be told, as CURLOPT_RESOLVER_START_FUNCTION of each transfer, before curl
 * starts a thread.
 */
extern int	oss_http_loop_on_resolve(void *resolver, void *reserved, void *arg);

/* The share object that holds the TLS sessions. */
extern CURLSH *oss_http_loop_share(void);

#endif							/* OSS_HTTP_LOOP_H */
