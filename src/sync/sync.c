/*-------------------------------------------------------------------------
 * sync.c
 *	  Whole buckets in step: the listings of the syncs that are due.
 *
 * The row of a sync has its state; this file only has the listing that continues
 * from its cursor.  After a crash or an error, a new listing continues there.
 * Each sync has at most one page asked for, and none while many of its jobs wait.
 */
#include "postgres.h"

#include "client/http.h"
#include "client/listing.h"
#include "client/utf8.h"
#include "miscadmin.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "sync/sync.h"
#include "sync/sync_row.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* No page is requested while this many jobs of a sync wait. */
#define MOST_JOBS 5000

/*
 * How often to check a sync that waits for its jobs, and how often to read all
 * syncs.
 */
#define LOOK_US INT64CONST(200000)
#define SCAN_US INT64CONST(5000000)

/* First wait after a listing that failed; it doubles. */
#define PUT_OFF_S 1

/* A sync that is due.  Times are those of oss_clock_us(). */
typedef struct Sync
{
	int64		id;
	MemoryContext context;
	OssListing *listing;		/* NULL: none is begun */
	OssServer  *server;			/* of the listing */
	int32		round;			/* of the listing, these two */
	char	   *position;		/* key after which its next page begins, or
								 * NULL */
	int64		requests;		/* of the listing that are counted */
	bool		asks;			/* request a page after the commit */
	bool		asked;			/* a page was requested */
	bool		read;			/* in the open transaction */
	int64		look_at;		/* next step */
	bool		cut;			/* max_requests ended within its last page */
	bool		waits;			/* for its jobs, or a pause */
	int64		settled;		/* jobs settled when it was last looked at */
	bool		listed;			/* by the last scan */
} Sync;

struct OssSyncs
{
	MemoryContext context;
	const char *only_server;
	int64		token;
	List	   *syncs;			/* in turn */
	int64		scan_at;
	TimestampTz next_due;
};

OssSyncs *
oss_syncs_create(MemoryContext parent, const char *only_server, int64 token)
{
	OssSyncs   *syncs = MemoryContextAllocZero(parent, sizeof(OssSyncs));

	syncs->context = parent;
	syncs->only_server = only_server;
	syncs->token = token;
	return syncs;
}

void
oss_syncs_wake(OssSyncs *syncs)
{
	syncs->scan_at = 0;
}

/* End the listing of a sync. */
static void
drop_listing(Sync *sync)
{
	if (sync->listing)
		oss_listing_end(sync->listing);
	sync->listing = NULL;
	sync->asks = sync->asked = sync->read = false;
	sync->requests = 0;
	MemoryContextReset(sync->context);
	sync->position = NULL;
}

/* Has the requested page arrived? */
static bool
has_come(const Sync *sync)
{
	return sync->asked && oss_listing_turn(sync->listing) != OSS_LISTING_PENDING;
}

bool
oss_syncs_pending(const OssSyncs *syncs)
{
	foreach_ptr(Sync, sync, syncs->syncs)
	{
		if (sync->asked)
			return true;
	}
	return false;
}

long
oss_syncs_due(OssSyncs *syncs)
{
	int64		now = oss_clock_us();
	long		ms = oss_wait_until(-1, now, syncs->scan_at);

	foreach_ptr(Sync, sync, syncs->syncs)
	{
		if (sync->look_at > now || !sync->asked || has_come(sync))
			ms = oss_wait_until(ms, now, sync->look_at);
	}
	return ms;
}

bool
oss_syncs_busy(OssSyncs *syncs, int64 settled)
{
	bool		busy = syncs->scan_at == 0;

	foreach_ptr(Sync, sync, syncs->syncs)
	{
		if (sync->waits && sync->settled != settled)
			sync->look_at = 0;
		busy |= sync->asked || !sync->waits || sync->look_at == 0;
	}
	return busy;
}

TimestampTz
oss_syncs_next(const OssSyncs *syncs)
{
	return syncs->next_due;
}

