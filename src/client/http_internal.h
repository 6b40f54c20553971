/*-------------------------------------------------------------------------
 * http_internal.h
 *	  The parts of HTTP transfers: the event loop, which has one curl multi
 *	  handle, one epoll descriptor and one wait event set per process; open
 *	  sockets, timeouts, headers and files of CA certificates.
 *
 * For http*.c; rate_limit.c asks for the number of connections.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_INTERNAL_H
#define OSS_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <sys/socket.h>

#include "client/http.h"

/* ---------- http_loop.c ---------- */

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

/* ---------- http_socket.c ---------- */

/*
 * Open a socket.  Returns -1 if the system or PostgreSQL's limit on
 * descriptors refuses.  Does not throw: libcurl calls it.
 */
extern int	oss_http_socket_open(int family, int type, int protocol);

/*
 * Let a connected socket fail with ETIMEDOUT within seconds if its peer does
 * not acknowledge data or does not answer keepalive probes.  Does not throw.
 */
extern void oss_http_socket_connected(int fd);

/* Close a socket of oss_http_socket_open().  Returns the result of close(). */
extern int	oss_http_socket_close(int fd);

/* ---------- http_address.c ---------- */

/* Which addresses a transfer may connect to. */
typedef struct HttpAllowed
{
	HttpReach	reach;
	bool		plain;			/* http: loopback */
	bool		private_too;	/* and private addresses */
} HttpAllowed;

extern HttpAllowed oss_http_allowed(const HttpSpec *spec);

/* May it connect to the address?  Does not throw. */
extern bool oss_http_may_connect(const HttpAllowed *allowed, const struct sockaddr *addr);

/* ---------- http_timeout.c ---------- */

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

/* ---------- http_header.c ---------- */

/*
 * Store a header, a line of len bytes, if HttpAnswer has a field for it.
 * Called within curl: neither allocates nor throws.
 */
extern void oss_http_keep_header(HttpAnswer *answer, const char *line, size_t len);

/* ---------- http_proxy.c ---------- */

/* The way of a transfer through a proxy. */
typedef struct HttpTunnel
{
	const HttpProxy *proxy;		/* NULL: it goes without one */
	int			line_status;	/* of the answer to CONNECT that is arriving */
	int			status;			/* of the complete answer, 0: none */
	size_t		bytes;			/* of the answer */
} HttpTunnel;

/* Set the proxy of a transfer that starts.  Returns false if libcurl refuses. */
extern bool oss_http_tunnel_begin(HttpTunnel *t, CURL *easy, const HttpSpec *spec);

/* Has the proxy answered that the tunnel is open, or is there none? */
extern bool oss_http_tunnel_open(const HttpTunnel *t);

/* Note a header line of the answer to CONNECT.  Neither allocates nor throws. */
extern void oss_http_tunnel_header(HttpTunnel *t, const char *line, size_t len);

/* Return the end of a transfer whose request was not sent, from that of libcurl. */
extern HttpEnd oss_http_tunnel_end(const HttpTunnel *t, HttpEnd end);

/* ---------- http_tls.c ---------- */

/*
 * Set the trusted CAs of host and proxy; verification cannot be switched off.
 * Returns false if libcurl refuses.
 */
extern bool oss_http_tls_begin(CURL *easy, const HttpSpec *spec, const HttpProxy *proxy);

/* ---------- http_ca.c ---------- */

/*
 * Return a name of the file of CA certificates at path that it had with no
 * other content.  libcurl's caches of parsed stores, connections and TLS
 * sessions are keyed by this name.  The result is valid until the next call.
 */
extern const char *oss_http_ca_name(const char *path);

/*
 * Return another name of the file, which only those have that give the same
 * mark.  The result is palloc'd.
 */
extern char *oss_http_ca_name_of(const char *path, const uint8 mark[16]);

#endif							/* OSS_HTTP_INTERNAL_H */
