/*-------------------------------------------------------------------------
 * dispatch.h
 *	  Dispatching, without a transaction: requests are started one by
 *	  one as others end, and each answer gets a verdict.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCH_H
#define OSS_DISPATCH_H

#include "dispatch/dispatcher.h"

/* Make a dispatcher in a child of parent; budget -1 has no limit. */
extern OssDispatcher *oss_dispatch_create(MemoryContext parent, const char *only_server,
										  int64 budget);

/*
 * Start what may be started, wait up to timeout_ms (-1: no limit) for answers
 * or the latch, and take the answers.  May throw for interrupts.
 */
extern void oss_dispatch_network(OssDispatcher *dispatcher, long timeout_ms);

/* Take answers without waiting, in the middle of oss_dispatch_tables(). */
extern void oss_dispatch_poll(OssDispatcher *dispatcher);

/* For how many ms oss_dispatch_tables() is not wanted; -1: until woken. */
extern long oss_dispatch_tables_due(OssDispatcher *dispatcher);

/* Something was enqueued or changed. */
extern void oss_dispatch_wake(OssDispatcher *dispatcher);

/* Is a job in hand? */
extern bool oss_dispatch_busy(const OssDispatcher *dispatcher);

/* Is a job not in hand for no other reason than that the service wants it later? */
extern bool oss_dispatch_awaits(const OssDispatcher *dispatcher);

/* Are jobs in hand whose answers are paid for, or on their way? */
extern bool oss_dispatch_holds_answers(const OssDispatcher *dispatcher);

/*
 * Stop, in two steps: claim and start nothing more; then, when there was time
 * enough for the answers under way, cancel what is still in flight.  The next
 * oss_dispatch_tables() writes what is given back.
 */
extern void oss_dispatch_stop(OssDispatcher *dispatcher);
extern void oss_dispatch_cancel(OssDispatcher *dispatcher);

/*
 * A third step, when not all could be stored in time: the next
 * oss_dispatch_tables() puts the other answers into the rows of their jobs, where
 * other processes find them.
 */
extern void oss_dispatch_hand_over_all(OssDispatcher *dispatcher);

#endif							/* OSS_DISPATCH_H */
