/*-------------------------------------------------------------------------
 * lane.h
 *	  Dispatching: servers, buckets and lanes, and who goes next.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LANE_H
#define OSS_LANE_H

#include "dispatch/dispatcher.h"

extern void oss_dispatch_make_ready(OssDispatcher *dispatcher, OssJob *job);
extern void oss_dispatch_unready(OssDispatcher *dispatcher, OssJob *job);
extern OssJob *oss_dispatch_next_ready(DispatchServer *server, int64 now, long *ms);
extern int	oss_dispatch_room(const OssDispatcher *dispatcher, DispatchLane *lane, int64 now);
extern int64 oss_dispatch_open_at(DispatchLane *lane, int64 now);
extern void oss_dispatch_give_back_excess(OssDispatcher *dispatcher);
extern void oss_dispatch_count_answer(DispatchBucket *bucket, int64 now);
extern void oss_dispatch_note_answer(DispatchBucket *bucket, int64 now);
extern void oss_dispatch_note_skipped(DispatchLane *lane, const OssPlace *place,
									  TimestampTz at);
extern bool oss_dispatch_is_paused(List *pauses, const DispatchLane *lane, Oid role,
								   const char *key);
extern List *oss_dispatch_paused_directories(List *pauses, const DispatchLane *lane, Oid role);
extern void oss_dispatch_free_job(OssJob *job);

#endif							/* OSS_LANE_H */
