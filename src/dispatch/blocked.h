/*-------------------------------------------------------------------------
 * blocked.h
 *	  Dispatching: answers that cannot be stored now, because another
 *	  transaction has locked a row, or because of an error.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BLOCKED_H
#define OSS_BLOCKED_H

#include "dispatch/dispatcher.h"
#include "store/store.h"

/*
 * Hand over a job that cannot be settled to other processes, due after ms.  Its
 * answer is written into its row, so that it is not requested again.  Its
 * followers are due a second later, so that they follow it again.  Unless
 * refunded, the attempt counts.
 */
extern void oss_dispatch_hand_over(OssDispatcher *dispatcher, OssJob *job, double ms,
								   const char *message, bool refund);

/*
 * Show an answer that cannot be stored now to the sessions that wait for it; the
 * same for all finished and blocked jobs.
 */
extern void oss_dispatch_share(OssJob *job);
extern void oss_dispatch_share_unstored(OssDispatcher *dispatcher);

/* Move a job to the blocked ones, to be settled later. */
extern void oss_dispatch_block(OssDispatcher *dispatcher, OssJob *job);

/*
 * Of finished jobs, and the rows to store for them, remove those whose image
 * another transaction is about to forget: they are blocked.  What was forgotten
 * after it was asked for counts as stored.  Returns the number that is left.
 */
extern int	oss_dispatch_drop_forgotten(OssDispatcher *dispatcher, OssJob **jobs,
										OssStoreRow *rows, int n);

/* Move blocked jobs whose wait is over back to the finished ones. */
extern void oss_dispatch_retry_blocked(OssDispatcher *dispatcher, int64 now);

/* Report blocked jobs and schedule their next try. */
extern void oss_dispatch_note_blocked(OssDispatcher *dispatcher);

#endif							/* OSS_BLOCKED_H */
