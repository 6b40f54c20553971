/*-------------------------------------------------------------------------
 * http.h
 *	  HTTP transfers on one latch-driven event loop with one connection pool
 *	  per process.
 *
 * Rooms above this one do not use curl.  The loop lives as long as the
 * process; a transfer belongs to the memory context in which it was started
 * and is cancelled when that context is reset or deleted.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_H
#define OSS_HTTP_H

#include "protocol/signature_v4.h"
#include "protocol/uri.h"
#include "utils/timestamp.h"

/* Longest URL of a proxy: scheme, host in brackets, port. */
#define OSS_PROXY_URL_MAX	(OSS_HOST_MAX + 16)

/* Which addresses a transfer may connect to (protocol/README.md 4.5). */
typedef enum HttpReach
{
	HTTP_REACH_OSS,				/* all but link-local and metadata */
	HTTP_REACH_METADATA			/* link-local and metadata too: for
								 * credentials of the machine, which a
								 * superuser configured */
} HttpReach;

/* How a transfer ended. */
typedef enum HttpEnd
{
	HTTP_ANSWERED,				/* complete response of any status */
	HTTP_RESOLVE,				/* name not resolved */
	HTTP_CONNECT,				/* TCP connection failed */
	HTTP_TLS,					/* TLS handshake failed */
	HTTP_CERTIFICATE,			/* certificate refused */
	HTTP_TIMEOUT,
	HTTP_BROKEN,				/* connection broke before the response was
								 * complete */
	HTTP_TOO_LARGE,				/* more than max_body bytes */
	HTTP_FORBIDDEN_ADDRESS,		/* address not allowed by reach */
	HTTP_NO_MEMORY,
	HTTP_OTHER,

	/* through a proxy, before the request was sent */
	HTTP_PROXY_RESOLVE,			/* its name not resolved */
	HTTP_PROXY_CONNECT,			/* TCP connection to it failed */
	HTTP_PROXY_TIMEOUT,
	HTTP_PROXY_TLS,				/* TLS handshake with it failed */
	HTTP_PROXY_CERTIFICATE,		/* its certificate refused */
	HTTP_PROXY_ADDRESS,			/* its address is not allowed */
	HTTP_PROXY_AUTHENTICATION,	/* it answered 407 or 401 */
	HTTP_PROXY_REFUSED,			/* it answered that it will not connect */
	HTTP_PROXY_FAILED,			/* or that it could not */
	HTTP_PROXY_CLOSED,			/* it closed the connection without an answer */
	HTTP_PROXY_GARBLED,			/* its answer is not HTTP, not complete or too
								 * long */
	HTTP_TUNNEL_TLS,			/* TLS handshake with the host beyond failed */
	HTTP_TUNNEL_CERTIFICATE		/* the certificate beyond was refused */
} HttpEnd;

/*
 * A proxy that is asked by CONNECT for a tunnel to the host of each transfer.
 * A transfer to a loopback address goes through it only if it is on loopback
 * too, since elsewhere the address means another machine.  One to an address
 * that no proxy may be asked for goes without it: it fails, or reaches the
 * metadata service.
 */
typedef struct HttpProxy
{
	const char *url;			/* http or https, host and port; NULL: none */
	bool		is_loopback;
	const char *ca_file;		/* of an https proxy; NULL: the system's store */
	const char *user;			/* or NULL */
	const char *password;		/* or NULL */
	uint8		whose[16];		/* connections of others are not used */
} HttpProxy;

/* A request to send.  oss_http_start() copies everything. */
typedef struct HttpSpec
{
	const char *method;			/* GET, PUT, POST or HEAD */
	const char *url;
	const OssField *headers;
	size_t		nheaders;
	const char *body;			/* or NULL */
	size_t		body_len;
	const char *ca_file;		/* NULL: the system's CA store */
	int			connect_timeout_ms;
	int			timeout_ms;		/* the whole transfer */
	size_t		max_body;		/* limit on the response's body, in bytes */
	HttpReach	reach;
	bool		allow_http;		/* http:// as well as https:// */
	bool		private_http;	/* http:// to private addresses, not to
								 * loopback alone */
	const HttpProxy *proxy;		/* or NULL; lives longer than the transfer */
	bool		fresh;			/* use a new connection */
	bool		queued;			/* its timeout runs while the loop is idle,
								 * see oss_http_now() */
	bool		want_headers;	/* the answer's body is its lines of headers */
	bool	   *sent;			/* set when it is sent, or NULL; lives longer
								 * than the transfer */
} HttpSpec;

