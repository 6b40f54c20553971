/*-------------------------------------------------------------------------
 * settle.c
 *	  Dispatching, in a transaction: settling.
 *
 * An answer that cannot be stored now is kept and tried again.  One that
 * cannot be stored at all fails its own job and no other.  Labels are stored
 * in the transaction that deletes the job.
 *
 * A turn does not wait for other transactions.  Jobs whose rows they have locked
 * are blocked and tried again soon; other jobs are not delayed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "client/labels_response.h"
#include "commands/trigger.h"
#include "dispatch/blocked.h"
#include "dispatch/claim_lane.h"
#include "dispatch/dispatch.h"
#include "dispatch/finished.h"
#include "dispatch/lane.h"
#include "dispatch/pause.h"
#include "dispatch/refusal.h"
#include "dispatch/settle.h"
#include "dispatch/spooled.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "spi/subtransaction.h"
#include "store/forgotten.h"
#include "store/store.h"
#include "sync/sync_tally.h"
#include "utils/timestamp.h"

/* Answers that one turn stores, and jobs that it settles, at most. */
#define MOST_STORED 1024
#define MOST_SETTLED 8192

StaticAssertDecl(MOST_STORED <= MOST_SETTLED, "a stored answer's job is settled");

/* Lock waits in one turn, each as long as LOCK_TIMEOUT. */
#define MOST_WAITS 24

/* The same for jobs that were blocked before. */
#define MOST_WAITS_AGAIN 4

/* Tries to store an answer while others can be stored. */
#define MOST_ERRORS 20

/*
 * The same in process_queue(), which ends; another process tries after
 * LEFT_MS.
 */
#define MOST_FOREGROUND_ERRORS 5
#define LEFT_MS 60000

/* Turns in a row with a resource error, after which it may be a job's own. */
#define TELLING_TROUBLES 3

/* Jobs that are settled together, and the rows that are stored for them. */
typedef struct Batch
{
	OssDispatcher *dispatcher;
	int			n;
	OssJob	  **jobs;
	OssStoreRow *rows;
	int			waits;			/* for locks, and the limit */
	int			most_waits;
	bool		apart;			/* its jobs were blocked before */
	bool		written;		/* some jobs were settled */
	bool		trouble;		/* nothing can be stored in this turn */
	ErrorData  *refusal;		/* resource error for which jobs were blocked */
	ErrorData  *stop;			/* to be raised when all jobs are in a list */
	OssRefusals *refusals;
} Batch;

/* Make the row to store for a job; false if its answer is unusable. */
static bool
make_store_row(OssJob *job, OssStoreRow *row)
{
	const OssFailure *failure;

	memset(row, 0, sizeof(*row));
	row->response = job->answer ? job->answer :
		job->spooled ? oss_response_read(job->body, job->body_len, &row->labels, &failure) :
		oss_response_parse(job->request, &row->labels, &failure);
	if (row->response == NULL)
	{
		oss_job_set_failure(job, failure);
		return false;
	}
	oss_dispatch_identify(job);
	row->image = job->image;
	row->facts = job->facts;
	row->tagged_at = job->started_at;
	row->request_id = job->request ? oss_request_id(job->request) : job->asked_id;
	return true;
}

/*
 * The images of a batch, in a hash table of lists, to find two answers for
 * one.
 */
#define IMAGE_HASH 2048

typedef struct BatchImages
{
	int			first[IMAGE_HASH];	/* index + 1 */
	int		   *next;
} BatchImages;

/*
 * Add the image of the job that becomes the batch's next; false if it is
 * there.
 */
static bool
note_image(BatchImages *images_seen, const Batch *batch, const OssJob *job)
{
	int		   *slot = &images_seen->first[job->hash % IMAGE_HASH];

	for (int i = *slot; i > 0; i = images_seen->next[i - 1])
	{
		const OssJob *other = batch->jobs[i - 1];

		if (other->hash == job->hash && oss_image_same(&other->image, &job->image))
			return false;
	}
	images_seen->next[batch->n] = *slot;
	*slot = batch->n + 1;
	return true;
}

/* Put a job back among the finished ones. */
static void
put_back(OssDispatcher *dispatcher, OssJob *job)
{
	oss_dispatch_share(job);
	dlist_push_tail(&dispatcher->hand.finished, &job->node);
	dispatcher->hand.nfinished++;
}

/*
 * Put back the jobs of a batch that was not written.  Jobs that were blocked
 * before are blocked again, so that they are not tried in each turn.
 */
