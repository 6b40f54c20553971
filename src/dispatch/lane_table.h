/*-------------------------------------------------------------------------
 * lane_table.h
 *	  Dispatching: the servers, buckets, requesters and lanes that are known.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LANE_TABLE_H
#define OSS_LANE_TABLE_H

#include "dispatch/dispatcher.h"

/* Find a lane, or add it; NULL if there is no room. */
extern DispatchLane *oss_dispatch_lane(OssDispatcher *dispatcher, const OssLaneHead *head);

/*
 * Free lanes without jobs, and buckets and requesters without lanes.  A bucket
 * with a history is remembered.
 */
extern void oss_dispatch_free_lanes(OssDispatcher *dispatcher);

/*
 * Update the servers' names after ALTER SERVER RENAME, and their OIDs after
 * they were created.
 */
extern void oss_dispatch_follow_servers(OssDispatcher *dispatcher);

/*
 * End the holds and rests of servers that were resumed or altered since the
 * last call.
 */
extern void oss_dispatch_apply_resumes(OssDispatcher *dispatcher);

/*
 * Tell other processes that resumes were applied; if the transaction was
 * rolled back, apply them again.
 */
extern void oss_dispatch_end_resumes(OssDispatcher *dispatcher, bool committed);

#endif							/* OSS_LANE_TABLE_H */