/*
 * The response.  Valid as long as the transfer.  Header values are empty if
 * absent, and truncated to their size.  Times are in microseconds since the
 * start, 0 if the phase was not reached or not needed (connect_us also if TLS
 * was not reached, as libcurl counts).
 */
typedef struct HttpAnswer
{
	HttpEnd		end;
	int			status;			/* 0 before a status line */
	const char *body;			/* followed by a NUL */
	size_t		body_len;
	char		content_type[128];
	char		etag[192];
	char		last_modified[48];
	char		request_id[64]; /* x-oss-request-id */
	char		ec[32];			/* x-oss-ec */
	char		date[48];
	char		retry_after[48];
	char		qos_delay[24];	/* x-oss-qos-delay-time, ms */
	char		oss_err[4096];	/* x-oss-err, base64 */
	char		trouble[256];	/* libcurl's message */
	char		address[64];	/* of the peer, "" if not connected */
	char		proxy[OSS_PROXY_URL_MAX + 1];	/* that was used, or "" */
	int			proxy_status;	/* of its answer to CONNECT, 0: none */
	bool		connected;		/* a TCP connection was made */
	bool		in_body;		/* the body had begun */
	bool		sent;			/* at least a part of the request */
	int64		dns_us;
	int64		connect_us;
	int64		tls_us;
	int64		sent_us;		/* when the request was sent */
	int64		first_byte_us;
	int64		total_us;
	int64		bytes_received; /* of headers and body */
	bool		new_connection;
} HttpAnswer;

typedef struct HttpTransfer HttpTransfer;

/* Called by oss_http_turn() when a transfer is done; must not throw. */
typedef void (*HttpDone) (HttpTransfer *transfer, void *arg);

/*
 * Start a transfer owned by context.  Network errors are reported as the
 * answer's end.  Errors: class 53 if memory, libcurl or descriptors run out.
 */
extern HttpTransfer *oss_http_start(MemoryContext context, const HttpSpec *spec,
									HttpDone done, void *arg);

/* Return the response of a transfer that is done. */
extern const HttpAnswer *oss_http_answer(const HttpTransfer *transfer);

/* Free a transfer, cancelling it if in flight. */
extern void oss_http_free(HttpTransfer *transfer);

/*
 * Run the loop once: wait until there is network activity, the process latch
 * is set or timeout_ms (-1: no limit) is over, call "done" of finished
 * transfers, and handle interrupts (which may throw 57014, 57P01, ...).
 * Returns whether the latch was set.
 */
extern bool oss_http_turn(long timeout_ms);

/* Return the microseconds of a monotonic clock that all processes share. */
extern int64 oss_clock_us(void);

/*
 * Return the microseconds of that clock less idle periods, those longer than
 * 100 ms in which nobody ran the loop; for deadlines of requests.  A cursor's
 * client may wait minutes between two FETCHes, while responses that are paid
 * for arrive in the sockets.  oss_http_turn() extends the timeouts of
 * transfers in flight likewise, also if the process was stopped while it waited.
 * Timeouts of queued ones are extended only for long enough to read what has
 * arrived, or once to be sent, since only this process makes them wait.
 */
extern int64 oss_http_now(void);

/*
 * Parse a date of an HTTP header, or an ISO 8601 time in UTC.  Returns -1 if
 * it is neither.
 */
extern time_t oss_http_parse_date(const char *text);

/* Return the number of transfers in flight in this process. */
extern int	oss_http_in_flight(void);

/* Return the shorter of two waits in ms, of which -1 is none. */
static inline long
oss_shorter_wait(long a, long b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Return the shorter of a wait and the time until "when", by oss_clock_us(). */
static inline long
oss_wait_until(long ms, int64 now, int64 when)
{
	return oss_shorter_wait(ms, TimestampDifferenceMilliseconds(now, when));
}

#endif							/* OSS_HTTP_H */
