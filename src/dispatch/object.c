/*-------------------------------------------------------------------------
 * object.c
 *	  Dispatching: jobs for the same object, and what is ready.
 *
 * Jobs for the same object are joined: one that was enqueued before the other's
 * request is made is served by its answer.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "common/hashfn.h"
#include "dispatch/dispatch.h"
#include "protocol/image_labels.h"

/* How often it is looked whether ready jobs are still wanted. */
#define CHECK_US INT64CONST(1000000)
#define CHECK_WOKEN_US INT64CONST(100000)

/* Compute the hash of a job's object. */
uint32
oss_dispatch_object_hash(const OssJob *job)
{
	uint32		hash = hash_bytes((const unsigned char *) job->key,
								  strlen(job->key));

	return hash_combine(hash, hash_bytes((const unsigned char *) job->bucket,
										 strlen(job->bucket)));
}

/* Do two jobs want the same object of the same server? */
static bool
same_object(const OssJob *a, const OssJob *b)
{
	return a->hash == b->hash &&
		a->lane->bucket == b->lane->bucket &&
		strcmp(a->key, b->key) == 0 &&
		(a->version_id == NULL) == (b->version_id == NULL) &&
		(a->version_id == NULL || strcmp(a->version_id, b->version_id) == 0);
}

/* Return the threshold that the service will take. */
static double
asked_thr(const OssJob *job)
{
	return job->has_thr ? job->thr : OSS_LABELS_THR_DEFAULT;
}

/* Will the answer of one job serve another? */
static bool
answer_serves_job(const OssJob *leader, const OssJob *job)
{
	if (leader->verdict != OSS_VERDICT_NONE &&
		leader->verdict != OSS_VERDICT_ANSWERED)
		return false;
	if (!same_object(leader, job))
		return false;

	/* a version never changes, anything else may have since */
	if (leader->started_at != 0 && job->version_id == NULL &&
		leader->started_at < job->enqueued_at)
		return false;
	return asked_thr(leader) <= asked_thr(job);
}

/* Put a job into the table of objects. */
static void
remember_leader(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	  **head = &dispatcher->objects[job->hash % DISPATCH_HASH];

	job->same_hash = *head;
	*head = job;
}

/* Has a job that was seen a leader with as many followers as may be? */
bool
oss_dispatch_is_crowded(const OssDispatcher *dispatcher, const DispatchLane *lane, const OssSeen *seen)
{
	OssJob		job = {
		.lane = unconstify(DispatchLane *, lane),
		.bucket = lane->bucket->name,
		.key = seen->key,
		.version_id = seen->version_id
	};

	if (seen->key == NULL)
		return false;
	job.hash = oss_dispatch_object_hash(&job);
	for (OssJob *leader = dispatcher->objects[job.hash % DISPATCH_HASH]; leader;
		 leader = leader->same_hash)
	{
		if (leader->nfollowers >= OSS_MOST_FOLLOWERS && same_object(leader, &job))
			return true;
	}
	return false;
}

/* Take a job out of the table of objects. */
void
oss_dispatch_forget(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	  **link = &dispatcher->objects[job->hash % DISPATCH_HASH];

	while (*link && *link != job)
		link = &(*link)->same_hash;
	if (*link == NULL)
		return;
	*link = job->same_hash;
	if (job->nfollowers >= OSS_MOST_FOLLOWERS)
		dispatcher->nfull--;
}

/* Find the job whose answer will serve this one, or NULL. */
static OssJob *
find_leader(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	   *leader;

	for (leader = dispatcher->objects[job->hash % DISPATCH_HASH]; leader;
		 leader = leader->same_hash)
	{
		if (answer_serves_job(leader, job))
			return leader;
	}
	return NULL;
}

