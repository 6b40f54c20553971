/*-------------------------------------------------------------------------
 * hand_out.c
 *	  Dispatching: making claimed jobs ready, and removing ready jobs that
 *	  are deleted or paused.
 *
 * Jobs for the same object are joined: a job that was enqueued before the
 * request of another starts is served by its answer.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "dispatch/finished.h"
#include "dispatch/hand_out.h"
#include "dispatch/lane.h"
#include "dispatch/object_table.h"
#include "dispatch/throttle.h"

/*
 * How often to check whether ready jobs are still wanted, and how soon after a
 * wake.
 */
#define CHECK_US INT64CONST(1000000)
#define CHECK_WOKEN_US INT64CONST(100000)

/* Make a job ready, or let it follow a job for the same object. */
static void
hand_out(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	   *leader = oss_dispatch_find_leader(dispatcher, job);

	if (leader == NULL)
	{
		oss_dispatch_remember(dispatcher, job);
		oss_dispatch_make_ready(dispatcher, job);
		return;
	}
	job->next = leader->followers;
	leader->followers = job;
	Assert(job->followers == NULL);
	if (++leader->nfollowers == OSS_MOST_FOLLOWERS)
		dispatcher->hand.ncrowded++;
}

void
oss_dispatch_hand_out(OssDispatcher *dispatcher)
{
	dlist_mutable_iter iter;
	dlist_iter	answered;

	/* add answered jobs first, since any other may follow them */
	dlist_foreach(answered, &dispatcher->hand.claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, answered.cur);

		if (job->verdict == OSS_VERDICT_ANSWERED)
			oss_dispatch_remember(dispatcher, job);
	}
	dlist_foreach_modify(iter, &dispatcher->hand.claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		if (job->verdict == OSS_VERDICT_DONE && job->covered)
			oss_dispatch_count_free(job, OSS_USAGE_STORED_HITS);
		if (job->verdict != OSS_VERDICT_NONE)
			oss_dispatch_finish(dispatcher, job, job->verdict);
		else
			hand_out(dispatcher, job);
	}
}

/* Remove a job from the ready or resting jobs. */
static void
take_out(OssDispatcher *dispatcher, OssJob *job)
{
	if (job->rest_until != 0)
		oss_dispatch_end_rest(dispatcher, job);
	else
		oss_dispatch_unready(dispatcher, job);
}

/*
 * Drop a job whose row was deleted.  One of its followers takes its place.
 */
static void
drop_ready(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	   *next;

	take_out(dispatcher, job);
	oss_dispatch_forget(dispatcher, job);
	for (OssJob *follower = job->followers; follower; follower = next)
	{
		next = follower->next;
		follower->next = NULL;
		hand_out(dispatcher, follower);
	}
	elog(DEBUG1, "oss_labels: job " INT64_FORMAT " is not wanted any more",
		 job->place.id);
	oss_dispatch_free_job(job);
}

/* List the jobs that have not started: ready and resting ones. */
static OssJob **
list_ready(OssDispatcher *dispatcher)
{
	int			most = dispatcher->hand.nready + dispatcher->hand.nresting;
	OssJob	  **jobs = palloc(sizeof(OssJob *) * Max(most, 1));
	int			n = 0;
	dlist_iter	iter;

	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
		dlist_foreach(iter, &lane->ready)
			jobs[n++] = dlist_container(OssJob, node, iter.cur);
	}
	dlist_foreach(iter, &dispatcher->hand.resting)
		jobs[n++] = dlist_container(OssJob, node, iter.cur);
	Assert(n == most);
	return jobs;
}

void
oss_dispatch_check_ready(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	int			n = dispatcher->hand.nready + dispatcher->hand.nresting;
	OssJob	  **jobs;

	if (n == 0 || (now < dispatcher->upkeep.check_at &&
				   !(dispatcher->claim.woken && now >= dispatcher->upkeep.checked_at + CHECK_WOKEN_US)))
		return;
	dispatcher->upkeep.checked_at = now;
	dispatcher->upkeep.check_at = now + CHECK_US;
	jobs = list_ready(dispatcher);
	for (int i = 0; i < n; i++)
		jobs[i]->unwanted = true;
	foreach_ptr(OssJob, job, oss_job_still_ours(jobs, n, dispatcher->token))
		job->unwanted = false;
	for (int i = 0; i < n; i++)
	{
		if (jobs[i]->unwanted)
			drop_ready(dispatcher, jobs[i]);
	}
}

void
oss_dispatch_apply_pauses(OssDispatcher *dispatcher)
{
	List	   *pauses = oss_pause_list();
	OssJob	  **jobs = list_ready(dispatcher);
	int			n = dispatcher->hand.nready + dispatcher->hand.nresting;

	dispatcher->upkeep.pauses_added = false;
	dispatcher->upkeep.pauses_exist = pauses != NIL;
	for (int i = 0; pauses != NIL && i < n; i++)
	{
		if (!oss_dispatch_is_paused(pauses, jobs[i]->lane, jobs[i]->requester,
									jobs[i]->image.key))
			continue;
		elog(DEBUG1, "oss_labels: job " INT64_FORMAT " is given back, as it is paused",
			 jobs[i]->place.id);
		take_out(dispatcher, jobs[i]);
		oss_dispatch_give_back(dispatcher, jobs[i]);
	}
}
