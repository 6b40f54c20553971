/*-------------------------------------------------------------------------
 * drain_settle.c
 *	  Draining the queue, the side of the tables: settling, and the turn that
 *	  holds both.
 *
 * What was paid for is not lost: an answer that can't be stored now is kept
 * and tried again, and one that can't be stored at all loses nothing but
 * itself.  Labels are stored in the transaction that deletes the job.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/answer.h"
#include "miscadmin.h"
#include "sql/drain.h"
#include "sql/statement.h"
#include "sql/store.h"
#include "sql/subtransaction.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Jobs that one turn settles at most. */
#define MOST_SETTLED 1024

/* Jobs in the way of which others stand that one turn tries to settle. */
#define MOST_BLOCKED 8

/* How long automatic pauses last when nothing changes. */
#define PAUSE_MINUTES 10

#define TIDY_MS 5000
#define RELEASE_MS 30000

/* Minutes that failed jobs are kept, 0: for ever. */
int			oss_failed_job_retention = 30 * 24 * 60;

/*
 * The jobs that one transaction settles.  deleted has the jobs of done and of
 * answered with their followers.
 */
typedef struct Batch
{
	OssDrain   *drain;
	int			njobs;
	OssJob	  **jobs;
	int			ndeleted;
	OssJob	  **deleted;
	int			nfailed;
	OssJob	  **failed;
	int			nlater;
	OssJob	  **later;
	int			nrows;
	OssStoreRow *rows;
	bool	   *locked;			/* of deleted */
	bool	   *lost;
} Batch;

/* Count a job and its followers. */
static int
count_followers(const OssJob *job)
{
	int			n = 0;

	for (job = job->followers; job; job = job->next)
		n++;
	return n;
}

/* Make room for n jobs and their followers. */
static void
make_batch(Batch *batch, int n, int followers)
{
	memset(batch, 0, sizeof(Batch));
	batch->jobs = palloc(sizeof(OssJob *) * n);
	batch->failed = palloc(sizeof(OssJob *) * n);
	batch->later = palloc(sizeof(OssJob *) * n);
	batch->rows = palloc(sizeof(OssStoreRow) * n);
	batch->deleted = palloc(sizeof(OssJob *) * (n + followers));
	batch->locked = palloc0(sizeof(bool) * (n + followers));
	batch->lost = palloc0(sizeof(bool) * (n + followers));
}

/* Make the row to be stored of an answer; false when it is of no use. */
static bool
make_row(OssJob *job, OssStoreRow *row)
{
	const OssFailure *failure;

	row->response = oss_answer_parse(job->request, &failure);
	if (row->response == NULL)
	{
		oss_job_set_failure(job, failure);
		return false;
	}
	row->bucket = job->bucket;
	row->key = job->key;
	row->version_id = job->version_id;
	row->has_thr = job->has_thr;
	row->thr = job->thr;
	row->tagged_at = job->started_at;
	row->request_id = oss_request_id(job->request);
	return true;
}

/* Is another answer for the same image in the batch? */
static bool
twin_in_batch(const Batch *batch, const OssJob *job)
{
	for (int i = 0; i < batch->njobs; i++)
	{
		const OssJob *other = batch->jobs[i];

		if (other->hash == job->hash && !other->stored &&
			other->verdict == OSS_VERDICT_ANSWERED &&
			strcmp(other->key, job->key) == 0 &&
			strcmp(other->bucket, job->bucket) == 0)
			return true;
	}
	return false;
}

/* Add a job to the batch. */
static void
add_to_batch(Batch *batch, OssJob *job)
{
	batch->jobs[batch->njobs++] = job;
	switch (job->verdict)
	{
		case OSS_VERDICT_ANSWERED:
			for (OssJob *j = job->followers; j; j = j->next)
				batch->deleted[batch->ndeleted++] = j;
			batch->deleted[batch->ndeleted++] = job;
			break;
		case OSS_VERDICT_DONE:
			batch->deleted[batch->ndeleted++] = job;
			break;
		case OSS_VERDICT_FAILED:
			batch->failed[batch->nfailed++] = job;
			break;
		case OSS_VERDICT_LATER:
		case OSS_VERDICT_NONE:
			batch->later[batch->nlater++] = job;
			break;
	}
}

