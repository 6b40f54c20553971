/*-------------------------------------------------------------------------
 * finished.c
 *	  Dispatching: the verdict of a job and of its followers.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "dispatch/finished.h"
#include "dispatch/object_table.h"

int			oss_job_attempts = 5;

int
oss_dispatch_attempts(const OssJob *job)
{
	return job->once ? 1 : oss_job_attempts;
}

void
oss_dispatch_count_free(const OssJob *job, OssUsageCount which)
{
	oss_usage_free(which, job->lane->bucket->server->name, job->requester,
				   job->image.bucket, 1);
}

/* Set a job's verdict and move it to the finished ones. */
static void
to_finished(OssDispatcher *dispatcher, OssJob *job, OssVerdict verdict)
{
	Assert(verdict != OSS_VERDICT_NONE && job->rest_until == 0);
	job->verdict = verdict;
	if (dispatcher->hand.nfinished++ == 0)
		dispatcher->hand.finished_since = oss_clock_us();
	dispatcher->hand.newest_start = Max(dispatcher->hand.newest_start, job->sent_at);
	dlist_push_tail(&dispatcher->hand.finished, &job->node);
}

/*
 * Give a leader's followers its verdict.  Those of another server or user
 * mapping are put back: they may succeed.
 */
static void
finish_followers(OssDispatcher *dispatcher, OssJob *leader, OssVerdict verdict)
{
	OssJob	   *next;

	for (OssJob *job = leader->followers; job; job = next)
	{
		next = job->next;
		job->next = NULL;
		if (job->target == leader->target)
		{
			oss_job_set_reason(job, &leader->reason);
			job->due = leader->due;
			job->refund = leader->refund;
			job->throttles = leader->throttles;
			to_finished(dispatcher, job, verdict);
		}
		else
		{
			job->due = leader->answer ? leader->due : GetCurrentTimestamp();
			job->refund = true;
			to_finished(dispatcher, job, OSS_VERDICT_LATER);
		}
	}
	leader->followers = NULL;
	leader->nfollowers = 0;
}

void
oss_dispatch_finish(OssDispatcher *dispatcher, OssJob *job, OssVerdict verdict)
{
	if (verdict != OSS_VERDICT_ANSWERED)
	{
		oss_dispatch_forget(dispatcher, job);
		finish_followers(dispatcher, job, verdict);
	}
	to_finished(dispatcher, job, verdict);
}

/*
 * Of the jobs that an answer serves, the newest knows the object best.  The answer's
 * own ETag is used only if no job has one: the ETag that a job asks for is stored
 * even if the service's differs, so that asking for it again costs nothing.
 */
void
oss_dispatch_identify(OssJob *job)
{
	MemoryContext old = MemoryContextSwitchTo(job->context);
	int64		newest = job->image.etag == NULL ? 0 : job->place.id;
	char		etag[OSS_ETAG_MAX + 1] = "";
	TimestampTz modified_at = 0;

	for (const OssJob *j = job->followers; j; j = j->next)
	{
		if (j->image.etag == NULL || j->place.id <= newest)
			continue;
		newest = j->place.id;
		job->image.etag = pstrdup(j->image.etag);
		job->facts = j->facts;
	}
	if (job->request)
		oss_request_identity(job->request, etag, &modified_at);
	if (modified_at != 0)
		job->facts.last_modified = modified_at;
	if (job->image.etag == NULL && etag[0] != '\0')
		job->image.etag = pstrdup(etag);
	MemoryContextSwitchTo(old);
}

void
oss_dispatch_finish_later(OssDispatcher *dispatcher, OssJob *job, double ms, bool refund)
{
	job->due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) ms);
	job->refund = refund;
	oss_dispatch_finish(dispatcher, job, OSS_VERDICT_LATER);
}

void
oss_dispatch_give_back(OssDispatcher *dispatcher, OssJob *job)
{
	oss_dispatch_finish_later(dispatcher, job, 0, true);
}