/* Read which syncs are due. */
static void
scan_syncs(OssSyncs *syncs, int64 now)
{
	List	   *due = oss_sync_due(syncs->only_server, &syncs->next_due);
	MemoryContext old = MemoryContextSwitchTo(syncs->context);
	List	   *left = NIL;

	syncs->scan_at = now + SCAN_US;
	if (syncs->next_due != 0)
		syncs->scan_at = Min(syncs->scan_at,
							 now + Max(syncs->next_due - GetCurrentTimestamp(), 0));
	foreach_ptr(Sync, sync, syncs->syncs)
		sync->listed = false;
	foreach_ptr(int64, id, due)
	{
		Sync	   *known = NULL;

		foreach_ptr(Sync, sync, syncs->syncs)
		{
			if (sync->id == *id)
				known = sync;
		}
		if (known == NULL)
		{
			known = palloc0(sizeof(Sync));
			known->id = *id;
			known->context = AllocSetContextCreate(syncs->context, "oss_labels sync",
												   ALLOCSET_SMALL_SIZES);
			syncs->syncs = lappend(syncs->syncs, known);
		}
		known->listed = true;
		known->look_at = 0;
	}
	foreach_ptr(Sync, sync, syncs->syncs)
	{
		if (sync->listed)
		{
			left = lappend(left, sync);
			continue;
		}
		drop_listing(sync);
		MemoryContextDelete(sync->context);
		pfree(sync);
	}
	list_free(syncs->syncs);
	syncs->syncs = left;
	MemoryContextSwitchTo(old);
}

/* Return the attempts of a listing that are not counted yet, and count them. */
static int64
count_requests(Sync *sync)
{
	int64		requests = sync->listing ? oss_listing_requests(sync->listing) : 0;
	int64		more = requests - sync->requests;

	sync->requests = requests;
	return more;
}

/* Let a sync wait: for its jobs, or for others. */
static void
wait_a_while(Sync *sync, int64 settled, int64 us)
{
	sync->waits = true;
	sync->settled = settled;
	sync->look_at = oss_clock_us() + us;
}

/* Remove a sync that has ended, or waits for long, from the list. */
static void
leave(OssSyncs *syncs, Sync *sync)
{
	drop_listing(sync);
	sync->waits = true;
	sync->look_at = oss_clock_us() + SCAN_US;
	syncs->scan_at = Min(syncs->scan_at, oss_clock_us() + LOOK_US);
}

/* Stop a sync because of an error, or defer it if the error may pass. */
static void
take_failure(OssSyncs *syncs, Sync *sync, bool passes, const char *reason)
{
	int64		requests = count_requests(sync);

	elog(DEBUG1, "oss_labels: sync " INT64_FORMAT " is %s: %s", sync->id,
		 passes ? "put off" : "stopped", reason);
	if (passes)
		oss_sync_put_off(sync->id, requests, PUT_OFF_S, reason);
	else
		oss_sync_stop(sync->id, requests, false, reason);
	leave(syncs, sync);
}

/* Begin the listing of a sync at its cursor.  Errors: those of oss_server_get(). */
static void
begin_listing(Sync *sync, const OssSyncRow *row)
{
	OssListSpec spec = {
		.bucket = oss_utf8(row->bucket),
		.prefix = oss_utf8(row->prefix),
		.start_after = oss_utf8(row->cursor),
		.queued = true
	};
	const OssFailure *failure;

	spec.server = oss_server_get(row->server, row->role);
	failure = oss_list_failure(&spec);
	if (failure)
		oss_failure_throw(failure);
	sync->server = spec.server;
	sync->listing = oss_listing_begin(sync->context, &spec);
	sync->round = row->round;
	sync->position = row->cursor ? MemoryContextStrdup(sync->context, row->cursor) : NULL;
}

/* Does the listing belong to the present round, at its cursor? */
static bool
is_in_place(const Sync *sync, const OssSyncRow *row)
{
	return sync->round == row->round &&
		(sync->position == NULL) == (row->cursor == NULL) &&
		(row->cursor == NULL || strcmp(sync->position, row->cursor) == 0) &&
		oss_server_is_current(sync->server);
}

/*
 * Settle the page that has arrived, and read the row again.  Returns whether it needs
 * another step.
 */