/* Collect what is finished into a batch; jobs leave the list of finished. */
static void
collect(OssDrain *drain, Batch *batch)
{
	dlist_mutable_iter iter;
	int			n = 0;
	int			followers = 0;

	dlist_foreach_modify(iter, &drain->finished)
	{
		if (n++ < MOST_SETTLED)
			followers += count_followers(dlist_container(OssJob, node, iter.cur));
	}
	n = Min(n, MOST_SETTLED);
	make_batch(batch, n, followers);
	dlist_foreach_modify(iter, &drain->finished)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (n-- == 0)
			break;
		if (job->verdict == OSS_VERDICT_ANSWERED && !job->stored)
		{
			if (twin_in_batch(batch, job))
				continue;
			if (!make_row(job, &batch->rows[batch->nrows]))
			{
				dlist_delete(&job->node);
				drain->nfinished--;
				oss_drain_finish(drain, job, OSS_VERDICT_FAILED);
				continue;
			}
			batch->nrows++;
		}
		dlist_delete(&job->node);
		drain->nfinished--;
		add_to_batch(batch, job);
	}
}

/* Write a batch. */
static void
write_batch(void *arg)
{
	Batch	   *batch = arg;
	OssDrain   *drain = batch->drain;

	oss_job_delete(batch->deleted, batch->ndeleted, drain->token,
				   batch->locked, batch->lost);

	/* half of the work is done: see to those that wait for the rest */
	oss_drain_glance(drain);
	oss_store_write(batch->rows, batch->nrows);
	oss_job_fail(batch->failed, batch->nfailed, drain->token);
	oss_job_put_back(batch->later, batch->nlater, drain->token);
	for (int i = 0; i < batch->nlater; i++)
	{
		OssJob	   *job = batch->later[i];

		if (job->pause == OSS_SCOPE_IMAGE)
			continue;

		/* what was refused as it is no longer says nothing of what it is */
		if (job->target == NULL || oss_server_is_current(job->target))
			oss_drain_pause(job);
		drain->obey = true;
	}
}

/* Write a batch in a subtransaction; returns the error when it fails. */
static ErrorData *
try_batch(OssDrain *drain, Batch *batch)
{
	batch->drain = drain;
	return oss_subtransaction(write_batch, batch);
}

/* Is an error the fault of what is stored, not of the moment? */
static bool
blames_data(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_PLPGSQL_ERROR:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_TRIGGERED_ACTION_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			return true;
		default:
			return false;
	}
}

/* Is somebody else changing the row of a job that was to be deleted? */
static bool
is_locked(const Batch *batch, const OssJob *job)
{
	for (int i = 0; i < batch->ndeleted; i++)
	{
		if (batch->deleted[i] == job)
			return batch->locked[i];
	}
	return false;
}

/*
 * Rest before what others stand in the way of is tried again.  When more is
 * waiting than one turn settles, that goes on: the blocked ones come last.
 */
static void
rest(OssDrain *drain)
{
	if (drain->nfinished < 2 * MOST_SETTLED && !drain->stopping)
		drain->settle_at = Max(drain->settle_at,
							   GetCurrentTimestamp() + USECS_PER_SEC);
}

/* Move the jobs of a batch that was written to the settled ones. */
static void
settled(OssDrain *drain, Batch *batch)
{
	bool		any_locked = false;

	for (int i = 0; i < batch->ndeleted; i++)
		any_locked |= batch->locked[i];
	for (int i = 0; i < batch->njobs; i++)
	{
		OssJob	   *job = batch->jobs[i];

		if (job->verdict == OSS_VERDICT_ANSWERED && !job->stored)
			drain->tagged++;
		if (job->verdict == OSS_VERDICT_FAILED)
			drain->failed++;
		job->storing = !job->stored;
		job->stored = true;
		if (any_locked && is_locked(batch, job))
		{
			/* perhaps a user is cancelling it: see what became of it later */
			dlist_push_tail(&drain->finished, &job->node);
			drain->nfinished++;
			rest(drain);
		}
		else
			dlist_push_tail(&drain->settled, &job->node);
	}
}

