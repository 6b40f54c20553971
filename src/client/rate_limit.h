/*-------------------------------------------------------------------------
 * rate_limit.h
 *	  Limits on rate and concurrency, checked before each request is sent, and
 *	  the clock offset of a server's service.
 *
 * A server's max_requests_per_second limits the sum over its buckets.
 * Throttles and Retry-After limit a single bucket; a limit of the account
 * shows as a share of each bucket.  Both kinds of limits are kept per server
 * of a database, shared by all processes of the cluster if the library is
 * preloaded, else by process.  The server's options read last win, also over
 * those that a running query has read.  max_concurrency is per process.
 *
 * A listing, of which one request at a time is in flight, heeds the server's
 * limit and max_concurrency, and no bucket's: what the service says of labels
 * says nothing of listings, whose throttles the request's own backoff heeds.
 *
 * No function here throws or needs a transaction.  Buckets must have legal
 * names.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RATE_LIMIT_H
#define OSS_RATE_LIMIT_H

#include "client/server.h"

/* How a request ended. */
typedef enum OssRateOutcome
{
	OSS_RATE_ANSWERED,			/* the service responded, with any status but
								 * a throttle's */
	OSS_RATE_THROTTLED,			/* the service refused it because of the rate */
	OSS_RATE_LOST				/* no response, or cancelled */
} OssRateOutcome;

/*
 * Result of oss_rate_try_start(): wait until a request of this process ends.
 */
#define OSS_RATE_WAIT_FOR_END	(-1L)

/* Longest hold of a bucket that one response can cause. */
#define OSS_RATE_MOST_HOLD_MS	60000L

/*
 * Longest sleep because of a rate or a hold: another process may end it or
 * raise the limit.
 */
#define OSS_RATE_LOOK_MS	500L

/* The rates of a bucket, for rate_status(). */
typedef struct OssRateReport
{
	Oid			serverid;
	char		bucket[OSS_BUCKET_MAX + 1];
	double		answers_per_second; /* average of the last ten seconds */
	double		requests_per_second;	/* present limit, 0: no limit */
	bool		slowed_down;	/* by throttles */
	int64		throttled;		/* since the start */
	long		held_ms;		/* remaining hold, 0: not held */
} OssRateReport;

/*
 * Ask to send one request.  Returns 0 if it may be sent now, and counts it as
 * in flight until oss_rate_end().  Else returns how many ms to wait before
 * asking again, OSS_RATE_LOOK_MS at most, or OSS_RATE_WAIT_FOR_END.  bucket NULL:
 * the server's limits alone.
 */
extern long oss_rate_try_start(OssServer *server, const char *bucket);

/*
 * Report the end of a request for which oss_rate_try_start() returned 0, with the
 * same bucket.
 */
extern void oss_rate_end(OssServer *server, const char *bucket,
						 const char *key, OssRateOutcome outcome);

/*
 * Hold a bucket: no request starts for ms, OSS_RATE_MOST_HOLD_MS at most, as
 * the service asked.
 */
extern void oss_rate_hold(OssServer *server, const char *bucket, long ms);

/*
 * End holds and remove limits found by throttles, for a bucket of a server of
 * this database; bucket NULL: for all its buckets; serverid InvalidOid: for
 * all servers.
 */
extern void oss_rate_resume(Oid serverid, const char *bucket);

/*
 * Return how many ms rates and holds, without regard to concurrency, delay
 * the next request; 0 if one may start now.  bucket NULL: the server's limit
 * alone.
 */
extern long oss_rate_wait(OssServer *server, const char *bucket);

/*
 * Estimate how many requests rates and holds, without regard to concurrency,
 * let start within a second; INT_MAX without limits.
 */
extern int	oss_rate_allowance(OssServer *server, const char *bucket);

/*
 * Return the milliseconds to add to the local clock for the service's time, 0
 * until set.  Only servers get one whose service refused a request because of
 * its time, or that check_server() has checked.
 */
extern int64 oss_clock_offset_ms(Oid serverid);

extern void oss_clock_set_offset_ms(Oid serverid, int64 ms);

/*
 * Describe the next bucket of this database; initialize *at with 0.  Returns
 * false after the last one.
 */
extern bool oss_rate_report(int *at, OssRateReport *report);

#endif							/* OSS_RATE_LIMIT_H */
