/*-------------------------------------------------------------------------
 * lane_table.c
 *	  Dispatching: the servers, buckets, requesters and lanes that are
 *	  known.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dispatch/lane_table.h"
#include "foreign/foreign.h"
#include "queue/worker_slot.h"
#include "utils/memutils.h"

/*
 * Limits of the known lanes, and of the buckets that are remembered without
 * lanes.  Other lanes are listed again when there is room.
 */
#define MOST_LANES 1000
#define MOST_BUCKETS 2000

void
oss_dispatch_follow_servers(OssDispatcher *dispatcher)
{
	foreach_ptr(DispatchServer, server, dispatcher->queue.servers)
	{
		ForeignServer *found = GetForeignServerExtended(server->serverid,
														FSV_MISSING_OK);

		if (found == NULL)
			server->serverid = get_foreign_server_oid(server->name, true);
		else if (strcmp(server->name, found->servername) != 0)
		{
			pfree(server->name);
			server->name = MemoryContextStrdup(dispatcher->context, found->servername);
		}
	}
}

/*
 * End what delays a server's requests: holds of buckets that were unreached or
 * failing, and the rests of its jobs.
 */
static void
release_server(OssDispatcher *dispatcher, const DispatchServer *server)
{
	dlist_iter	iter;

	elog(DEBUG1, "oss_labels: server \"%s\" was resumed or altered, its holds end",
		 server->name);
	foreach_ptr(DispatchBucket, bucket, dispatcher->queue.buckets)
	{
		if (bucket->server != server)
			continue;
		bucket->unreached = bucket->failures_in_row = 0;
		bucket->unreached_until = bucket->open_at = bucket->allowance_at = 0;
	}
	dlist_foreach(iter, &dispatcher->hand.resting)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->lane->bucket->server == server)
			job->rest_until = oss_clock_us();
	}
	if (oss_job_end_rests(server->name) > 0)
		dispatcher->claim.woken = true;
}

void
oss_dispatch_apply_resumes(OssDispatcher *dispatcher)
{
	foreach_ptr(DispatchServer, server, dispatcher->queue.servers)
	{
		uint32		obeyed;
		uint32		count = oss_resume_count(server->serverid, &obeyed);

		if (count == server->resumed)
			continue;
		server->resumed = count;
		dispatcher->upkeep.obeyed_resume = true;
		release_server(dispatcher, server);
	}
}

void
oss_dispatch_end_resumes(OssDispatcher *dispatcher, bool committed)
{
	if (!dispatcher->upkeep.obeyed_resume)
		return;
	dispatcher->upkeep.obeyed_resume = false;
	foreach_ptr(DispatchServer, server, dispatcher->queue.servers)
	{
		if (committed)
			oss_resume_obeyed(server->serverid, server->resumed);
		else
			(void) oss_resume_count(server->serverid, &server->resumed);
	}
}

/* Return the server of a name, adding it if it is new. */
static DispatchServer *
get_server(OssDispatcher *dispatcher, const char *name)
{
	DispatchServer *server;

	foreach_ptr(DispatchServer, known, dispatcher->queue.servers)
	{
		if (strcmp(known->name, name) == 0)
			return known;
	}
	server = palloc0(sizeof(DispatchServer));
	server->name = pstrdup(name);
	server->serverid = get_foreign_server_oid(name, true);
	(void) oss_resume_count(server->serverid, &server->resumed);
	server->max_concurrency = 16;
	dlist_init(&server->lanes);
	dispatcher->queue.servers = lappend(dispatcher->queue.servers, server);
	return server;
}

/* Return the bucket of a name, adding it if it is new. */
static DispatchBucket *
get_bucket(OssDispatcher *dispatcher, DispatchServer *server, const char *name)
{
	DispatchBucket *bucket;

	foreach_ptr(DispatchBucket, known, dispatcher->queue.buckets)
	{
		if (known->server == server && strcmp(known->name, name) == 0)
			return known;
	}
	bucket = palloc0(sizeof(DispatchBucket));
	bucket->server = server;
	bucket->name = pstrdup(name);
	bucket->retry_answered = 1;
	dispatcher->queue.buckets = lappend(dispatcher->queue.buckets, bucket);
	return bucket;
}

/* Return the requester of an OID, adding it if it is new. */
static DispatchRequester *
get_requester(OssDispatcher *dispatcher, Oid requester)
{
	DispatchRequester *owner;

	foreach_ptr(DispatchRequester, known, dispatcher->queue.requesters)
	{
		if (known->requester == requester)
			return known;
	}
	owner = palloc0(sizeof(DispatchRequester));
	owner->requester = requester;
	dispatcher->queue.requesters = lappend(dispatcher->queue.requesters, owner);
	return owner;
}

