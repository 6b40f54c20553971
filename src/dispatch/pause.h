/*-------------------------------------------------------------------------
 * pause.h
 *	  Dispatching, in a transaction: pausing what is not set up.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCH_PAUSE_H
#define OSS_DISPATCH_PAUSE_H

#include "dispatch/dispatcher.h"

/*
 * Return the log level of a message about a job: a session that works on other
 * roles' jobs must not see their keys.
 */
extern int	oss_dispatch_log_level(Oid requester);

/*
 * Pause the scope of a job's failure.  Every role with paused jobs sees the
 * reason, so that of a pause for all names no object.
 */
extern void oss_dispatch_pause(OssJob *job);

#endif							/* OSS_DISPATCH_PAUSE_H */
