/*-------------------------------------------------------------------------
 * pause.h
 *	  Dispatching, in a transaction: pausing what is not set up.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCH_PAUSE_H
#define OSS_DISPATCH_PAUSE_H

#include "dispatch/dispatcher.h"

/*
 * The level at which to tell of a job: what a session drains of
 * others is not for its user.
 */
extern int	oss_dispatch_log_level(Oid requester);

/* Pause what a job's failure says is not set up, and tell. */
extern void oss_dispatch_pause(OssJob *job);

#endif							/* OSS_DISPATCH_PAUSE_H */
