/*-------------------------------------------------------------------------
 * rate_limit.h
 *	  How fast and how many at a time: the gate before each request.
 *
 * Middle floor.  A server's max_requests_per_second holds
 * over all its buckets.  What the service tells, by throttling or by asking to
 * wait, is about a bucket: its account's limits are found by each bucket for
 * itself, as its share.  Both belong to a server of a database: every process
 * of the cluster shares them when the library is preloaded, otherwise each has
 * its own.  The limit is that of the newest reading of the server's options,
 * for older ones too.  Concurrency is each process's own.
 *
 * Nothing here throws, and nothing needs a transaction.  Names of buckets are
 * those that requests are made of.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RATE_LIMIT_H
#define OSS_RATE_LIMIT_H

#include "client/server.h"

/* How a request that passed the gate ended. */
typedef enum OssRateOutcome
{
	OSS_RATE_ANSWERED,			/* the service took it, whatever it said */
	OSS_RATE_THROTTLED,			/* the service wants fewer */
	OSS_RATE_LOST				/* no answer, or cancelled */
} OssRateOutcome;

/* Wait until a request of this process ends. */
#define OSS_RATE_WAIT_FOR_END	(-1L)

/* For how long one answer can hold a bucket at most. */
#define OSS_RATE_MOST_HOLD_MS	60000L

/*
 * Sleep no longer than this for a rate or a hold: another process may end it,
 * or raise the limit.
 */
#define OSS_RATE_LOOK_MS	500L

/* What is known of a bucket, for the view. */
typedef struct OssRateReport
{
	Oid			serverid;
	char		bucket[OSS_BUCKET_MAX + 1];
	double		answers_per_second; /* over the last ten seconds */
	double		requests_per_second;	/* present limit, 0: none */
	bool		slowed_down;	/* by throttles */
	int64		throttled;		/* since the start */
	long		held_ms;		/* still so long, 0: not held */
} OssRateReport;

/*
 * Ask to send one request now.  Returns 0 when it may go, and counts it as in
 * flight until oss_rate_end(); else for how many ms to wait before asking
 * again, at most OSS_RATE_LOOK_MS, or OSS_RATE_WAIT_FOR_END.
 */
extern long oss_rate_try_start(OssServer *server, const char *bucket);

/* Tell the end of a request that oss_rate_try_start() let through. */
extern void oss_rate_end(OssServer *server, const char *bucket,
						 const char *key, OssRateOutcome outcome);

/*
 * Let nothing of a bucket start for ms, at most OSS_RATE_MOST_HOLD_MS, because
 * the service asked for it.
 */
extern void oss_rate_hold(OssServer *server, const char *bucket, long ms);

/*
 * End holds of a server of this database, and forget what throttles taught;
 * bucket NULL: of all its buckets; serverid InvalidOid: of all servers.
 */
extern void oss_rate_resume(Oid serverid, const char *bucket);

/*
 * Return for how many ms rates and holds let nothing start, 0 when something
 * may start now; concurrency aside.  bucket NULL: the server's limit alone.
 */
extern long oss_rate_wait(OssServer *server, const char *bucket);

/*
 * Estimate how many requests the rates let start within the next ms,
 * concurrency aside; at least 0, INT_MAX without limits.  bucket NULL: the
 * server's limit alone.
 */
extern int	oss_rate_allowance(OssServer *server, const char *bucket, long ms);

/*
 * Describe the next bucket of this database; *at is 0 at first.  Returns false
 * after the last one.
 */
extern bool oss_rate_report(int *at, OssRateReport *report);

/* Bytes of shared memory, and its start; from the shared memory hooks. */
extern Size oss_rate_shared_size(void);
extern void oss_rate_shared_start(void);

#endif							/* OSS_RATE_LIMIT_H */
