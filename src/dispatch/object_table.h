/*-------------------------------------------------------------------------
 * object_table.h
 *	  Dispatching: the table of leaders by object, in which jobs for the same
 *	  object find theirs.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_OBJECT_TABLE_H
#define OSS_OBJECT_TABLE_H

#include "dispatch/dispatcher.h"

/* Remove a job from the table, if it is there. */
extern void oss_dispatch_forget(OssDispatcher *dispatcher, OssJob *job);

/* Has the leader of a job that was read as many followers as it may? */
extern bool oss_dispatch_is_crowded(const OssDispatcher *dispatcher, const DispatchLane *lane,
									const OssSeen *seen);

/* Add a leader to the table. */
extern void oss_dispatch_remember(OssDispatcher *dispatcher, OssJob *job);

/* Find the leader whose answer will serve a job, or NULL. */
extern OssJob *oss_dispatch_find_leader(OssDispatcher *dispatcher, OssJob *job);

#endif							/* OSS_OBJECT_TABLE_H */
