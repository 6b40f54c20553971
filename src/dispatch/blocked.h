/*-------------------------------------------------------------------------
 * blocked.h
 *	  Dispatching: answers that can't be stored now, as another
 *	  transaction has locked something, or as they are refused.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BLOCKED_H
#define OSS_BLOCKED_H

#include "dispatch/dispatcher.h"

/*
 * Leave a job to other processes, due after ms, with its
 * answer if it has one.  With a message it has lost an attempt.
 */
extern void oss_dispatch_hand_over(OssDispatcher *dispatcher, OssJob *job, double ms,
								   const char *message);

/*
 * Set aside a job that can't be stored now; take back those
 * whose time has come; say what is set aside.
 */
extern void oss_dispatch_block(OssDispatcher *dispatcher, OssJob *job);
extern void oss_dispatch_retry_blocked(OssDispatcher *dispatcher, int64 now);
extern void oss_dispatch_note_blocked(OssDispatcher *dispatcher);

#endif							/* OSS_BLOCKED_H */
