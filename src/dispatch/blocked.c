/*-------------------------------------------------------------------------
 * blocked.c
 *	  Dispatching: answers that cannot be stored now, because another
 *	  transaction has locked a row, or because of an error.
 *
 * They wait in a list and are tried again soon; other jobs are not delayed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "dispatch/blocked.h"
#include "dispatch/finished.h"
#include "spi/subtransaction.h"
#include "store/flight.h"
#include "store/forgotten.h"
#include "store/spool.h"
#include "utils/timestamp.h"

/* First and longest wait before a blocked answer is tried again. */
#define BLOCK_FIRST_US 100000
#define BLOCK_LAST_US 1000000

/*
 * Tries after which the view queue shows why a job waits, and how often that is
 * logged.
 */
#define TRIES_NOTED 4
#define LOG_US (INT64CONST(60) * USECS_PER_SEC)

/*
 * Sessions that wait for the answer must not wait for a transaction, nor request it
 * again.  The worker stores the spooled copy too, which changes nothing.
 */
void
oss_dispatch_share(OssJob *job)
{
	OssSpoolRecord record = {
		.requester = job->requester,
		.asked_at = job->started_at,
		.server = job->target ? job->target->name : NULL
	};
	OssSpoolPlace place;

	if (job->flight == NULL || job->request == NULL || !oss_job_is_to_store(job) ||
		!oss_flight_joined(job->flight))
		return;
	oss_dispatch_identify(job);
	record.image = job->image;
	record.facts = job->facts;
	record.request_id = oss_request_id(job->request);
	record.body = oss_request_body(job->request, &record.body_len);
	if (oss_spool_prepare() && oss_spool_append(&record, &place))
		oss_flight_answer(job->flight, &place);
	else
		oss_flight_end(job->flight);
	job->flight = NULL;
}

void
oss_dispatch_share_unstored(OssDispatcher *dispatcher)
{
	dlist_iter	iter;

	dlist_foreach(iter, &dispatcher->hand.blocked)
		oss_dispatch_share(dlist_container(OssJob, node, iter.cur));
	dlist_foreach(iter, &dispatcher->hand.finished)
		oss_dispatch_share(dlist_container(OssJob, node, iter.cur));
}

void
oss_dispatch_block(OssDispatcher *dispatcher, OssJob *job)
{
	int64		now = oss_clock_us();
	int64		us = BLOCK_FIRST_US;

	oss_dispatch_share(job);
	for (int i = 0; i < job->blocks && us < BLOCK_LAST_US; i++)
		us += us / 2;
	job->blocks++;
	job->blocked_until = now + Min(us, BLOCK_LAST_US);
	dispatcher->settle.probe_until = now + OSS_DISPATCH_PROBE_US;
	dlist_push_tail(&dispatcher->hand.blocked, &job->node);
	dispatcher->hand.nblocked++;
	job->lane->nblocked++;
	elog(DEBUG1, "oss_labels: job " INT64_FORMAT " steps aside: it could not be stored now",
		 job->place.id);
}

/*
 * Parse a job's answer so that it can be written into the job's row; false,
 * with the failure as reason, if it is unusable.
 */
static bool
keep_blocked_answer(OssJob *job)
{
	const OssFailure *failure;
	MemoryContext old;

	if (job->answer)
		return true;
	old = MemoryContextSwitchTo(job->context);
	job->answer = oss_response_parse(job->request, NULL, &failure);
	job->asked_id = pstrdup(oss_request_id(job->request));
	oss_dispatch_identify(job);
	MemoryContextSwitchTo(old);
	if (job->answer == NULL)
		oss_job_set_failure(job, failure);
	return job->answer != NULL;
}

void
oss_dispatch_hand_over(OssDispatcher *dispatcher, OssJob *job, double ms,
					   const char *message, bool refund)
{
	OssReason	reason = {
		.message = message ? message :
		"it is answered, and the next process that claims it stores the answer"
	};

	if (job->verdict == OSS_VERDICT_ANSWERED && !job->stored && !keep_blocked_answer(job))
	{
		oss_dispatch_finish(dispatcher, job, OSS_VERDICT_FAILED);
		return;
	}
	oss_job_set_reason(job, &reason);

	/*
	 * the next claim counts an attempt: storing the answer may kill the
	 * process
	 */
	oss_dispatch_finish_later(dispatcher, job, ms + 1000, refund);
	job->due = ms > 0 ? job->due - USECS_PER_SEC : job->place.due;
}

