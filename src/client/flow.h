/*-------------------------------------------------------------------------
 * flow.h
 *	  How fast and how many at a time: the gate before each request of a
 *	  server.
 *
 * Middle floor.  Design section 8.  Rates belong to a server of a database:
 * every process of the cluster shares them when the library is preloaded,
 * otherwise each has its own.  The limit is that of the newest reading of the
 * server's options, for older ones too.  Concurrency is each process's own.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FLOW_H
#define OSS_FLOW_H

#include "client/server.h"

/* How a request that passed the gate ended. */
typedef enum OssFlowOutcome
{
	OSS_FLOW_ANSWERED,			/* the service took it, whatever it said */
	OSS_FLOW_THROTTLED,			/* the service wants fewer */
	OSS_FLOW_LOST				/* no answer, or cancelled */
} OssFlowOutcome;

/* Wait until a request of this process ends. */
#define OSS_FLOW_WAIT_FOR_END	(-1L)

/* What is known of a server, for the view. */
typedef struct OssFlowReport
{
	Oid			serverid;
	double		answers_per_second; /* over the last ten */
	double		requests_per_second;	/* present limit, 0: none */
	bool		slowed_down;	/* by throttles */
	int64		throttled;		/* since the start */
} OssFlowReport;

/*
 * Ask to send one request now.  Returns 0 when it may go, and counts it as in
 * flight until oss_flow_end(); else for how many ms to wait before asking
 * again, or OSS_FLOW_WAIT_FOR_END.  Never throws.
 */
extern long oss_flow_try_start(OssServer *server);

/* Tell the end of a request that oss_flow_try_start() let through. */
extern void oss_flow_end(OssServer *server, OssFlowOutcome outcome);

/* Let nothing start for ms, because the service asked for it. */
extern void oss_flow_hold(OssServer *server, long ms);

/*
 * Estimate how many requests the rates let start within the next ms,
 * concurrency aside; at least 0, INT_MAX without limits.
 */
extern int	oss_flow_allowance(OssServer *server, long ms);

/*
 * Describe the servers of this database that were used; fills at most n and
 * returns how many.
 */
extern int	oss_flow_report(OssFlowReport *reports, int n);

/* Bytes of shared memory, and its start; from the shared memory hooks. */
extern Size oss_flow_shared_size(void);
extern void oss_flow_shared_start(void);

#endif							/* OSS_FLOW_H */
