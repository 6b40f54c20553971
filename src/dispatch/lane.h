/*-------------------------------------------------------------------------
 * lane.h
 *	  Dispatching: the ready jobs of lanes, which starts next, and limits.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LANE_H
#define OSS_LANE_H

#include "dispatch/dispatcher.h"

/* Add a job to its lane's ready jobs, in the order of claiming. */
extern void oss_dispatch_make_ready(OssDispatcher *dispatcher, OssJob *job);

/* Remove a job from its lane's ready jobs. */
extern void oss_dispatch_unready(OssDispatcher *dispatcher, OssJob *job);

/*
 * Return the job of a server to be started next.  NULL if none may be started;
 * *ms is lowered to the time until one may.
 */
extern OssJob *oss_dispatch_next_ready(DispatchServer *server, int64 now, long *ms);

/* Return how many jobs a lane may claim now. */
extern int	oss_dispatch_room(const OssDispatcher *dispatcher, DispatchLane *lane, int64 now);

/* Return when a lane that may not claim now may, or when to look again. */
extern int64 oss_dispatch_open_at(DispatchLane *lane, int64 now);

/*
 * Give back ready jobs that exceed the rates, which may have been lowered, and
 * all of a held bucket: they would keep other jobs from becoming ready.
 */
extern void oss_dispatch_give_back_excess(OssDispatcher *dispatcher);

/* Count an answer in the rates of a bucket and its server. */
extern void oss_dispatch_count_answer(DispatchBucket *bucket, int64 now);

/* Note that a bucket's endpoint answered. */
extern void oss_dispatch_note_answer(DispatchBucket *bucket, int64 now);

/* Note that a job after a place was skipped, and when it is due. */
extern void oss_dispatch_note_skipped(DispatchLane *lane, const OssPlace *place,
									  TimestampTz at);

/*
 * Does one of the pauses concern the jobs of a role in a lane?  Pauses of a
 * directory count only if the key, unless NULL, is in it.
 */
extern bool oss_dispatch_is_paused(List *pauses, const DispatchLane *lane, Oid role,
								   const char *key);

/*
 * List the paused directories of a lane.  The strings are those of the pauses.
 */
extern List *oss_dispatch_paused_directories(List *pauses, const DispatchLane *lane, Oid role);

/* Free a job in hand. */
extern void oss_dispatch_free_job(OssJob *job);

#endif							/* OSS_LANE_H */
