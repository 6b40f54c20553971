/*-------------------------------------------------------------------------
 * dispatch.h
 *	  Dispatching, without a transaction: requests are started one by
 *	  one as others end, and each answer gets a verdict.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCH_H
#define OSS_DISPATCH_H

#include "dispatch/dispatcher.h"

/*
 * Create a dispatcher in a child of parent.  It claims only jobs of the
 * server, unless NULL, and at most budget jobs, unless -1.
 */
extern OssDispatcher *oss_dispatch_create(MemoryContext parent, const char *only_server,
										  int64 budget);

/*
 * Start requests, wait up to timeout_ms (-1: no limit) for answers or the
 * latch, and handle the answers.  May throw for interrupts.
 */
extern void oss_dispatch_network(OssDispatcher *dispatcher, long timeout_ms);

/*
 * Handle the answers that have come and start more requests, without waiting,
 * in the middle of a long turn.
 */
extern void oss_dispatch_poll(OssDispatcher *dispatcher);

/* Return in how many ms the next turn is due, -1: not until woken. */
extern long oss_dispatch_tables_due(OssDispatcher *dispatcher);

/* Note that jobs may have been enqueued, or pauses changed. */
extern void oss_dispatch_wake(OssDispatcher *dispatcher);

/* Is a job in hand? */
extern bool oss_dispatch_busy(const OssDispatcher *dispatcher);

/* Is there a job that is not in hand only because the service delays it? */
extern bool oss_dispatch_awaits(const OssDispatcher *dispatcher);

/* Are jobs in hand whose answers are paid for, or on their way? */
extern bool oss_dispatch_holds_answers(const OssDispatcher *dispatcher);

/*
 * Stop: claim and start nothing more, and give back jobs that have not
 * started.  The next turn writes them.
 */
extern void oss_dispatch_stop(OssDispatcher *dispatcher);

/*
 * Handle the answers that have come and cancel the other requests.  A request
 * that was sent may have been paid for: its attempt counts.
 */
extern void oss_dispatch_cancel(OssDispatcher *dispatcher);

/*
 * Hand over to other processes the answers that could not be stored: the next
 * turn writes them into the jobs' rows.
 */
extern void oss_dispatch_hand_over_all(OssDispatcher *dispatcher);

#endif							/* OSS_DISPATCH_H */
