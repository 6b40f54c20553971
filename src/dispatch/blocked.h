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
 * Hand a job that cannot be settled here over to other processes, due after
 * ms.  Its answer is written into its row, so that it is not asked for again.
 * Followers are due a second later, after it was claimed, and follow it again.
 * With a message it has lost an attempt.
 */
extern void oss_dispatch_hand_over(OssDispatcher *dispatcher, OssJob *job, double ms,
								   const char *message);

/* Move a job to the blocked ones, to be settled later. */
extern void oss_dispatch_block(OssDispatcher *dispatcher, OssJob *job);

/* Move blocked jobs whose wait is over back to the finished ones. */
extern void oss_dispatch_retry_blocked(OssDispatcher *dispatcher, int64 now);

/* Report blocked jobs and schedule their next try. */
extern void oss_dispatch_note_blocked(OssDispatcher *dispatcher);

#endif							/* OSS_BLOCKED_H */
