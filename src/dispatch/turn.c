/*-------------------------------------------------------------------------
 * turn.c
 *	  Dispatching: one turn, its end, and upkeep of the tables.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "dispatch/claim.h"
#include "dispatch/dispatch.h"
#include "dispatch/finished.h"
#include "dispatch/forget_deleted.h"
#include "dispatch/hand_out.h"
#include "dispatch/lane.h"
#include "dispatch/lane_table.h"
#include "dispatch/object_table.h"
#include "dispatch/refusal.h"
#include "dispatch/settle.h"
#include "dispatch/turn.h"
#include "miscadmin.h"
#include "spi/statement.h"
#include "store/forgotten.h"
#include "store/spool.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define TIDY_US INT64CONST(5000000)

/* Images of deleted rows that one turn forgets, at most. */
#define MOST_FORGOTTEN 100
#define RELEASE_US INT64CONST(30000000)

/* The clock was set if its offset to the monotonic one has changed by this. */
#define CLOCK_STEP_US USECS_PER_SEC

/*
 * How long a turn waits for an unexpected lock.  Shorter than any
 * deadlock_timeout in use, so that a deadlock never cancels the user's
 * transaction.
 */
#define LOCK_TIMEOUT "20ms"

/* Minutes for which failed jobs are kept, 0: for ever. */
int			oss_failed_job_retention = 30 * 24 * 60;

#ifdef USE_ASSERT_CHECKING
/* Count and check the jobs of a list. */
static int
check_list(dlist_head *list, bool resting)
{
	int			n = 0;
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		Assert(resting == (job->rest_until != 0));
		Assert(resting == (job->verdict == OSS_VERDICT_NONE));
		n++;
	}
	return n;
}
#endif

/* Check, outside of turns, that each job in hand is in one place. */
static void
check_dispatcher(OssDispatcher *dispatcher)
{
#ifdef USE_ASSERT_CHECKING
	const DispatchHand *hand = &dispatcher->hand;
	int			nready = 0;
	int			in_flight = 0;
	int			nblocked = 0;
	int			njobs = 0;
	int			nfollowers = 0;
	int			ncrowded = 0;
	ListCell   *cell;

	foreach(cell, dispatcher->queue.lanes)
	{
		DispatchLane *lane = lfirst(cell);
		dlist_iter	iter;

		nready += lane->nready;
		in_flight += lane->in_flight;
		nblocked += lane->nblocked;
		njobs += lane->njobs;
		dlist_foreach(iter, &lane->ready)
		{
			OssJob	   *job = dlist_container(OssJob, node, iter.cur);

			Assert(job->lane == lane && job->target != NULL && job->request == NULL);
			Assert(job->verdict == OSS_VERDICT_NONE && job->rest_until == 0);
		}
	}
	if (dispatcher->queue.spool_lane)
	{
		nblocked += dispatcher->queue.spool_lane->nblocked;
		njobs += dispatcher->queue.spool_lane->njobs;
	}
	for (int i = 0; i < DISPATCH_HASH; i++)
	{
		for (OssJob *leader = hand->objects[i]; leader; leader = leader->same_hash)
		{
			int			n = 0;

			Assert(leader->hash % DISPATCH_HASH == i);
			for (OssJob *job = leader->followers; job; job = job->next)
				n++;
			Assert(n == leader->nfollowers);
			nfollowers += n;
			if (n >= OSS_MOST_FOLLOWERS)
				ncrowded++;
		}
	}
	Assert(dlist_is_empty(&dispatcher->hand.claimed));
	Assert(dlist_is_empty(&dispatcher->hand.settled));
	Assert(check_list(&dispatcher->hand.resting, true) == hand->nresting);
	Assert(check_list(&dispatcher->hand.finished, false) == hand->nfinished);
	Assert(check_list(&dispatcher->hand.blocked, false) == hand->nblocked);
	Assert(nready == hand->nready && nblocked == hand->nblocked);
	Assert(in_flight == dispatcher->network.in_flight && ncrowded == hand->ncrowded);
	Assert(njobs == nready + in_flight + hand->nresting + hand->nfinished +
		   hand->nblocked + nfollowers);
#endif
}

/* Add a job and its followers to an array. */
static int
add_in_hand(OssJob **jobs, int n, OssJob *job)
{
	jobs[n++] = job;
	for (OssJob *j = job->followers; j; j = j->next)
		jobs[n++] = j;
	return n;
}