/* Let a job be asked for, or follow one that is. */
static void
hand_out(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	   *leader = find_leader(dispatcher, job);

	if (leader == NULL)
	{
		remember_leader(dispatcher, job);
		oss_dispatch_make_ready(dispatcher, job);
		return;
	}
	job->next = leader->followers;
	leader->followers = job;
	if (++leader->nfollowers == OSS_MOST_FOLLOWERS)
		dispatcher->nfull++;
}

/* Hand out the jobs that were claimed, now that they are ours for good. */
void
oss_dispatch_hand_out(OssDispatcher *dispatcher)
{
	dlist_mutable_iter iter;
	dlist_iter	answered;

	/* what is answered already has followers, whatever the order */
	dlist_foreach(answered, &dispatcher->claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, answered.cur);

		if (job->verdict == OSS_VERDICT_ANSWERED)
			remember_leader(dispatcher, job);
	}
	dlist_foreach_modify(iter, &dispatcher->claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		if (job->verdict != OSS_VERDICT_NONE)
			oss_dispatch_finish(dispatcher, job, job->verdict);
		else
			hand_out(dispatcher, job);
	}
}

/* Take a job out of the ready or the resting ones. */
static void
take_out(OssDispatcher *dispatcher, OssJob *job)
{
	if (job->rest_until != 0)
		oss_dispatch_end_rest(dispatcher, job);
	else
		oss_dispatch_unready(dispatcher, job);
}

/*
 * Drop a ready job that is not wanted any more.  Others that follow it are
 * wanted: one of them takes its place.
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

/* List the jobs that are still to be asked for: ready ones and resting ones. */
static OssJob **
list_ready(OssDispatcher *dispatcher)
{
	int			most = dispatcher->nready + dispatcher->nresting;
	OssJob	  **jobs = palloc(sizeof(OssJob *) * Max(most, 1));
	int			n = 0;
	ListCell   *cell;
	dlist_iter	iter;

	foreach(cell, dispatcher->lanes)
	{
		dlist_foreach(iter, &((DispatchLane *) lfirst(cell))->ready)
			jobs[n++] = dlist_container(OssJob, node, iter.cur);
	}
	dlist_foreach(iter, &dispatcher->resting)
		jobs[n++] = dlist_container(OssJob, node, iter.cur);
	Assert(n == most);
	return jobs;
}

/* Drop ready jobs whose rows were deleted: nobody wants their answers. */
void
oss_dispatch_check_ready(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	int			n = dispatcher->nready + dispatcher->nresting;
	OssJob	  **jobs;
	ListCell   *cell;

	if (n == 0 || (now < dispatcher->check_at &&
				   !(dispatcher->woken && now >= dispatcher->checked_at + CHECK_WOKEN_US)))
		return;
	dispatcher->checked_at = now;
	dispatcher->check_at = now + CHECK_US;
	jobs = list_ready(dispatcher);
	for (int i = 0; i < n; i++)
		jobs[i]->unwanted = true;
	foreach(cell, oss_job_still_ours(jobs, n, dispatcher->token))
		((OssJob *) lfirst(cell))->unwanted = false;
	for (int i = 0; i < n; i++)
	{
		if (jobs[i]->unwanted)
			drop_ready(dispatcher, jobs[i]);
	}
}

/* Give back what is ready and paused. */
void
oss_dispatch_obey_pauses(OssDispatcher *dispatcher)
{
	List	   *pauses = oss_pause_list();
	OssJob	  **jobs = list_ready(dispatcher);
	int			n = dispatcher->nready + dispatcher->nresting;

	dispatcher->obey = false;
	dispatcher->halted = pauses != NIL;
	for (int i = 0; pauses != NIL && i < n; i++)
	{
		if (!oss_dispatch_is_paused(pauses, jobs[i]->lane, jobs[i]->requester))
			continue;
		elog(DEBUG1, "oss_labels: job " INT64_FORMAT " is given back, as it is paused",
			 jobs[i]->place.id);
		take_out(dispatcher, jobs[i]);
		oss_dispatch_give_back(dispatcher, jobs[i]);
	}
}