static void
unsettle_batch(Batch *batch)
{
	for (int i = 0; i < batch->n; i++)
	{
		if (batch->jobs[i]->blocks > 0 && batch->dispatcher->state == DISPATCH_RUNNING)
			oss_dispatch_block(batch->dispatcher, batch->jobs[i]);
		else
			put_back(batch->dispatcher, batch->jobs[i]);
	}
}

/*
 * Move a finished job into the batch; false if there is no room.  The second
 * of two answers for one image waits for the next turn.
 */
static bool
collect_job(Batch *batch, BatchImages *images_seen, OssJob *job, int *nstored)
{
	OssDispatcher *dispatcher = batch->dispatcher;

	if (oss_job_is_to_store(job))
	{
		if (*nstored >= MOST_STORED || !note_image(images_seen, batch, job))
			return false;
		if (!make_store_row(job, &batch->rows[batch->n]))
		{
			images_seen->first[job->hash % IMAGE_HASH] = images_seen->next[batch->n];
			dlist_delete(&job->node);
			dispatcher->hand.nfinished--;
			oss_dispatch_finish(dispatcher, job, OSS_VERDICT_FAILED);
			return true;
		}
		(*nstored)++;
	}
	dlist_delete(&job->node);
	dispatcher->hand.nfinished--;
	batch->jobs[batch->n++] = job;
	return true;
}

/* Move finished jobs into a batch. */
static void
collect_finished(OssDispatcher *dispatcher, Batch *batch)
{
	int			room = Min(dispatcher->hand.nfinished, MOST_SETTLED);
	BatchImages *images_seen = palloc0(sizeof(BatchImages));
	int			nstored = 0;
	dlist_mutable_iter iter;

	memset(batch, 0, sizeof(Batch));
	batch->dispatcher = dispatcher;
	batch->refusals = palloc0(sizeof(OssRefusals));
	batch->jobs = palloc(sizeof(OssJob *) * Max(room, 1));
	batch->rows = palloc(sizeof(OssStoreRow) * Max(room, 1));
	images_seen->next = palloc(sizeof(int) * Max(room, 1));
	dlist_foreach_modify(iter, &dispatcher->hand.finished)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (room-- == 0)
			break;
		(void) collect_job(batch, images_seen, job, &nstored);
	}
}

/* The jobs of a batch by statement. */
typedef struct Sorted
{
	int			ndeleted;
	OssJob	  **deleted;		/* with their followers */
	int			nfailed;
	OssJob	  **failed;
	int			nunstored;		/* the same of spooled ones */
	OssJob	  **unstored;
	int			nlater;
	OssJob	  **later;
	int			nrows;
	OssStoreRow *rows;
} Sorted;

/* Sort the jobs of a batch by statement. */
static void
sort_batch(const Batch *batch, Sorted *sorted)
{
	int			n = batch->n;
	int			most = n;

	for (int i = 0; i < n; i++)
		most += batch->jobs[i]->nfollowers;
	sorted->ndeleted = sorted->nfailed = sorted->nlater = sorted->nrows = 0;
	sorted->nunstored = 0;
	sorted->deleted = palloc(sizeof(OssJob *) * most);
	sorted->failed = palloc(sizeof(OssJob *) * n);
	sorted->unstored = palloc(sizeof(OssJob *) * n);
	sorted->later = palloc(sizeof(OssJob *) * n);
	sorted->rows = palloc(sizeof(OssStoreRow) * n);
	for (int i = 0; i < n; i++)
	{
		OssJob	   *job = batch->jobs[i];

		if (oss_job_is_to_store(job))
			sorted->rows[sorted->nrows++] = batch->rows[i];
		if (job->spooled && job->verdict == OSS_VERDICT_FAILED)
			sorted->unstored[sorted->nunstored++] = job;
		else if (job->verdict == OSS_VERDICT_FAILED)
			sorted->failed[sorted->nfailed++] = job;
		else if (job->verdict == OSS_VERDICT_LATER)
			sorted->later[sorted->nlater++] = job;
		else if (!job->spooled)
		{
			Assert(job->verdict != OSS_VERDICT_NONE);
			sorted->deleted[sorted->ndeleted++] = job;
			for (OssJob *j = job->followers; j; j = j->next)
				sorted->deleted[sorted->ndeleted++] = j;
		}
	}
}

/*
 * Has the server or its mapping been altered since a job's request failed?  Then
 * the failure may no longer occur.
 */
static bool
is_mended(OssJob *job)
{
	if (job->target != NULL)
		return !oss_server_is_current(job->target);
	oss_server_look_anew();
	return oss_dispatch_resolve(job) == NULL;
}