static bool
settle_page(Sync *sync, OssSyncRow *row)
{
	OssSyncPage page = {0};
	bool		due;

	sync->asked = false;
	sync->read = true;
	page.requests = count_requests(sync);
	oss_sync_take_page(row, sync->listing, &page);
	elog(DEBUG1, "oss_labels: sync " INT64_FORMAT " listed %d objects of bucket \"%s\"",
		 sync->id, page.taken, row->bucket);
	sync->cut = page.taken < page.n;
	due = oss_sync_read(sync->id, 0, row);
	if (page.last || sync->cut || !due)
	{
		drop_listing(sync);
		return due;
	}
	if (sync->position)
		pfree(sync->position);
	sync->position = row->cursor ? MemoryContextStrdup(sync->context, row->cursor) : NULL;
	return true;
}

/* Request a page, unless the jobs, a pause or max_requests forbid it. */
static void
ask_or_wait(OssSyncs *syncs, Sync *sync, const OssSyncRow *row, int64 settled)
{
	bool		spent = sync->cut && row->room == 0;

	if (spent && row->jobs == 0)
	{
		oss_sync_stop(row->id, count_requests(sync), true,
					  "max_requests are spent; resume_sync() with a higher limit goes on");
		leave(syncs, sync);
	}
	else if (row->paused || spent || row->jobs >= MOST_JOBS)
	{
		oss_sync_lease(row->id, 0);
		wait_a_while(sync, settled, row->paused ? SCAN_US : LOOK_US);
	}
	else
	{
		if (sync->listing == NULL)
			begin_listing(sync, row);
		oss_sync_lease(row->id, syncs->token);
		sync->asks = true;
		sync->waits = false;
	}
}

/* A step of a sync that is to be listed. */
static void
step_listing(OssSyncs *syncs, Sync *sync, OssSyncRow *row, int64 settled)
{
	bool		come = has_come(sync);

	if (sync->listing && !is_in_place(sync, row))
	{
		drop_listing(sync);
		come = false;
	}
	if (come && oss_listing_turn(sync->listing) == OSS_LISTING_FAILED)
	{
		const OssFailure *failure = oss_listing_failure(sync->listing);

		take_failure(syncs, sync, failure->retry != OSS_RETRY_NEVER,
					 failure->detail ? psprintf("%s: %s", failure->message, failure->detail) :
					 failure->message);
		return;
	}
	if (come && oss_listing_turn(sync->listing) == OSS_LISTING_PAGE)
	{
		if (!settle_page(sync, row) || row->phase != OSS_SYNC_LISTING)
		{
			sync->waits = false;
			sync->look_at = 0;
			return;
		}
	}
	if (!sync->asked)
		ask_or_wait(syncs, sync, row, settled);

	/*
	 * the page's jobs are claimed in the next turn: process_queue() goes on
	 * until then
	 */
	if (come && sync->waits && row->jobs > 0)
		sync->look_at = 0;
}

/* Argument of the subtransaction of a step. */
typedef struct Step
{
	OssSyncs   *syncs;
	Sync	   *sync;
	int64		settled;
} Step;

/* Subtransaction: do the next step of a sync. */
static void
step_sync(void *arg)
{
	Step	   *step = arg;
	Sync	   *sync = step->sync;
	OssSyncRow	row;

	if (!oss_sync_read(sync->id, step->syncs->token, &row) || row.taken)
	{
		/* another process has it, or somebody has locked it */
		drop_listing(sync);
		wait_a_while(sync, step->settled, LOOK_US);
		return;
	}
	if (row.tallied)
		oss_sync_add_tallies(row.id);
	if (row.phase != OSS_SYNC_TAGGING && (!OidIsValid(row.role) || !row.allowed))
	{
		oss_sync_stop(row.id, count_requests(sync), true, !OidIsValid(row.role) ?
					  "its role does not exist any more" :
					  "its role may not use the server, or not call sync_bucket(), any more");
		leave(step->syncs, sync);
		return;
	}
	if (row.phase == OSS_SYNC_TO_BEGIN)
	{
		drop_listing(sync);
		oss_sync_begin_round(row.id);
		if (!oss_sync_read(row.id, step->syncs->token, &row))
			return;
	}
	switch (row.phase)
	{
		case OSS_SYNC_LISTING:
			step_listing(step->syncs, sync, &row, step->settled);
			break;
		case OSS_SYNC_FORGETTING:
			if (!row.forgets || oss_sync_forget(&row))
				oss_sync_end_listing(row.id);
			sync->waits = false;
			sync->look_at = 0;
			break;
		case OSS_SYNC_TAGGING:
			if (row.jobs > 0)
				wait_a_while(sync, step->settled, LOOK_US);
			else
			{
				oss_sync_finish(row.id);
				leave(step->syncs, sync);
			}
			break;
		case OSS_SYNC_TO_BEGIN:
			break;
	}
}

