/*-------------------------------------------------------------------------
 * http_loop.h
 *	  The event loop under http.c: one curl multi handle, one epoll
 *	  descriptor, one wait event set per process.
 *
 * For http.c; rate_limit.c asks for the number of connections.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_LOOP_H
#define OSS_HTTP_LOOP_H

#include <curl/curl.h>

/*
 * Called by oss_http_loop_wait() and oss_http_loop_pump() for each transfer that
 * ended; must not throw.
 */
typedef void (*HttpLoopEnded) (CURL *easy, CURLcode code);

/*
 * Make the loop if it does not exist.  Errors: class 53 if descriptors,
 * memory or libcurl run out.
 */
extern void oss_http_loop_init(HttpLoopEnded ended);

/*
 * Return the limit on connections of the process, in flight and idle: a third
 * of the descriptors is for extensions (storage/file/fd.c).  At the limit,
 * the oldest idle connection is closed for a new one.
 */
extern int	oss_http_loop_connections(void);

/* Start a transfer.  Returns false if libcurl refuses. */
extern bool oss_http_loop_add(CURL *easy);

/* Remove a transfer; closes its connection if it has not ended. */
extern void oss_http_loop_remove(CURL *easy);

/*
 * Has libcurl given up, because the system refused to watch a socket?  Then
 * the caller removes all transfers and discards the loop;
 * oss_http_loop_init() makes a new one.
 */
extern bool oss_http_loop_broken(void);
extern void oss_http_loop_discard(void);

/*
 * Wait once, see oss_http_turn().  *late_us: by how much the wait exceeded its
 * timeout, because the process did not run.
 */
extern bool oss_http_loop_wait(long timeout_ms, int64 *late_us);

/* Handle ready sockets: up to some number, or all, as after an idle period. */
extern void oss_http_loop_pump(bool all);

/*
 * Have curl check every transfer: it does not wake up for timeouts that were
 * changed in flight.
 */
extern void oss_http_loop_check(void);

/*
 * CURLOPT_RESOLVER_START_FUNCTION of each transfer: curl is about to start a
 * resolver thread.
 */
extern int	oss_http_loop_on_resolve(void *resolver, void *reserved, void *arg);

/* Return the share object for TLS sessions. */
extern CURLSH *oss_http_loop_share(void);

#endif							/* OSS_HTTP_LOOP_H */