/* Write a batch, as a function for a subtransaction. */
static void
write_batch(void *arg)
{
	Batch	   *batch = arg;
	OssDispatcher *dispatcher = batch->dispatcher;
	Sorted		sorted;

	sort_batch(batch, &sorted);

	/* check deferrable constraints at once: an error at commit is no job's */
	AfterTriggerSetState(makeNode(ConstraintsSetStmt));
	oss_job_delete(sorted.deleted, sorted.ndeleted, dispatcher->token);

	/* do not let requests wait: handle the answers that have come */
	oss_dispatch_poll(dispatcher);
	(void) oss_store_write(sorted.rows, sorted.nrows);
	oss_forgotten_check(sorted.rows, sorted.nrows);
	oss_job_fail(sorted.failed, sorted.nfailed, dispatcher->token);
	oss_dispatch_fail_spooled(sorted.unstored, sorted.nunstored);
	oss_job_put_back(sorted.later, sorted.nlater, dispatcher->token);
	oss_sync_tally(batch->jobs, batch->n);
	for (int i = 0; i < sorted.nlater; i++)
	{
		OssJob	   *job = sorted.later[i];

		if (job->pause == OSS_SCOPE_IMAGE)
			continue;
		if (!is_mended(job))
			oss_dispatch_pause(job);
		dispatcher->upkeep.pauses_added = true;
	}
}

/*
 * May an error be a single job's, such as one of a user's trigger, whatever
 * its SQLSTATE?  A resource error usually passes; if it does not, it may be a
 * job's.
 */
static bool
may_blame_job(const Batch *batch, const ErrorData *error)
{
	return !oss_error_is_trouble(error) || batch->apart ||
		batch->dispatcher->settle.troubles >= TELLING_TROUBLES;
}

/* Has another transaction locked the row of a job or of a follower? */
static bool
is_row_locked(const OssJob *job)
{
	if (job->row_locked)
		return true;
	for (const OssJob *j = job->followers; j; j = j->next)
	{
		if (j->row_locked)
			return true;
	}
	return false;
}

/* Note that a job was put back, so that its lane reads it when it is due. */
static void
note_later(OssDispatcher *dispatcher, OssJob *job)
{
	OssPlace	before = job->place;

	before.due = job->due;
	before.id--;
	oss_dispatch_note_skipped(job->lane, &before, job->due);
	if (job->refund)
		dispatcher->claim.budget++;
}

/* Move the jobs of a written batch to the settled ones. */
static void
note_settled(Batch *batch)
{
	OssDispatcher *dispatcher = batch->dispatcher;
	int			nsettled = 0;

	dispatcher->settle.troubles = 0;
	for (int i = 0; i < batch->n; i++)
	{
		OssJob	   *job = batch->jobs[i];

		if (oss_job_is_to_store(job))
			dispatcher->tagged++;
		job->storing = !job->stored;
		job->stored = true;
		if (is_row_locked(job))
		{
			/* a user may be cancelling it: delete it later */
			oss_dispatch_block(dispatcher, job);
			continue;
		}
		if (job->verdict == OSS_VERDICT_FAILED)
			dispatcher->failed++;
		if (job->verdict == OSS_VERDICT_LATER)
			note_later(dispatcher, job);
		dlist_push_tail(&dispatcher->hand.settled, &job->node);
		nsettled++;
	}
	elog(DEBUG1, "oss_labels: settled %d jobs of %d", nsettled, batch->n);
}

/*
 * Handle an error that concerns all answers: keep them and try again a little
 * later, or raise it once every job of the batch is in a list again.
 */
static void
take_trouble(Batch *batch, ErrorData *error)
{
	OssDispatcher *dispatcher = batch->dispatcher;
	int64		ms = INT64CONST(500) << Min(dispatcher->settle.troubles, 6);

	batch->trouble = true;
	if (!dispatcher->keeps_answers)
	{
		batch->stop = error;
		return;
	}
	dispatcher->settle.troubles++;
	dispatcher->settle.retry_at = oss_clock_us() + ms * 1000;
	strlcpy(dispatcher->last_error, error->message, sizeof(dispatcher->last_error));
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("oss_labels could not store its answers: %s",
					error->message),
			 errdetail("They are kept and stored later.")));
}

/* Fail a job whose answer cannot be stored. */
static void
fail_unstorable(OssDispatcher *dispatcher, OssJob *job, const ErrorData *error)
{
	OssReason	reason = {
		.sqlerrcode = error->sqlerrcode,
		.http_status = 200,
		.code = oss_store_is_collision(error) ? OSS_ID_COLLISION : "NotStored",
		.message = error->message,
		.detail = error->detail,
		.hint = error->hint,
		.request_id = job->request ? oss_request_id(job->request) : job->asked_id,
		.permanent = true
	};

	oss_job_set_reason(job, &reason);
	oss_dispatch_finish(dispatcher, job, OSS_VERDICT_FAILED);
}

