/*-------------------------------------------------------------------------
 * http.h
 *	  HTTP transfers on one latch-driven event loop with one connection pool
 *	  per process.
 *
 * Middle floor.  Nothing above knows curl.  The loop lives as long as the
 * process; a transfer belongs to the memory context it was started in and
 * ends, cancelled if need be, when that context is reset or deleted.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_H
#define OSS_HTTP_H

#include "postgres.h"

#include "protocol/signature_v4.h"

/* Which addresses a transfer may connect to (protocol/README.md 4.5). */
typedef enum HttpReach
{
	HTTP_REACH_OSS,				/* anything but link-local and metadata */
	HTTP_REACH_METADATA			/* metadata and link-local too: credentials of
								 * the machine, superuser's choice */
} HttpReach;

/* How a transfer ended. */
typedef enum HttpEnd
{
	HTTP_ANSWERED,				/* a complete answer, whatever its status */
	HTTP_RESOLVE,				/* the name could not be resolved */
	HTTP_CONNECT,				/* no connection */
	HTTP_TLS,					/* handshake failed */
	HTTP_CERTIFICATE,			/* certificate refused */
	HTTP_TIMEOUT,
	HTTP_BROKEN,				/* the connection broke before the answer was
								 * complete */
	HTTP_TOO_LARGE,				/* more than max_body bytes */
	HTTP_FORBIDDEN_ADDRESS,		/* reach does not allow the address */
	HTTP_NO_MEMORY,
	HTTP_OTHER
} HttpEnd;

/*
 * What to send.  Everything is copied by oss_http_start() and need not outlive
 * the call.
 */
typedef struct HttpSpec
{
	const char *method;			/* GET, PUT, POST or HEAD */
	const char *url;
	const OssField *headers;
	size_t		nheaders;
	const char *body;			/* NULL without one */
	size_t		body_len;
	const char *ca_file;		/* NULL: the system's CA store */
	int			connect_timeout_ms;
	int			timeout_ms;		/* the whole transfer */
	size_t		max_body;		/* bytes of answer accepted */
	HttpReach	reach;
	bool		allow_http;		/* http:// besides https:// */
	bool		fresh;			/* by a new connection */
	bool		queued;			/* its time goes on while the loop is left
								 * alone, see oss_http_now() */
} HttpSpec;

/*
 * What came back.  Valid until the transfer's context goes.  Header values
 * are empty strings when absent and cut at their size; times are microseconds
 * since the start, 0 when the phase was not reached or not needed (connect_us
 * also when TLS was not, as libcurl counts).
 */
typedef struct HttpAnswer
{
	HttpEnd		end;
	int			status;			/* 0 before a status line */
	const char *body;			/* NUL-terminated besides */
	size_t		body_len;
	char		content_type[128];
	char		request_id[64]; /* x-oss-request-id */
	char		ec[32];			/* x-oss-ec */
	char		date[48];
	char		retry_after[48];
	char		qos_delay[24];	/* x-oss-qos-delay-time, ms */
	char		oss_err[4096];	/* x-oss-err, base64 */
	char		trouble[256];	/* libcurl's own words */
	char		address[64];	/* peer, "" when never connected */
	bool		connected;		/* TCP had got through when it ended */
	bool		in_body;		/* the body had begun when it ended */
	int64		dns_us;
	int64		connect_us;
	int64		tls_us;
	int64		sent_us;		/* request handed over */
	int64		first_byte_us;
	int64		total_us;
	int64		bytes_received; /* body and headers */
	bool		new_connection;
} HttpAnswer;

typedef struct HttpTransfer HttpTransfer;

/* Called from oss_http_turn(), never from within curl; must not throw. */
typedef void (*HttpDone) (HttpTransfer *transfer, void *arg);

/*
 * Start a transfer owned by context.  Errors: 53000-class when memory, libcurl
 * or descriptors run out; network errors are reported as the answer's end.
 */
extern HttpTransfer *oss_http_start(MemoryContext context, const HttpSpec *spec,
									HttpDone done, void *arg);

/* The answer of a transfer that is done. */
extern const HttpAnswer *oss_http_answer(const HttpTransfer *transfer);

/* End a transfer, cancelling it when in flight, and forget it. */
extern void oss_http_free(HttpTransfer *transfer);

/*
 * Let the loop run once: wait until the network, the process latch or
 * timeout_ms (-1: no limit) ends the wait, call done for whatever finished,
 * handle interrupts (which may throw: 57014, 57P01, ...).  Returns whether the
 * latch was set.
 */
extern bool oss_http_turn(long timeout_ms);

/* Return microseconds of a monotonic clock, the same in all processes. */
extern int64 oss_clock_us(void);

/*
 * Return microseconds of that clock, less those for which nobody drove the loop
 * for longer than 100 ms: for deadlines of requests.  A cursor's client
 * may think for minutes between two FETCHes; the answers that arrive meanwhile
 * are paid for, and wait in the sockets.  oss_http_turn() stretches the timeouts
 * of transfers in flight likewise; those of queued ones, which nobody but this
 * process keeps waiting, once and only as far as to read what has come.
 */
extern int64 oss_http_now(void);

/*
 * Read a date as HTTP headers or OSS documents (ISO 8601, UTC) spell it;
 * returns -1 when it is neither.
 */
extern time_t oss_http_parse_date(const char *text);

/* Number of transfers in flight in this process. */
extern int	oss_http_in_flight(void);

#endif							/* OSS_HTTP_H */