void
oss_dispatch_retry_blocked(OssDispatcher *dispatcher, int64 now)
{
	dlist_mutable_iter iter;

	if (dispatcher->hand.nblocked == 0 || (now < dispatcher->settle.blocked_due && dispatcher->state == DISPATCH_RUNNING))
		return;
	dlist_foreach_modify(iter, &dispatcher->hand.blocked)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->blocked_until > now && dispatcher->state == DISPATCH_RUNNING)
			continue;
		Assert(job->lane->nblocked > 0);
		dlist_delete(&job->node);
		dispatcher->hand.nblocked--;
		job->lane->nblocked--;
		dlist_push_tail(&dispatcher->hand.finished, &job->node);
		dispatcher->hand.nfinished++;
	}
}

/*
 * Write a reason into the rows of jobs that have been blocked for a while;
 * returns how many.
 */
static int
note_jobs(OssDispatcher *dispatcher, bool refused, const char *reason)
{
	OssJob	  **jobs = palloc(sizeof(OssJob *) * dispatcher->hand.nblocked);
	int			n = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &dispatcher->hand.blocked)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->blocks == TRIES_NOTED && (job->errors > 0) == refused)
			jobs[n++] = job;
	}
	if (n > 0)
		oss_job_note(jobs, n, dispatcher->token, reason);
	return n;
}

/*
 * Report blocked jobs in the view queue and in the log, as a function for a
 * subtransaction.
 */
static void
report_blocked(void *arg)
{
	OssDispatcher *dispatcher = arg;
	int64		now = oss_clock_us();

	(void) note_jobs(dispatcher, true,
					 "it is answered, and the answer could not be stored: the server's log says why");
	if (note_jobs(dispatcher, false,
				  "it is answered, and another transaction has locked its row in oss_labels.image or oss_labels.job") == 0 ||
		(dispatcher->settle.logged_at != 0 && now - dispatcher->settle.logged_at < LOG_US))
		return;
	dispatcher->settle.logged_at = now;
	ereport(LOG,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg_plural("oss_labels keeps %d answer that other transactions have locked out",
						   "oss_labels keeps %d answers that other transactions have locked out",
						   dispatcher->hand.nblocked, dispatcher->hand.nblocked),
			 errhint("They are stored when those transactions end; other images are not delayed.")));
}

void
oss_dispatch_note_blocked(OssDispatcher *dispatcher)
{
	dlist_iter	iter;
	ErrorData  *error;

	if (dispatcher->hand.nblocked == 0)
		return;
	dispatcher->settle.blocked_due = PG_INT64_MAX;
	dlist_foreach(iter, &dispatcher->hand.blocked)
		dispatcher->settle.blocked_due = Min(dispatcher->settle.blocked_due,
											 dlist_container(OssJob, node, iter.cur)->blocked_until);
	error = oss_subtransaction(report_blocked, dispatcher);
	if (error && oss_error_is_interrupt(error))
		ReThrowError(error);
}

int
oss_dispatch_drop_forgotten(OssDispatcher *dispatcher, OssJob **jobs, OssStoreRow *rows,
							int n)
{
	Relation	notes = oss_forgotten_open();
	int			kept = 0;

	if (notes == NULL)
		return n;
	for (int i = 0; i < n; i++)
	{
		OssForgotten state = OSS_NOT_FORGOTTEN;

		if (oss_job_is_to_store(jobs[i]))
			state = oss_forgotten_look(notes, &rows[i].image, rows[i].tagged_at);
		if (state == OSS_BEING_FORGOTTEN)
		{
			oss_dispatch_block(dispatcher, jobs[i]);
			continue;
		}
		if (state == OSS_FORGOTTEN)
			jobs[i]->stored = true;
		jobs[kept] = jobs[i];
		rows[kept++] = rows[i];
	}
	oss_forgotten_close(notes);
	return kept;
}