/* Put a job whose answer is not stored back to the finished ones. */
static void
put_back(OssDrain *drain, OssJob *job)
{
	dlist_push_tail(&drain->finished, &job->node);
	drain->nfinished++;
}

/* Put the jobs of a batch that was not written back. */
static void
unsettled(OssDrain *drain, Batch *batch)
{
	for (int i = 0; i < batch->njobs; i++)
		put_back(drain, batch->jobs[i]);
}

/* Is an error that somebody stops us? */
static bool
is_intervention(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Take an error of the moment: keep the answers and try again a little later,
 * or let the caller know.
 */
static void
take_trouble(OssDrain *drain, ErrorData *error)
{
	int64		ms = INT64CONST(500) << Min(drain->settle_troubles, 6);

	if (!drain->patient || is_intervention(error))
		ReThrowError(error);
	drain->settle_troubles++;
	drain->settle_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	strlcpy(drain->last_error, error->message, sizeof(drain->last_error));
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("oss_labels could not store its answers: %s",
					error->message),
			 errdetail("They are kept and stored later.")));
}

/* Fail a job whose answer can't be stored. */
static void
fail_unstorable(OssDrain *drain, OssJob *job, const ErrorData *error)
{
	OssReason	reason = {
		.sqlerrcode = error->sqlerrcode,
		.http_status = 200,
		.code = "NotStored",
		.message = error->message,
		.detail = error->detail,
		.hint = error->hint,
		.request_id = job->request ? oss_request_id(job->request) : NULL
	};

	oss_job_set_reason(job, &reason);
	oss_drain_finish(drain, job, OSS_VERDICT_FAILED);
}

/* Is an error that another transaction has a row that is to be written? */
static bool
blames_others(const OssDrain *drain, const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		(drain->patient && error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE);
}

/*
 * Write a job; returns the error when another transaction stands in its way or
 * somebody stops us.
 */
static ErrorData *
settle_one(OssDrain *drain, OssJob *job)
{
	Batch		batch;
	ErrorData  *error;

	make_batch(&batch, 1, count_followers(job));
	if (job->verdict == OSS_VERDICT_ANSWERED && !job->stored)
		batch.nrows = make_row(job, &batch.rows[0]) ? 1 : 0;
	add_to_batch(&batch, job);
	error = try_batch(drain, &batch);
	if (error == NULL)
		settled(drain, &batch);
	else if (blames_data(error) && job->verdict == OSS_VERDICT_ANSWERED)
		fail_unstorable(drain, job, error);
	else if (blames_others(drain, error) || is_intervention(error))
		return error;
	else
	{
		put_back(drain, job);
		take_trouble(drain, error);
	}
	return NULL;
}

/*
 * Write the jobs of a batch one by one.  What others stand in the way of, such
 * as a transaction that tag()ged the image and is still open, comes last the
 * next time.  After MOST_BLOCKED of them, each of which cost a wait, the rest is
 * left to the next time, too; and when there was nothing else, somebody seems
 * to have locked all.
 */
static void
settle_each(OssDrain *drain, Batch *all)
{
	OssJob	   *blocked[MOST_BLOCKED];
	ErrorData  *error = NULL;
	bool		stopped = false;
	int			nblocked = 0;
	int			ntried;

	for (ntried = 0; ntried < all->njobs && nblocked < MOST_BLOCKED && !stopped;
		 ntried++)
	{
		ErrorData  *block = settle_one(drain, all->jobs[ntried]);

		if (block == NULL)
			continue;
		error = block;
		stopped = is_intervention(error);
		blocked[nblocked++] = all->jobs[ntried];
	}
	for (int i = ntried; i < all->njobs; i++)
		put_back(drain, all->jobs[i]);
	for (int i = 0; i < nblocked; i++)
		put_back(drain, blocked[i]);
	if (stopped || (nblocked == MOST_BLOCKED && ntried == nblocked))
		take_trouble(drain, error);
	else if (nblocked > 0)
		rest(drain);
}

