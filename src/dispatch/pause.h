/*-------------------------------------------------------------------------
 * pause.h
 *	  Dispatching, in a transaction: pausing what is not set up.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCH_PAUSE_H
#define OSS_DISPATCH_PAUSE_H

#include "dispatch/dispatcher.h"

extern int	oss_dispatch_log_level(Oid requester);
extern void oss_dispatch_pause(OssJob *job);

#endif							/* OSS_DISPATCH_PAUSE_H */
