/*-------------------------------------------------------------------------
 * object.c
 *	  Draining the queue: jobs for the same object, and what is ready.
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
oss_drain_object_hash(const OssJob *job)
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
serves(const OssJob *leader, const OssJob *job)
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
remember(OssDrain *drain, OssJob *job)
{
	OssJob	  **head = &drain->objects[job->hash % DRAIN_HASH];

	job->same_hash = *head;
	*head = job;
}

/* Has a job that was seen a leader with as many followers as may be? */
bool
oss_drain_is_crowded(const OssDrain *drain, const DrainLane *lane, const OssSeen *seen)
{
	OssJob		job = {
		.lane = unconstify(DrainLane *, lane),
		.bucket = lane->bucket->name,
		.key = seen->key,
		.version_id = seen->version_id
	};

	if (seen->key == NULL)
		return false;
	job.hash = oss_drain_object_hash(&job);
	for (OssJob *leader = drain->objects[job.hash % DRAIN_HASH]; leader;
		 leader = leader->same_hash)
	{
		if (leader->nfollowers >= MOST_FOLLOWERS && same_object(leader, &job))
			return true;
	}
	return false;
}

/* Take a job out of the table of objects. */
void
oss_drain_forget(OssDrain *drain, OssJob *job)
{
	OssJob	  **link = &drain->objects[job->hash % DRAIN_HASH];

	while (*link && *link != job)
		link = &(*link)->same_hash;
	if (*link == NULL)
		return;
	*link = job->same_hash;
	if (job->nfollowers >= MOST_FOLLOWERS)
		drain->nfull--;
}

/* Find the job whose answer will serve this one, or NULL. */
static OssJob *
find_leader(OssDrain *drain, OssJob *job)
{
	OssJob	   *leader;

	for (leader = drain->objects[job->hash % DRAIN_HASH]; leader;
		 leader = leader->same_hash)
	{
		if (serves(leader, job))
			return leader;
	}
	return NULL;
}

/* Let a job be asked for, or follow one that is. */
static void
hand_out(OssDrain *drain, OssJob *job)
{
	OssJob	   *leader = find_leader(drain, job);

	if (leader == NULL)
	{
		remember(drain, job);
		oss_drain_make_ready(drain, job);
		return;
	}
	job->next = leader->followers;
	leader->followers = job;
	if (++leader->nfollowers == MOST_FOLLOWERS)
		drain->nfull++;
}

/* Hand out the jobs that were claimed, now that they are ours for good. */
void
oss_drain_hand_out(OssDrain *drain)
{
	dlist_mutable_iter iter;
	dlist_iter	answered;

	/* what is answered already has followers, whatever the order */
	dlist_foreach(answered, &drain->claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, answered.cur);

		if (job->verdict == OSS_VERDICT_ANSWERED)
			remember(drain, job);
	}
	dlist_foreach_modify(iter, &drain->claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		dlist_delete(&job->node);
		if (job->verdict != OSS_VERDICT_NONE)
			oss_drain_finish(drain, job, job->verdict);
		else
			hand_out(drain, job);
	}
}

/* Take a job out of the ready or the resting ones. */
static void
take_out(OssDrain *drain, OssJob *job)
{
	if (job->rest_until != 0)
		oss_drain_end_rest(drain, job);
	else
		oss_drain_unready(drain, job);
}

/*
 * Drop a ready job that is not wanted any more.  Others that follow it are
 * wanted: one of them takes its place.
 */
static void
drop_ready(OssDrain *drain, OssJob *job)
{
	OssJob	   *next;

	take_out(drain, job);
	oss_drain_forget(drain, job);
	for (OssJob *follower = job->followers; follower; follower = next)
	{
		next = follower->next;
		follower->next = NULL;
		hand_out(drain, follower);
	}
	elog(DEBUG1, "oss_labels: job " INT64_FORMAT " is not wanted any more",
		 job->place.id);
	oss_drain_free_job(job);
}

/* List the jobs that are still to be asked for: ready ones and resting ones. */
static OssJob **
list_ready(OssDrain *drain)
{
	int			most = drain->nready + drain->nresting;
	OssJob	  **jobs = palloc(sizeof(OssJob *) * Max(most, 1));
	int			n = 0;
	ListCell   *cell;
	dlist_iter	iter;

	foreach(cell, drain->lanes)
	{
		dlist_foreach(iter, &((DrainLane *) lfirst(cell))->ready)
			jobs[n++] = dlist_container(OssJob, node, iter.cur);
	}
	dlist_foreach(iter, &drain->resting)
		jobs[n++] = dlist_container(OssJob, node, iter.cur);
	Assert(n == most);
	return jobs;
}

/* Drop ready jobs whose rows were deleted: nobody wants their answers. */
void
oss_drain_check_ready(OssDrain *drain)
{
	int64		now = http_clock_us();
	int			n = drain->nready + drain->nresting;
	OssJob	  **jobs;
	ListCell   *cell;

	if (n == 0 || (now < drain->check_at &&
				   !(drain->woken && now >= drain->checked_at + CHECK_WOKEN_US)))
		return;
	drain->checked_at = now;
	drain->check_at = now + CHECK_US;
	jobs = list_ready(drain);
	for (int i = 0; i < n; i++)
		jobs[i]->unwanted = true;
	foreach(cell, oss_job_still_ours(jobs, n, drain->token))
		((OssJob *) lfirst(cell))->unwanted = false;
	for (int i = 0; i < n; i++)
	{
		if (jobs[i]->unwanted)
			drop_ready(drain, jobs[i]);
	}
}

/* Give back what is ready and paused. */
void
oss_drain_obey_pauses(OssDrain *drain)
{
	List	   *pauses = oss_pause_list();
	OssJob	  **jobs = list_ready(drain);
	int			n = drain->nready + drain->nresting;

	drain->obey = false;
	drain->halted = pauses != NIL;
	for (int i = 0; pauses != NIL && i < n; i++)
	{
		if (!oss_drain_is_paused(pauses, jobs[i]->lane, jobs[i]->requester))
			continue;
		elog(DEBUG1, "oss_labels: job " INT64_FORMAT " is given back, as it is paused",
			 jobs[i]->place.id);
		take_out(drain, jobs[i]);
		oss_drain_give_back(drain, jobs[i]);
	}
}
