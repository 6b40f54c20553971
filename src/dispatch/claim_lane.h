/*-------------------------------------------------------------------------
 * claim_lane.h
 *	  Dispatching, in a transaction: one claim of one lane.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CLAIM_LANE_H
#define OSS_CLAIM_LANE_H

#include "dispatch/dispatcher.h"

/*
 * Locks that the claims of one turn wait for, at most: such as of an index that
 * is moved, which no claim can do without.
 */
#define OSS_MOST_CLAIM_WAITS 8

/*
 * Find the server and mapping of a job's requester.  Returns the error, of which
 * job->usable says whether it is for want of USAGE, or NULL.
 */
extern ErrorData *oss_dispatch_resolve(OssJob *job);

/*
 * Claim up to n jobs of a lane, of a rank up to
 * most_rank.  Returns how many were looked at, and adds to *nclaimed how many are to
 * be asked for.
 */
extern int	oss_dispatch_claim_lane(OssDispatcher *dispatcher, DispatchLane *lane, int n,
									int32 most_rank, bool alone, int *nclaimed);

#endif							/* OSS_CLAIM_LANE_H */