/* What a step failed with. */
typedef struct StepFailure
{
	Step	   *step;
	bool		passes;
	const char *reason;
} StepFailure;

/* Subtransaction: write that a step failed. */
static void
write_failure(void *arg)
{
	StepFailure *failure = arg;

	take_failure(failure->step->syncs, failure->step->sync, failure->passes, failure->reason);
}

/* Handle an error of a step.  That it cannot be written must not hold up the others. */
static void
take_error(Step *step, ErrorData *error)
{
	Sync	   *sync = step->sync;
	bool		passes = oss_error_is_wait(error) || oss_error_is_trouble(error);

	if (oss_error_is_interrupt(error))
		ReThrowError(error);
	ereport(passes ? DEBUG1 : LOG,
			(errcode(error->sqlerrcode),
			 errmsg("oss_labels could not go on with sync " INT64_FORMAT ": %s", sync->id,
					error->message)));
	if (oss_error_is_wait(error))
	{
		drop_listing(sync);
		wait_a_while(sync, step->settled, LOOK_US);
	}
	else
	{
		StepFailure failure = {step, passes, error->message};
		ErrorData  *other = oss_subtransaction(write_failure, &failure);

		if (other == NULL)
			return;
		if (oss_error_is_interrupt(other))
			ReThrowError(other);
		FreeErrorData(other);
		drop_listing(sync);
		wait_a_while(sync, step->settled, SCAN_US);
	}
}

/* Lock the tables; false if another session has locked one. */
static bool
lock_tables(void)
{
	static const char *const tables[] = {"sync", "sync_tally", "sync_missing", "label_correction"};

	return oss_own_tables_lock(tables, lengthof(tables)) == NULL;
}

bool
oss_syncs_step(OssSyncs *syncs, int64 settled)
{
	int64		now = oss_clock_us();
	List	   *order;
	bool		page = false;

	if (!lock_tables())
	{
		/* try again; what has come stays */
		foreach_ptr(Sync, sync, syncs->syncs)
			wait_a_while(sync, settled, LOOK_US);
		syncs->scan_at = Max(syncs->scan_at, now + LOOK_US);
		return false;
	}
	if (now >= syncs->scan_at)
		scan_syncs(syncs, now);
	order = list_copy(syncs->syncs);
	foreach_ptr(Sync, sync, order)
	{
		Step		step = {syncs, sync, settled};
		bool		come = sync->look_at <= now && has_come(sync);
		ErrorData  *error;

		/* one page a turn, so that other jobs do not wait */
		if (sync->look_at > now || (come ? page : sync->asked))
			continue;
		page |= come;
		if (come)
		{
			MemoryContext old = MemoryContextSwitchTo(syncs->context);

			syncs->syncs = lappend(list_delete_ptr(syncs->syncs, sync), sync);
			MemoryContextSwitchTo(old);
		}
		error = oss_subtransaction(step_sync, &step);
		if (error)
			take_error(&step, error);
	}
	return page;
}

void
oss_syncs_end(OssSyncs *syncs, bool committed)
{
	foreach_ptr(Sync, sync, syncs->syncs)
	{
		if (!committed && (sync->read || sync->asks))
			drop_listing(sync);
		sync->read = false;
		if (!committed)
			wait_a_while(sync, -1, LOOK_US);
		if (!sync->asks)
			continue;
		sync->asks = false;
		oss_listing_ask(sync->listing);
		sync->asked = true;
		sync->look_at = 0;
	}
}

void
oss_syncs_stop(OssSyncs *syncs)
{
	foreach_ptr(Sync, sync, syncs->syncs)
	{
		drop_listing(sync);
		wait_a_while(sync, -1, SCAN_US);
	}
}