/* Return an upper bound of the jobs in hand whose leases are renewed. */
static int
count_in_hand(const OssDispatcher *dispatcher)
{
	int			n = dispatcher->hand.nfinished + dispatcher->hand.nblocked;

	for (int i = 0; i < DISPATCH_HASH; i++)
		for (OssJob *job = dispatcher->hand.objects[i]; job; job = job->same_hash)
			n += 1 + job->nfollowers;
	return n;
}

/* Add the jobs of a list that are not in the table of objects. */
static int
add_listed(OssJob **jobs, int n, dlist_head *list)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->verdict != OSS_VERDICT_ANSWERED)
			jobs[n++] = job;
	}
	return n;
}

/* Renew the leases of all jobs in hand. */
static void
renew_leases(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	OssJob	  **jobs;
	int			n = 0;

	if (now < dispatcher->upkeep.renew_at)
		return;
	dispatcher->upkeep.renew_at = now + OSS_LEASE_MS * INT64CONST(1000) / 3;
	jobs = palloc(sizeof(OssJob *) * Max(count_in_hand(dispatcher), 1));
	for (int i = 0; i < DISPATCH_HASH; i++)
		for (OssJob *job = dispatcher->hand.objects[i]; job; job = job->same_hash)
			n = add_in_hand(jobs, n, job);
	n = add_listed(jobs, n, &dispatcher->hand.finished);
	n = add_listed(jobs, n, &dispatcher->hand.blocked);
	if (n > 0)
		oss_job_renew(jobs, n, dispatcher->token,
					  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), OSS_LEASE_MS));
}

/*
 * Detect that the clock was set, by comparing it with the monotonic one.  Then
 * read the lanes from the beginning, since new jobs may lie before their places;
 * renew leases, which would end too soon; and correct due times, so that deferred
 * jobs do not wait longer.
 */
static void
check_clock(OssDispatcher *dispatcher)
{
	int64		offset = GetCurrentTimestamp() - oss_clock_us();
	int64		step = dispatcher->claim.clock_offset == 0 ? 0 :
	offset - dispatcher->claim.clock_offset;

	dispatcher->claim.clock_now = offset;
	if (step > -CLOCK_STEP_US && step < CLOCK_STEP_US)
		return;
	elog(DEBUG1, "oss_labels: the clock was set by %.1f s", step / 1e6);
	dispatcher->claim.scan_at = dispatcher->upkeep.renew_at = 0;
	dispatcher->upkeep.tidy_at = dispatcher->upkeep.mend_at = 0;
	dispatcher->claim.put_off_at = 0;
	if (step < 0)
		oss_job_bring_forward(-step);
}

/*
 * Do the upkeep that is due: end pauses, mend times, free leases, delete old
 * failed jobs and notes of forget().
 */
static void
tidy_tables(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	uint64		nended;

	if (now < dispatcher->upkeep.tidy_at && !(dispatcher->upkeep.pauses_exist && dispatcher->claim.woken))
		return;
	dispatcher->upkeep.tidy_at = now + TIDY_US;
	nended = oss_pause_expire();
	if (nended > 0)
	{
		elog(DEBUG1, "oss_labels: " UINT64_FORMAT " pauses have ended", nended);
		dispatcher->claim.woken = true;
	}
	oss_dispatch_try_store(dispatcher);

	if (now >= dispatcher->upkeep.mend_at)
	{
		uint64		mended = oss_job_mend_times();

		dispatcher->upkeep.mend_at = now + RELEASE_US;
		if (mended > 0)
			dispatcher->claim.woken = true;
		if (mended >= OSS_MOST_MENDED)
			dispatcher->upkeep.mend_at = dispatcher->upkeep.tidy_at = now;
		(void) oss_forgotten_expire(10000);
	}

	/* there may be some after a dump was restored into the running database */
	if (!oss_dispatch_busy(dispatcher) && now >= dispatcher->upkeep.release_at)
	{
		dispatcher->upkeep.release_at = now + RELEASE_US;
		if (oss_job_release_dead(dispatcher->token) > 0)
			dispatcher->claim.woken = true;
	}
	if (oss_failed_job_retention > 0 &&
		oss_job_forget_failed(oss_failed_job_retention, 1000) == 1000)
		dispatcher->upkeep.tidy_at = now;
}

const char *
oss_dispatch_lock_tables(const OssDispatcher *dispatcher)
{
	/* job is first: handing answers over needs only that */
	static const char *const tables[] = {"job", "failed_job", "active_pause",
		"image", "image_label", "vocabulary", "forgotten", "deleted_row", "budget_spent",
	"sync_tally"};

	return oss_own_tables_lock(tables, dispatcher && dispatcher->state == DISPATCH_LEAVING ?
							   1 : lengthof(tables));
}

