/*-------------------------------------------------------------------------
 * object_table.c
 *	  Dispatching: the table of leaders by object, in which jobs for the
 *	  same object find theirs.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dispatch/object_table.h"

/* Are two jobs for the same object of the same server? */
static bool
same_object(const OssJob *a, const OssJob *b)
{
	return a->hash == b->hash && a->lane->bucket == b->lane->bucket &&
		oss_image_same(&a->image, &b->image);
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

	/* a version never changes, the current object may have, but for its ETag */
	if (leader->started_at != 0 && job->image.version_id == NULL &&
		leader->started_at < job->enqueued_at &&
		(leader->started_at < job->fresh_since ||
		 !oss_etag_covers(leader->image.etag, job->image.etag)))
		return false;
	return oss_image_covers(&leader->image, &job->image);
}

void
oss_dispatch_remember(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	  **head = &dispatcher->hand.objects[job->hash % DISPATCH_HASH];

	job->same_hash = *head;
	*head = job;
}

bool
oss_dispatch_is_crowded(const OssDispatcher *dispatcher, const DispatchLane *lane, const OssSeen *seen)
{
	OssJob		job = {
		.lane = unconstify(DispatchLane *, lane),
		.image = {lane->bucket->name, seen->key, seen->version_id}
	};

	if (seen->key == NULL)
		return false;
	job.hash = oss_image_hash(&job.image);
	for (OssJob *leader = dispatcher->hand.objects[job.hash % DISPATCH_HASH]; leader;
		 leader = leader->same_hash)
	{
		if (leader->nfollowers >= OSS_MOST_FOLLOWERS && same_object(leader, &job))
			return true;
	}
	return false;
}

void
oss_dispatch_forget(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	  **link = &dispatcher->hand.objects[job->hash % DISPATCH_HASH];

	while (*link && *link != job)
		link = &(*link)->same_hash;
	if (*link == NULL)
		return;
	*link = job->same_hash;
	if (job->nfollowers >= OSS_MOST_FOLLOWERS)
		dispatcher->hand.ncrowded--;
}

OssJob *
oss_dispatch_find_leader(OssDispatcher *dispatcher, OssJob *job)
{
	OssJob	   *leader;

	for (leader = dispatcher->hand.objects[job->hash % DISPATCH_HASH]; leader;
		 leader = leader->same_hash)
	{
		if (answer_serves_job(leader, job))
			return leader;
	}
	return NULL;
}
