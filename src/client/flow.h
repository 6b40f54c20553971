/*-------------------------------------------------------------------------
 * flow.h
 *	  How fast and how many at a time: the gate before each request of a
 *	  server.
 *
 * Middle floor.  Design section 8.
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

/*
 * Ask to send one request now.  Returns 0 when it may go, and counts it as in
 * flight until oss_flow_end(); else for how many ms to wait before asking
 * again, or OSS_FLOW_WAIT_FOR_END.  Never throws.
 */
extern long oss_flow_try_start(OssServer *server);

/* Tell the end of a request that oss_flow_try_start() let through. */
extern void oss_flow_end(OssServer *server, OssFlowOutcome outcome);

#endif							/* OSS_FLOW_H */