void
oss_dispatch_tables(OssDispatcher *dispatcher)
{
	int64		start = oss_clock_us();
	MemoryContext old = MemoryContextSwitchTo(dispatcher->turn_context);
	bool		look = dispatcher->claim.woken || start >= dispatcher->claim.scan_at;
	bool		more;
	OssStatementState state;

	check_dispatcher(dispatcher);
	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	oss_dispatch_settle(dispatcher);
	if (dispatcher->state == DISPATCH_RUNNING)
	{
		oss_dispatch_poll(dispatcher);
		check_clock(dispatcher);
		tidy_tables(dispatcher);
		if (look || dispatcher->upkeep.pauses_added)
			oss_dispatch_apply_pauses(dispatcher);
		oss_dispatch_check_ready(dispatcher);
		oss_dispatch_give_back_excess(dispatcher);
		renew_leases(dispatcher);
		more = look && oss_forget_deleted(MOST_FORGOTTEN);
		oss_dispatch_claim(dispatcher);
		if (dispatcher->claim.budget > 0)
			more |= oss_syncs_step(dispatcher->syncs, dispatcher->settled);
		dispatcher->claim.woken |= more;
	}
	else if (dispatcher->state == DISPATCH_STOPPING)
		oss_dispatch_try_store(dispatcher);
	oss_statement_end(&state);
	MemoryContextSwitchTo(old);
	dispatcher->turned_at = oss_clock_us();
	dispatcher->tables_ms = (dispatcher->turned_at - start) / 1000.0;
}

/*
 * Let servers start requests again whose pauses are written and applied.
 * Another job may have failed meanwhile.
 */
static void
end_pausing(OssDispatcher *dispatcher)
{
	ListCell   *cell;
	dlist_iter	iter;
	bool		any = false;

	foreach(cell, dispatcher->queue.servers)
	{
		DispatchServer *server = lfirst(cell);

		any |= server->pausing;
		server->pausing = false;
	}
	if (!any)
		return;
	dlist_foreach(iter, &dispatcher->hand.finished)
	{
		const OssJob *job = dlist_container(OssJob, node, iter.cur);

		if (job->pause != OSS_SCOPE_IMAGE)
			job->lane->bucket->server->pausing = true;
	}
}

/* Note whether the answers of jobs that remain in hand were stored. */
static void
end_storing(dlist_head *list, bool committed)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->storing && !committed)
			job->stored = false;
		job->storing = false;
	}
}

void
oss_dispatch_commit(OssDispatcher *dispatcher)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatcher->hand.settled)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);
		OssJob	   *next;

		dlist_delete(&job->node);
		dispatcher->settled++;
		oss_dispatch_forget(dispatcher, job);
		if (job->spooled)
			oss_spool_stored(job->file, job->body_len);
		for (OssJob *j = job->followers; j; j = next)
		{
			next = j->next;
			oss_dispatch_count_free(j, OSS_USAGE_SHARED);
			oss_dispatch_free_job(j);
		}
		oss_dispatch_free_job(job);
	}
	if (dispatcher->claim.clock_now != 0)
		dispatcher->claim.clock_offset = dispatcher->claim.clock_now;
	oss_spool_tell(false);
	end_storing(&dispatcher->hand.finished, true);
	end_storing(&dispatcher->hand.blocked, true);
	end_pausing(dispatcher);
	oss_dispatch_end_resumes(dispatcher, true);
	oss_dispatch_hand_out(dispatcher);
	oss_syncs_end(dispatcher->syncs, true);
	MemoryContextReset(dispatcher->turn_context);
	check_dispatcher(dispatcher);
}

void
oss_dispatch_abort(OssDispatcher *dispatcher)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatcher->hand.settled)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		dlist_push_tail(&dispatcher->hand.finished, &job->node);
		dispatcher->hand.nfinished++;
	}
	end_storing(&dispatcher->hand.finished, false);
	end_storing(&dispatcher->hand.blocked, false);
	dlist_foreach_modify(iter, &dispatcher->hand.claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		dispatcher->claim.budget++;
		oss_dispatch_free_job(job);
	}
	oss_dispatch_end_resumes(dispatcher, false);
	dispatcher->claim.scan_at = 0;
	oss_dispatch_wake(dispatcher);
	oss_syncs_end(dispatcher->syncs, false);
	MemoryContextReset(dispatcher->turn_context);
	check_dispatcher(dispatcher);
}
