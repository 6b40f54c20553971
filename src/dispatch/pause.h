/*-------------------------------------------------------------------------
 * pause.h
 *	  Dispatching, in a transaction: pausing after failures of the set-up.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCH_PAUSE_H
#define OSS_DISPATCH_PAUSE_H

#include "dispatch/dispatcher.h"

/*
 * Return the log level of a message about a role's job: a session that processes
 * other roles' jobs must not see their keys.
 */
extern int	oss_dispatch_log_level(Oid requester);

/*
 * Pause the scope of a job's failure.  If that is not one requester's, the reason
 * names no object, since all roles with paused jobs can see it.
 */
extern void oss_dispatch_pause(OssJob *job);

#endif							/* OSS_DISPATCH_PAUSE_H */