/*
 * Block a job that could not be settled, perhaps by its own fault.  Its answer
 * is given up after many tries if others could be stored meanwhile.
 */
static void
retry_or_give_up(OssDispatcher *dispatcher, OssJob *job, const ErrorData *error)
{
	bool		answered = job->verdict == OSS_VERDICT_ANSWERED;

	if (job->errors++ == 0)
		job->tagged_before = dispatcher->tagged;
	strlcpy(dispatcher->last_error, error->message, sizeof(dispatcher->last_error));
	if (job->errors == 1)
		ereport(oss_dispatch_log_level(job->requester),
				(errcode(error->sqlerrcode),
				 errmsg("oss_labels could not store the answer of job " INT64_FORMAT ": %s",
						job->place.id, error->message),
				 errdetail("It is kept and stored later.")));
	if (answered && job->errors >= MOST_ERRORS && !oss_error_is_trouble(error) &&
		dispatcher->tagged > job->tagged_before)
		fail_unstorable(dispatcher, job, error);
	else if (job->spooled && !dispatcher->keeps_answers &&
			 job->errors >= MOST_FOREGROUND_ERRORS)
		oss_dispatch_drop_spooled(dispatcher, job);
	else if (dispatcher->keeps_answers || job->errors < MOST_FOREGROUND_ERRORS)
		oss_dispatch_block(dispatcher, job);
	else if (answered && job->attempts >= oss_job_attempts &&
			 !oss_error_is_trouble(error))
		fail_unstorable(dispatcher, job, error);
	else
		oss_dispatch_hand_over(dispatcher, job, LEFT_MS, error->message, false);
}

/* Put all jobs of a batch aside: nothing can be stored. */
static void
refuse_batch(Batch *batch)
{
	for (int i = 0; i < batch->n; i++)
	{
		if (oss_job_is_to_store(batch->jobs[i]))
			oss_dispatch_keep_refused(batch->dispatcher, batch->jobs[i]);
		else
			put_back(batch->dispatcher, batch->jobs[i]);
	}
}

/* Handle the error of a job that was written alone. */
static void
take_single_error(Batch *batch, ErrorData *error)
{
	OssDispatcher *dispatcher = batch->dispatcher;
	OssJob	   *job = batch->jobs[0];
	bool		telling = oss_error_is_data(error) ||
	(!oss_error_is_wait(error) && may_blame_job(batch, error));

	if (telling && oss_job_is_to_store(job) && !oss_store_is_collision(error) &&
		oss_dispatch_store_refuses(dispatcher, batch->refusals, job, &batch->stop))
		oss_dispatch_keep_refused(dispatcher, job);
	else if (batch->stop)
		put_back(dispatcher, job);
	else if (oss_error_is_data(error) && job->verdict == OSS_VERDICT_ANSWERED)
		fail_unstorable(dispatcher, job, error);
	else if (oss_error_is_wait(error))
		oss_dispatch_block(dispatcher, job);
	else if (telling)
	{
		if (oss_error_is_trouble(error))
			batch->refusal = error;
		retry_or_give_up(dispatcher, job, error);
	}
	else
	{
		put_back(dispatcher, job);
		take_trouble(batch, error);
	}
}

/*
 * Write a batch; after an error of one of its jobs, or a lock, in halves down
 * to the single job.
 */
static void
settle_batch(Batch *batch)
{
	OssDispatcher *dispatcher = batch->dispatcher;
	Batch		half = *batch;
	ErrorData  *error;

	if (batch->n == 0)
		return;
	if (batch->stop || batch->trouble || batch->waits >= batch->most_waits)
	{
		unsettle_batch(batch);
		return;
	}
	if (batch->refusals->all)
	{
		refuse_batch(batch);
		return;
	}
	error = oss_subtransaction(write_batch, batch);
	if (error == NULL)
	{
		note_settled(batch);
		batch->written = true;
		return;
	}
	if (oss_error_is_interrupt(error))
	{
		unsettle_batch(batch);
		batch->stop = error;
		return;
	}
	if (!oss_error_is_data(error) && !oss_error_is_wait(error))
		batch->waits++;
	if (oss_error_is_wait(error))
	{
		batch->waits++;
		dispatcher->settle.probe_until = oss_clock_us() + OSS_DISPATCH_PROBE_US;
	}
	if (batch->n == 1)
		take_single_error(batch, error);
	else if (oss_error_is_data(error) || oss_error_is_wait(error) ||
			 may_blame_job(batch, error))
	{
		half.waits = batch->waits;
		half.n = batch->n / 2;
		settle_batch(&half);
		half.jobs += half.n;
		half.rows += half.n;
		half.n = batch->n - batch->n / 2;
		settle_batch(&half);
		batch->waits = half.waits;
		batch->written = half.written;
		batch->trouble = half.trouble;
		batch->refusal = half.refusal;
		batch->stop = half.stop;
	}
	else
	{
		unsettle_batch(batch);
		take_trouble(batch, error);
	}
}

