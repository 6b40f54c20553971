/*-------------------------------------------------------------------------
 * settle.h
 *	  Dispatching, in a transaction: settling.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SETTLE_H
#define OSS_SETTLE_H

#include "dispatch/dispatcher.h"

/* Settle the finished jobs. */
extern void oss_dispatch_settle(OssDispatcher *dispatcher);

#endif							/* OSS_SETTLE_H */
