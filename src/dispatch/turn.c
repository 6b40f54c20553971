/*-------------------------------------------------------------------------
 * turn.c
 *	  Draining the queue, the side of the tables: one turn on them, its end,
 *	  and what is to be done now and then.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "client/http.h"
#include "dispatch/dispatch.h"
#include "miscadmin.h"
#include "spi/statement.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define TIDY_US INT64CONST(5000000)
#define RELEASE_US INT64CONST(30000000)

/*
 * How long a turn waits for a lock that it did not expect.  Shorter than any
 * deadlock_timeout in use, so that of two that wait for each other it is not the
 * user's transaction that fails.
 */
#define LOCK_TIMEOUT "20ms"

/* Minutes that failed jobs are kept, 0: for ever. */
int			oss_failed_job_retention = 30 * 24 * 60;

/* Add a job and its followers to an array. */
static int
add_held(OssJob **jobs, int n, OssJob *job)
{
	jobs[n++] = job;
	for (OssJob *j = job->followers; j; j = j->next)
		jobs[n++] = j;
	return n;
}

/* Count the jobs in hand that are to be renewed, at most. */
static int
count_held(const OssDrain *drain)
{
	int			n = drain->nfinished + drain->nblocked;

	for (int i = 0; i < DRAIN_HASH; i++)
		for (OssJob *job = drain->objects[i]; job; job = job->same_hash)
			n += 1 + job->nfollowers;
	return n;
}

/* Add the jobs of a list that are in no table of objects. */
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
renew(OssDrain *drain)
{
	int64		now = http_clock_us();
	OssJob	  **jobs;
	int			n = 0;

	if (now < drain->renew_at)
		return;
	drain->renew_at = now + LEASE_MS * INT64CONST(1000) / 3;
	jobs = palloc(sizeof(OssJob *) * Max(count_held(drain), 1));
	for (int i = 0; i < DRAIN_HASH; i++)
		for (OssJob *job = drain->objects[i]; job; job = job->same_hash)
			n = add_held(jobs, n, job);
	n = add_listed(jobs, n, &drain->finished);
	n = add_listed(jobs, n, &drain->blocked);
	if (n > 0)
		oss_job_renew(jobs, n, drain->token,
					  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LEASE_MS));
}

/* Do what is to be done now and then. */
static void
tidy(OssDrain *drain)
{
	int64		now = http_clock_us();

	if (now < drain->tidy_at && !(drain->halted && drain->woken))
		return;
	drain->tidy_at = now + TIDY_US;
	if (oss_pause_expire() > 0)
		drain->woken = true;

	if (now >= drain->mend_at)
	{
		drain->mend_at = now + RELEASE_US;
		if (oss_job_mend_times() > 0)
			drain->woken = true;
	}

	/* such as those of a dump that was restored after we started */
	if (!oss_drain_busy(drain) && now >= drain->release_at)
	{
		drain->release_at = now + RELEASE_US;
		if (oss_job_release_dead(drain->token) > 0)
			drain->woken = true;
	}
	if (oss_failed_job_retention > 0 &&
		oss_job_forget_failed(oss_failed_job_retention, 1000) == 1000)
		drain->tidy_at = now;
}

/* Lock the tables that a turn uses. */
bool
oss_drain_lock_tables(void)
{
	static const char *const tables[] = {"job", "failed_job", "halted",
	"image", "image_label", "known_label"};
	Oid			schema = get_namespace_oid("oss_labels", true);

	for (int i = 0; i < lengthof(tables); i++)
	{
		Oid			table = get_relname_relid(tables[i], schema);

		if (!OidIsValid(table) ||
			!ConditionalLockRelationOid(table, RowExclusiveLock))
			return false;
	}
	return true;
}

/* Settle what is finished and claim as much as can be started soon. */
void
oss_drain_tables(OssDrain *drain)
{
	int64		start = http_clock_us();
	MemoryContext old = MemoryContextSwitchTo(drain->turn);
	bool		look = drain->woken || start >= drain->scan_at;
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	oss_drain_settle(drain);
	if (!drain->stopping)
	{
		oss_drain_glance(drain);
		tidy(drain);
		if (look || drain->obey)
			oss_drain_obey_pauses(drain);
		oss_drain_check_ready(drain);
		oss_drain_shrink(drain);
		oss_drain_claim(drain);
		renew(drain);
	}
	oss_statement_end(&state);
	MemoryContextSwitchTo(old);
	drain->turned_at = http_clock_us();
	drain->tables_ms = (drain->turned_at - start) / 1000.0;
}

/*
 * Let servers go on whose pauses are all written, and obeyed.  Another job may
 * have been refused while that was done.
 */
static void
end_pausing(OssDrain *drain)
{
	ListCell   *cell;
	dlist_iter	iter;
	bool		any = false;

	foreach(cell, drain->servers)
	{
		DrainServer *server = lfirst(cell);

		any |= server->pausing;
		server->pausing = false;
	}
	if (!any)
		return;
	dlist_foreach(iter, &drain->finished)
	{
		const OssJob *job = dlist_container(OssJob, node, iter.cur);

		if (job->pause != OSS_SCOPE_IMAGE)
			job->lane->bucket->server->pausing = true;
	}
}

/*
 * What was stored of jobs that are still to be deleted is there to stay, or is
 * not there.
 */
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

/* The transaction committed: let go of what is settled, take what is claimed. */
void
oss_drain_commit(OssDrain *drain)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &drain->settled)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);
		OssJob	   *next;

		dlist_delete(&job->node);
		oss_drain_forget(drain, job);
		for (OssJob *j = job->followers; j; j = next)
		{
			next = j->next;
			oss_drain_free_job(j);
		}
		oss_drain_free_job(job);
	}
	end_storing(&drain->finished, true);
	end_storing(&drain->blocked, true);
	end_pausing(drain);
	oss_drain_hand_out(drain);
	MemoryContextReset(drain->turn);
}

/* The transaction was aborted: what it did is to be done again. */
void
oss_drain_abort(OssDrain *drain)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &drain->settled)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		dlist_push_tail(&drain->finished, &job->node);
		drain->nfinished++;
	}
	end_storing(&drain->finished, false);
	end_storing(&drain->blocked, false);
	dlist_foreach_modify(iter, &drain->claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		drain->budget++;
		oss_drain_free_job(job);
	}
	drain->scan_at = 0;
	oss_drain_wake(drain);
	MemoryContextReset(drain->turn);
}
