/*-------------------------------------------------------------------------
 * claim_lane.h
 *	  Dispatching, in a transaction: one claim of one lane.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CLAIM_LANE_H
#define OSS_CLAIM_LANE_H

#include "dispatch/dispatcher.h"

/*
 * Lock waits of the claims of one turn, at most: a claim needs each of the
 * indexes, which ALTER INDEX may have locked.
 */
#define OSS_MOST_CLAIM_WAITS 8

/*
 * Resolve the server and user mapping of a job's requester, whose rights are
 * checked anew.  Returns the error, or NULL; job->usable says whether the
 * requester has USAGE on the server.
 */
extern ErrorData *oss_dispatch_resolve(OssJob *job);

/*
 * Claim up to n jobs of a lane, of rank most_rank at most.  Returns how many
 * jobs were read, and adds to *nclaimed how many need a request.
 */
extern int	oss_dispatch_claim_lane(OssDispatcher *dispatcher, DispatchLane *lane, int n,
									int32 most_rank, bool alone, int *nclaimed);

#endif							/* OSS_CLAIM_LANE_H */
