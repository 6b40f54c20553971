/*-------------------------------------------------------------------------
 * lane_table.h
 *	  Dispatching: the servers, buckets, requesters and lanes that are known.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LANE_TABLE_H
#define OSS_LANE_TABLE_H

#include "dispatch/dispatcher.h"

extern DispatchLane *oss_dispatch_lane(OssDispatcher *dispatcher, const OssLaneHead *head);
extern void oss_dispatch_free_lanes(OssDispatcher *dispatcher);
extern void oss_dispatch_follow_servers(OssDispatcher *dispatcher);
extern void oss_dispatch_apply_resumes(OssDispatcher *dispatcher);
extern void oss_dispatch_end_resumes(OssDispatcher *dispatcher, bool committed);

#endif							/* OSS_LANE_TABLE_H */