/* Free a lane that has no jobs in hand. */
static void
free_lane(DispatchLane *lane)
{
	Assert(lane->njobs == 0);
	lane->bucket->nlanes--;
	lane->owner->nlanes--;
	pfree(lane->server);
	pfree(lane);
}

/* Can a lane claim nothing now? */
static bool
is_lane_idle(const DispatchLane *lane)
{
	return lane->state != LANE_OPEN || lane->bucket->unreached > 0;
}

/*
 * Make room for another lane of a requester: free the idle lane that claimed
 * longest ago, or else a lane of the requester that has the most.  False if
 * there is none.
 */
static bool
make_lane_room(OssDispatcher *dispatcher, const DispatchRequester *owner)
{
	DispatchLane *best = NULL;

	if (list_length(dispatcher->queue.lanes) < MOST_LANES)
		return true;
	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
		bool		idle = is_lane_idle(lane);

		if (lane->njobs > 0 || (!idle && lane->owner->nlanes <= owner->nlanes + 1))
			continue;
		if (best == NULL || idle > is_lane_idle(best) ||
			(idle == is_lane_idle(best) &&
			 (idle ? lane->last_claim < best->last_claim :
			  lane->owner->nlanes > best->owner->nlanes)))
			best = lane;
	}
	if (best == NULL)
		return false;
	dispatcher->queue.lanes = list_delete_ptr(dispatcher->queue.lanes, best);
	free_lane(best);
	return true;
}

DispatchLane *
oss_dispatch_lane(OssDispatcher *dispatcher, const OssLaneHead *head)
{
	const OssLaneKey *key = &head->key;
	DispatchRequester *owner;
	DispatchLane *lane;
	MemoryContext old;

	foreach_ptr(DispatchLane, known, dispatcher->queue.lanes)
	{
		if (known->requester == key->requester && known->origin == key->origin &&
			known->server_id == key->server_id &&
			strcmp(known->bucket->name, key->bucket) == 0 &&
			strcmp(known->server, key->server) == 0)
			return known;
	}
	old = MemoryContextSwitchTo(dispatcher->context);
	owner = get_requester(dispatcher, key->requester);
	if (!make_lane_room(dispatcher, owner))
	{
		MemoryContextSwitchTo(old);
		return NULL;
	}
	lane = palloc0(sizeof(DispatchLane));
	lane->bucket = get_bucket(dispatcher, get_server(dispatcher, head->server), key->bucket);
	lane->bucket->nlanes++;
	lane->server = pstrdup(key->server);
	lane->server_id = key->server_id;
	lane->requester = key->requester;
	lane->owner = owner;
	lane->owner->nlanes++;
	lane->origin = key->origin;
	lane->place.rank = PG_INT32_MIN;
	lane->place.due = DT_NOBEGIN;
	dlist_init(&lane->ready);
	dispatcher->queue.lanes = lappend(dispatcher->queue.lanes, lane);
	MemoryContextSwitchTo(old);
	return lane;
}

void
oss_dispatch_free_lanes(OssDispatcher *dispatcher)
{
	ListCell   *cell;

	foreach(cell, dispatcher->queue.lanes)
	{
		DispatchLane *lane = lfirst(cell);

		if (lane->njobs > 0 ||
			(lane->state != LANE_EMPTY && lane->state != LANE_PAUSED))
			continue;

		/* its jobs are not new when the pause ends, but must be found then */
		if (lane->state == LANE_PAUSED)
			dispatcher->queue.newest = 0;
		dispatcher->queue.lanes = foreach_delete_current(dispatcher->queue.lanes, cell);
		free_lane(lane);
	}
	foreach(cell, dispatcher->queue.buckets)
	{
		DispatchBucket *bucket = lfirst(cell);

		if (bucket->nlanes > 0 ||
			((bucket->unreached > 0 || bucket->answered > 0) &&
			 list_length(dispatcher->queue.buckets) < MOST_BUCKETS))
			continue;
		dispatcher->queue.buckets = foreach_delete_current(dispatcher->queue.buckets, cell);
		pfree(bucket->name);
		if (bucket->name_utf8)
			pfree(bucket->name_utf8);
		pfree(bucket);
	}
	foreach(cell, dispatcher->queue.requesters)
	{
		DispatchRequester *owner = lfirst(cell);

		if (owner->nlanes > 0)
			continue;
		dispatcher->queue.requesters = foreach_delete_current(dispatcher->queue.requesters, cell);
		pfree(owner);
	}
}
