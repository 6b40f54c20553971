/*-------------------------------------------------------------------------
 * sync.h
 *	  Whole buckets in step: the listings of the syncs that are due.
 *
 * A dispatcher has one of these.  Its requests are driven by whoever drives the
 * network of the process; its steps are part of the dispatcher's turns.
 *
 *		oss_syncs_due(syncs);				-- when the next step is due
 *		begin; oss_syncs_step(syncs, ...); commit;
 *		oss_syncs_end(syncs, true);			-- asks for pages
 */
#ifndef OSS_SYNC_H
#define OSS_SYNC_H

#include "datatype/timestamp.h"

typedef struct OssSyncs OssSyncs;

/* Make one in parent, for one server unless NULL.  token: of leases. */
extern OssSyncs *oss_syncs_create(MemoryContext parent, const char *only_server, int64 token);

/* Note that there may be new syncs, or that pauses have ended. */
extern void oss_syncs_wake(OssSyncs *syncs);

/* Return in how many ms a step is due, -1: none.  Never waits. */
extern long oss_syncs_due(OssSyncs *syncs);

/* Is a page requested that has not arrived? */
extern bool oss_syncs_pending(const OssSyncs *syncs);

/*
 * Is there more to do that depends on nothing but time?  settled: jobs that the
 * dispatcher has settled so far: a sync that waited for its jobs goes on if there
 * are more than before.
 */
extern bool oss_syncs_busy(OssSyncs *syncs, int64 settled);

/* When the next sync that is not due yet will be, 0: none. */
extern TimestampTz oss_syncs_next(const OssSyncs *syncs);

/*
 * Do the steps that are due, in a transaction, each in a subtransaction: what
 * fails concerns its sync alone.  Returns whether jobs may have been queued.
 */
extern bool oss_syncs_step(OssSyncs *syncs, int64 settled);

/* Note the end of that transaction. */
extern void oss_syncs_end(OssSyncs *syncs, bool committed);

/* Cancel the requests. */
extern void oss_syncs_stop(OssSyncs *syncs);

#endif							/* OSS_SYNC_H */