/*
 * Block the jobs of a batch whose answers cannot be stored, since another
 * transaction has locked their rows.
 */
static void
block_locked(Batch *batch)
{
	OssImage   *images = palloc(sizeof(OssImage) * Max(batch->n, 1));
	bool	   *blocked = palloc(sizeof(bool) * Max(batch->n, 1));
	ErrorData  *error;
	int			nimages = 0;
	int			n = 0;
	int			row = 0;

	for (int i = 0; i < batch->n; i++)
	{
		if (oss_job_is_to_store(batch->jobs[i]))
			images[nimages++] = batch->rows[i].image;
	}
	error = oss_store_probe(images, nimages, blocked);
	if (error)
	{
		batch->stop = oss_error_is_interrupt(error) ? error : NULL;
		return;
	}
	for (int i = 0; i < batch->n; i++)
	{
		if (oss_job_is_to_store(batch->jobs[i]) && blocked[row++])
		{
			oss_dispatch_block(batch->dispatcher, batch->jobs[i]);
			continue;
		}
		batch->jobs[n] = batch->jobs[i];
		batch->rows[n++] = batch->rows[i];
	}
	batch->n = n;
}

/*
 * Write a batch, and separately its jobs that were blocked before: they may be
 * locked in a way that oss_store_probe() does not see.
 */
static void
settle_apart(Batch *batch)
{
	Batch		again = *batch;
	int			n = 0;

	again.n = 0;
	again.jobs = palloc(sizeof(OssJob *) * Max(batch->n, 1));
	again.rows = palloc(sizeof(OssStoreRow) * Max(batch->n, 1));
	for (int i = 0; i < batch->n; i++)
	{
		if (batch->jobs[i]->blocks > 0)
		{
			again.jobs[again.n] = batch->jobs[i];
			again.rows[again.n++] = batch->rows[i];
			continue;
		}
		batch->jobs[n] = batch->jobs[i];
		batch->rows[n++] = batch->rows[i];
	}
	batch->n = n;
	batch->most_waits = MOST_WAITS;
	settle_batch(batch);
	again.apart = true;
	again.most_waits = MOST_WAITS_AGAIN;
	again.written = batch->written;
	again.refusal = batch->refusal;
	again.stop = batch->stop;
	again.trouble = batch->trouble;
	settle_batch(&again);
	batch->written = again.written;
	batch->trouble = again.trouble;
	batch->refusal = again.refusal;
	batch->stop = again.stop;
}

/* Hand over to other processes the answers that are not stored. */
static void
hand_over_all(OssDispatcher *dispatcher)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatcher->hand.finished)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (!oss_job_is_to_store(job) && !job->spooled)
			continue;
		dlist_delete(&job->node);
		dispatcher->hand.nfinished--;
		if (job->spooled)
			oss_dispatch_drop_spooled(dispatcher, job);
		else
			oss_dispatch_hand_over(dispatcher, job, 0, NULL, true);
	}
}

void
oss_dispatch_settle(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	Batch		batch;

	if (now < dispatcher->settle.retry_at)
		return;
	oss_dispatch_retry_blocked(dispatcher, now);
	if (dispatcher->state == DISPATCH_LEAVING)
		hand_over_all(dispatcher);
	if (dispatcher->hand.nfinished == 0)
	{
		dispatcher->settle.troubles = 0;
		return;
	}
	collect_finished(dispatcher, &batch);
	batch.n = oss_dispatch_drop_forgotten(dispatcher, batch.jobs, batch.rows, batch.n);
	if (dispatcher->settle.probe_until > now)
		block_locked(&batch);
	settle_apart(&batch);
	if (batch.stop == NULL && batch.refusal && !batch.written && !batch.trouble)
		take_trouble(&batch, batch.refusal);
	if (batch.stop)
		ReThrowError(batch.stop);
	oss_dispatch_note_blocked(dispatcher);
	dispatcher->hand.finished_since = oss_clock_us();
}