/* Settle what is finished. */
static void
settle(OssDrain *drain)
{
	Batch		batch;
	ErrorData  *error;

	if (drain->nfinished == 0 || GetCurrentTimestamp() < drain->settle_at)
		return;
	collect(drain, &batch);
	error = try_batch(drain, &batch);
	if (error == NULL)
	{
		settled(drain, &batch);
		drain->settle_troubles = 0;
	}
	else if (blames_data(error) || blames_others(drain, error))
		settle_each(drain, &batch);
	else
	{
		unsettled(drain, &batch);
		take_trouble(drain, error);
	}
	drain->finished_since = GetCurrentTimestamp();
}

/* Add a job and its followers to an array. */
static int
add_held(OssJob **jobs, int n, OssJob *job)
{
	jobs[n++] = job;
	for (OssJob *j = job->followers; j; j = j->next)
		jobs[n++] = j;
	return n;
}

/* Renew the leases of all jobs in hand. */
static void
renew(OssDrain *drain)
{
	TimestampTz now = GetCurrentTimestamp();
	OssJob	  **jobs;
	int			n = 0;
	int			most = drain->nfinished;
	dlist_iter	iter;

	if (now < drain->renew_at)
		return;
	drain->renew_at = TimestampTzPlusMilliseconds(now, LEASE_MS / 3);
	for (int i = 0; i < DRAIN_HASH; i++)
		for (OssJob *job = drain->objects[i]; job; job = job->same_hash)
			most += 1 + count_followers(job);
	if (most == 0)
		return;
	jobs = palloc(sizeof(OssJob *) * most);
	for (int i = 0; i < DRAIN_HASH; i++)
		for (OssJob *job = drain->objects[i]; job; job = job->same_hash)
			n = add_held(jobs, n, job);
	dlist_foreach(iter, &drain->finished)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->verdict != OSS_VERDICT_ANSWERED)
			jobs[n++] = job;
	}
	oss_job_renew(jobs, n, drain->token,
				  TimestampTzPlusMilliseconds(now, LEASE_MS));
}

/* Do what is to be done now and then. */
static void
tidy(OssDrain *drain)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now < drain->tidy_at && !(drain->halted && drain->woken))
		return;
	drain->tidy_at = TimestampTzPlusMilliseconds(now, TIDY_MS);
	if (oss_pause_expire(PAUSE_MINUTES) > 0)
		drain->woken = true;

	if (now >= drain->mend_at)
	{
		drain->mend_at = TimestampTzPlusMilliseconds(now, RELEASE_MS);
		if (oss_job_mend_times() > 0)
			drain->woken = true;
	}

	/* such as those of a dump that was restored after we started */
	if (!oss_drain_busy(drain) && now >= drain->release_at)
	{
		drain->release_at = TimestampTzPlusMilliseconds(now, RELEASE_MS);
		if (oss_job_release_dead(drain->token) > 0)
			drain->woken = true;
	}
	if (oss_failed_job_retention > 0 &&
		oss_job_forget_failed(oss_failed_job_retention, 1000) == 1000)
		drain->tidy_at = now;
}

/* Settle what is finished and claim as much as can be started soon. */
void
oss_drain_tables(OssDrain *drain)
{
	TimestampTz start = GetCurrentTimestamp();
	MemoryContext old = MemoryContextSwitchTo(drain->turn);
	bool		look = drain->woken || start >= drain->scan_at;
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	settle(drain);
	if (!drain->stopping)
	{
		oss_drain_glance(drain);
		tidy(drain);
		if (look || drain->obey)
			oss_drain_obey_pauses(drain);
		oss_drain_claim(drain);
		renew(drain);
	}
	oss_statement_end(&state);
	MemoryContextSwitchTo(old);
	drain->turned_at = GetCurrentTimestamp();
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

		if (job->pause)
			job->server->pausing = true;
	}
}

/*
 * What was stored of jobs that are still to be deleted is there to stay, or is
 * not there.
 */
static void
end_storing(OssDrain *drain, bool committed)
{
	dlist_iter	iter;

	dlist_foreach(iter, &drain->finished)
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
			oss_job_free(j);
		}
		oss_job_free(job);
	}
	end_storing(drain, true);
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
		put_back(drain, job);
	}
	end_storing(drain, false);
	dlist_foreach_modify(iter, &drain->claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		drain->budget++;
		oss_job_free(job);
	}
	oss_drain_wake(drain);
	MemoryContextReset(drain->turn);
}
