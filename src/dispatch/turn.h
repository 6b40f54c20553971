/*-------------------------------------------------------------------------
 * turn.h
 *	  Dispatching: one turn, its end, and upkeep of the tables.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TURN_H
#define OSS_TURN_H

#include "dispatch/dispatcher.h"

/*
 * Lock the tables that a dispatcher's next turn uses (NULL: all), in its
 * transaction.  Returns NULL, or the name of one that cannot be locked without
 * waiting, or does not exist.
 */
extern const char *oss_dispatch_lock_tables(const OssDispatcher *dispatcher);

/*
 * Do a turn in an open transaction: settle finished jobs and claim as many as
 * can be started soon.
 */
extern void oss_dispatch_tables(OssDispatcher *dispatcher);

/* End a turn after its commit: free settled jobs, hand out claimed ones. */
extern void oss_dispatch_commit(OssDispatcher *dispatcher);

/* End a turn after a rollback: its work has to be repeated. */
extern void oss_dispatch_abort(OssDispatcher *dispatcher);

extern int	oss_failed_job_retention;

#endif							/* OSS_TURN_H */
