/*-------------------------------------------------------------------------
 * turn.h
 *	  Dispatching: one turn on the tables, its end, and what is done on them
 *	  from time to time.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TURN_H
#define OSS_TURN_H

#include "dispatch/dispatcher.h"

/*
 * Lock the tables that a dispatcher's next turn uses (NULL: all), in its
 * transaction.  Returns NULL, or the name of one that can't be locked without
 * waiting, or is not there.
 */
extern const char *oss_dispatch_lock_tables(const OssDispatcher *dispatcher);

/* Settle what is finished and claim as much as can be started soon. */
extern void oss_dispatch_tables(OssDispatcher *dispatcher);

/* The transaction of oss_dispatch_tables() committed, or did not. */
extern void oss_dispatch_commit(OssDispatcher *dispatcher);
extern void oss_dispatch_abort(OssDispatcher *dispatcher);

/* Settings. */
extern int	oss_failed_job_retention;

#endif							/* OSS_TURN_H */
