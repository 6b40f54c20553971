/*-------------------------------------------------------------------------
 * worker_turn.h
 *	  Transactions of the worker, and their way to the disk.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WORKER_TURN_H
#define OSS_WORKER_TURN_H

#include "dispatch/dispatcher.h"
#include "queue/worker_slot.h"

/* Begin a transaction; commit it, to be flushed within some ms. */
extern void oss_worker_begin(void);
extern void oss_worker_commit(void);

/* Flush what was committed. */
extern void oss_worker_flush(void);

/*
 * Flush if a request that began at start, by oss_clock_us(), may be of a
 * job whose claim is not flushed: should its answer kill the process, the attempt
 * must count.
 */
extern void oss_worker_flush_before(int64 start);

/* Flush if it is time; returns the ms that are left, -1: none. */
extern long oss_worker_flush_due(void);

/*
 * Note whether a table is locked, NULL: none is.  Once one has been for a while, and
 * then now and again, tell the log and return what to show.
 */
extern const char *oss_worker_report_locked(const char *table);

/*
 * Return in how many ms accounts are to be written, -1: there are none.  Begin to do
 * so, if it is time or now: returns false if not; else the caller sets the slot's
 * flag again unless they are written, in a transaction with the tables locked.
 */
extern long oss_worker_accounts_due(OssSlot *slot);
extern bool oss_worker_accounts_begin(OssSlot *slot, bool now);
extern void oss_worker_write_accounts(OssDispatcher *dispatcher);

#endif							/* OSS_WORKER_TURN_H */
