/*-------------------------------------------------------------------------
 * blocked.h
 *	  Dispatching: answers that can't be stored now, as another
 *	  transaction has locked something, or as they are refused.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BLOCKED_H
#define OSS_BLOCKED_H

#include "dispatch/dispatcher.h"

extern void oss_dispatch_hand_over(OssDispatcher *dispatcher, OssJob *job, double ms,
								   const char *message);
extern void oss_dispatch_block(OssDispatcher *dispatcher, OssJob *job);
extern void oss_dispatch_retry_blocked(OssDispatcher *dispatcher, int64 now);
extern void oss_dispatch_note_blocked(OssDispatcher *dispatcher);

#endif							/* OSS_BLOCKED_H */
