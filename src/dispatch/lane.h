/*-------------------------------------------------------------------------
 * lane.h
 *	  Dispatching: servers, buckets and lanes, and who goes next.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LANE_H
#define OSS_LANE_H

#include "dispatch/dispatcher.h"

/* A job gets ready in its place; it is not ready any more. */
extern void oss_dispatch_make_ready(OssDispatcher *dispatcher, OssJob *job);
extern void oss_dispatch_unready(OssDispatcher *dispatcher, OssJob *job);

/*
 * The job to be started next, NULL: none may be, for *ms as
 * far as time tells.
 */
extern OssJob *oss_dispatch_next_ready(DispatchServer *server, int64 now, long *ms);

/* How many jobs a lane may claim now, or when it may. */
extern int	oss_dispatch_room(const OssDispatcher *dispatcher, DispatchLane *lane, int64 now);
extern int64 oss_dispatch_open_at(DispatchLane *lane, int64 now);

/* Give back what is ready beyond what the rates let start. */
extern void oss_dispatch_give_back_excess(OssDispatcher *dispatcher);

/* Count an answer; note that a bucket gave any. */
extern void oss_dispatch_count_answer(DispatchBucket *bucket, int64 now);
extern void oss_dispatch_note_answer(DispatchBucket *bucket, int64 now);

/* Something after a place is due at a time. */
extern void oss_dispatch_note_skipped(DispatchLane *lane, const OssPlace *place,
									  TimestampTz at);

/*
 * Is one of the pauses that of a lane, or of a role in it, or of a directory in
 * which key is?
 */
extern bool oss_dispatch_is_paused(List *pauses, const DispatchLane *lane, Oid role,
								   const char *key);

/* List the directories of a lane that are paused. */
extern List *oss_dispatch_paused_directories(List *pauses, const DispatchLane *lane, Oid role);

/* Free a job. */
extern void oss_dispatch_free_job(OssJob *job);

#endif							/* OSS_LANE_H */
