/*-------------------------------------------------------------------------
 * turn.h
 *	  Dispatching: one turn on the tables, its end, and what is done on them
 *	  from time to time.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TURN_H
#define OSS_TURN_H

#include "dispatch/dispatcher.h"

extern const char *oss_dispatch_lock_tables(const OssDispatcher *dispatcher);
extern void oss_dispatch_tables(OssDispatcher *dispatcher);
extern void oss_dispatch_commit(OssDispatcher *dispatcher);
extern void oss_dispatch_abort(OssDispatcher *dispatcher);
extern int	oss_failed_job_retention;

#endif							/* OSS_TURN_H */
