/*-------------------------------------------------------------------------
 * lane.c
 *	  Dispatching: servers, buckets and lanes, and who goes next.
 *
 * A lane has the jobs of one server, bucket and requester.  The job of the
 * highest priority goes next; among equals the lane that has the fewest in
 * flight, and among those the one that was served longest ago.  What a bucket's
 * rates or its endpoint hold up holds up its own lanes only.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "client/rate_limit.h"
#include "dispatch/finished.h"
#include "dispatch/lane.h"
#include "foreign/foreign.h"
#include "queue/worker_slot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * Lanes that we know at most, and buckets that we remember without any.  What is
 * beyond is found in the lists when there is room.
 */
#define MOST_LANES 1000
#define MOST_BUCKETS 2000

/* Ready jobs of a server, besides as many as it has slots. */
#define LEAST_READY 4
#define MOST_READY 2048

/* So many seconds' answers are kept ready. */
#define READY_SECONDS 0.25

/* Answers are counted by such windows; the first moments of one say little. */
#define WINDOW_US 250000
#define MOMENT_US 50000

/* How often a lane is looked at that waits for its rates. */
#define LEAST_LOOK_MS 50L
#define LOOK_MS 500L

/* A bucket that has not answered for so long may be silent for long. */
#define SILENT_US 1000000

/* What may not start for longer than that is given back. */
#define HELD_MS 1000L

/* For how long we believe what the rates said. */
#define ALLOWANCE_US 20000

/* Find out what the servers are called now, or which one has the name. */
void
oss_dispatch_follow_servers(OssDispatcher *dispatcher)
{
	ListCell   *cell;

	foreach(cell, dispatcher->servers)
	{
		DispatchServer *server = lfirst(cell);
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
 * Let what a server held up start at once: its buckets that were not reached or
 * not well, and its jobs that rest.
 */
static void
release_server(OssDispatcher *dispatcher, const DispatchServer *server)
{
	ListCell   *cell;
	dlist_iter	iter;

	elog(DEBUG1, "oss_labels: server \"%s\" was resumed or altered, its holds end",
		 server->name);
	foreach(cell, dispatcher->buckets)
	{
		DispatchBucket *bucket = lfirst(cell);

		if (bucket->server != server)
			continue;
		bucket->unreached = bucket->fruitless = 0;
		bucket->unreached_until = bucket->open_at = bucket->allowance_at = 0;
	}
	dlist_foreach(iter, &dispatcher->resting)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->lane->bucket->server == server)
			job->rest_until = oss_clock_us();
	}
	if (oss_job_end_rests(server->name) > 0)
		dispatcher->woken = true;
}

/* End the holds and rests of servers that were resumed or altered. */
void
oss_dispatch_obey_resumes(OssDispatcher *dispatcher)
{
	ListCell   *cell;

	foreach(cell, dispatcher->servers)
	{
		DispatchServer *server = lfirst(cell);
		uint32		obeyed;
		uint32		count = oss_resume_count(server->serverid, &obeyed);

		if (count == server->resumed)
			continue;
		server->resumed = count;
		dispatcher->obeyed_resume = true;
		release_server(dispatcher, server);
	}
}

/* What was resumed is obeyed, for processes to come, too, or is to be again. */
void
oss_dispatch_end_resumes(OssDispatcher *dispatcher, bool committed)
{
	ListCell   *cell;

	if (!dispatcher->obeyed_resume)
		return;
	dispatcher->obeyed_resume = false;
	foreach(cell, dispatcher->servers)
	{
		DispatchServer *server = lfirst(cell);

		if (committed)
			oss_resume_obeyed(server->serverid, server->resumed);
		else
			(void) oss_resume_count(server->serverid, &server->resumed);
	}
}

/* Return the server of a name, making it when it is new. */
static DispatchServer *
get_server(OssDispatcher *dispatcher, const char *name)
{
	ListCell   *cell;
	DispatchServer *server;

	foreach(cell, dispatcher->servers)
	{
		server = lfirst(cell);
		if (strcmp(server->name, name) == 0)
			return server;
	}
	server = palloc0(sizeof(DispatchServer));
	server->name = pstrdup(name);
	server->serverid = get_foreign_server_oid(name, true);
	(void) oss_resume_count(server->serverid, &server->resumed);
	server->max_concurrency = 16;
	dlist_init(&server->lanes);
	dispatcher->servers = lappend(dispatcher->servers, server);
	return server;
}

/* Return the bucket of a name, making it when it is new. */
static DispatchBucket *
get_bucket(OssDispatcher *dispatcher, DispatchServer *server, const char *name)
{
	ListCell   *cell;
	DispatchBucket *bucket;

	foreach(cell, dispatcher->buckets)
	{
		bucket = lfirst(cell);
		if (bucket->server == server && strcmp(bucket->name, name) == 0)
			return bucket;
	}
	bucket = palloc0(sizeof(DispatchBucket));
	bucket->server = server;
	bucket->name = pstrdup(name);
	bucket->relenting = 1;
	dispatcher->buckets = lappend(dispatcher->buckets, bucket);
	return bucket;
}

/* Return the requester of an OID, making it when it is new. */
static DispatchRequester *
get_requester(OssDispatcher *dispatcher, Oid requester)
{
	ListCell   *cell;
	DispatchRequester *owner;

	foreach(cell, dispatcher->requesters)
	{
		owner = lfirst(cell);
		if (owner->requester == requester)
			return owner;
	}
	owner = palloc0(sizeof(DispatchRequester));
	owner->requester = requester;
	dispatcher->requesters = lappend(dispatcher->requesters, owner);
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

/* Is a lane of no use for now? */
static bool
is_idle(const DispatchLane *lane)
{
	return lane->drained || lane->paused || lane->bucket->unreached > 0;
}

/*
 * Make room for another lane of a requester: forget the lane that is idle since
 * it was looked at longest ago, or else one that waits of the requester that has
 * most.  False when there is none.
 */
static bool
make_room(OssDispatcher *dispatcher, const DispatchRequester *owner)
{
	DispatchLane *best = NULL;
	ListCell   *cell;

	if (list_length(dispatcher->lanes) < MOST_LANES)
		return true;
	foreach(cell, dispatcher->lanes)
	{
		DispatchLane *lane = lfirst(cell);
		bool		idle = is_idle(lane);

		if (lane->njobs > 0 || (!idle && lane->owner->nlanes <= owner->nlanes + 1))
			continue;
		if (best == NULL || idle > is_idle(best) ||
			(idle == is_idle(best) &&
			 (idle ? lane->turn < best->turn :
			  lane->owner->nlanes > best->owner->nlanes)))
			best = lane;
	}
	if (best == NULL)
		return false;
	dispatcher->lanes = list_delete_ptr(dispatcher->lanes, best);
	free_lane(best);
	return true;
}

/* Find a lane, or make it if there is room. */
DispatchLane *
oss_dispatch_lane(OssDispatcher *dispatcher, const OssLaneHead *head)
{
	const OssLaneKey *key = &head->key;
	DispatchRequester *owner;
	ListCell   *cell;
	DispatchLane *lane;
	MemoryContext old;

	foreach(cell, dispatcher->lanes)
	{
		lane = lfirst(cell);
		if (lane->requester == key->requester && lane->origin == key->origin &&
			lane->server_id == key->server_id &&
			strcmp(lane->bucket->name, key->bucket) == 0 &&
			strcmp(lane->server, key->server) == 0)
			return lane;
	}
	old = MemoryContextSwitchTo(dispatcher->context);
	owner = get_requester(dispatcher, key->requester);
	if (!make_room(dispatcher, owner))
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
	dispatcher->lanes = lappend(dispatcher->lanes, lane);
	MemoryContextSwitchTo(old);
	return lane;
}

/* Free lanes that have no jobs, and buckets of which there is nothing to know. */
void
oss_dispatch_sweep(OssDispatcher *dispatcher)
{
	ListCell   *cell;

	foreach(cell, dispatcher->lanes)
	{
		DispatchLane *lane = lfirst(cell);

		if (lane->njobs > 0 || !(lane->empty || lane->paused))
			continue;
		dispatcher->lanes = foreach_delete_current(dispatcher->lanes, cell);
		free_lane(lane);
	}
	foreach(cell, dispatcher->buckets)
	{
		DispatchBucket *bucket = lfirst(cell);

		if (bucket->nlanes > 0 ||
			((bucket->unreached > 0 || bucket->answered > 0) &&
			 list_length(dispatcher->buckets) < MOST_BUCKETS))
			continue;
		dispatcher->buckets = foreach_delete_current(dispatcher->buckets, cell);
		pfree(bucket->name);
		if (bucket->name_utf8)
			pfree(bucket->name_utf8);
		pfree(bucket);
	}
	foreach(cell, dispatcher->requesters)
	{
		DispatchRequester *owner = lfirst(cell);

		if (owner->nlanes > 0)
			continue;
		dispatcher->requesters = foreach_delete_current(dispatcher->requesters, cell);
		pfree(owner);
	}
}

/* Put a job among its lane's ready ones. */
void
oss_dispatch_make_ready(OssDispatcher *dispatcher, OssJob *job)
{
	DispatchLane *lane = job->lane;
	DispatchServer *server = lane->bucket->server;
	dlist_node *before = dlist_is_empty(&lane->ready) ? NULL :
	dlist_tail_node(&lane->ready);

	if (lane->nready++ == 0)
		dlist_push_tail(&server->lanes, &lane->node);
	while (before &&
		   oss_place_compare(&dlist_container(OssJob, node, before)->place,
							 &job->place) > 0)
		before = dlist_has_prev(&lane->ready, before) ?
			dlist_prev_node(&lane->ready, before) : NULL;
	if (before)
		dlist_insert_after(before, &job->node);
	else
		dlist_push_head(&lane->ready, &job->node);
	lane->bucket->nready++;
	server->nready++;
	dispatcher->nready++;
}

/* Take a job out of its lane's ready ones. */
void
oss_dispatch_unready(OssDispatcher *dispatcher, OssJob *job)
{
	DispatchLane *lane = job->lane;

	Assert(lane->nready > 0);
	dlist_delete(&job->node);
	if (--lane->nready == 0)
		dlist_delete(&lane->node);
	lane->bucket->nready--;
	lane->bucket->server->nready--;
	dispatcher->nready--;
}

/* Return the rank of a lane's first ready job. */
static int32
ready_rank(DispatchLane *lane)
{
	return dlist_head_element(OssJob, node, &lane->ready)->place.rank;
}

/* Does a lane go before another? */
static bool
goes_before(DispatchLane *a, DispatchLane *b)
{
	int32		x = ready_rank(a);
	int32		y = ready_rank(b);

	return x != y ? x < y : a->in_flight < b->in_flight;
}

/* Lower *ms (-1: never) to when a time comes. */
static void
wait_at_most(long *ms, int64 when, int64 now)
{
	long		wait = Max((when - now + 999) / 1000, 1);

	*ms = *ms < 0 ? wait : Min(*ms, wait);
}

/* Note that a bucket answered. */
void
oss_dispatch_hear(DispatchBucket *bucket, int64 now)
{
	if (now - bucket->heard_at > SILENT_US)
		bucket->heard = 0;
	bucket->heard_at = now;
	bucket->heard++;
}

/*
 * Return how many more a bucket may have in flight.  While it is silent it takes
 * half of what others leave, or requests that hang would take all; each answer
 * lets it take one more.
 */
static int
silent_room(const DispatchBucket *bucket, int64 now)
{
	const DispatchServer *server = bucket->server;
	int			others = server->in_flight - bucket->in_flight;
	int			most = Max((server->max_concurrency - others + 1) / 2, 1);

	if (now - bucket->heard_at <= SILENT_US)
		most += Min(bucket->heard, server->max_concurrency);
	return Max(most - bucket->in_flight, 0);
}

/* May a bucket start one more?  Otherwise lowers *ms, the time to wait. */
static bool
may_start(DispatchLane *lane, int64 now, long *ms)
{
	DispatchBucket *bucket = lane->bucket;
	OssJob	   *job = dlist_head_element(OssJob, node, &lane->ready);

	if (bucket->unreached > 0)
	{
		/* one is enough to find out whether the endpoint is back */
		if (bucket->in_flight > 0)
			return false;
		bucket->open_at = Max(bucket->open_at, bucket->unreached_until);
	}
	if (silent_room(bucket, now) == 0)
		return false;
	if (bucket->open_at <= now)
	{
		long		wait = oss_rate_wait(job->target, job->names_utf8[0]);

		if (wait == 0)
			return true;
		bucket->open_at = now + Min(wait, OSS_RATE_LOOK_MS) * INT64CONST(1000);
	}
	wait_at_most(ms, bucket->open_at, now);
	return false;
}

/* Return the job of a server that is to be started next. */
OssJob *
oss_dispatch_next_ready(DispatchServer *server, int64 now, long *ms)
{
	DispatchLane *best = NULL;
	dlist_iter	iter;

	if (server->pausing || server->in_flight >= server->max_concurrency)
		return NULL;
	dlist_foreach(iter, &server->lanes)
	{
		DispatchLane *lane = dlist_container(DispatchLane, node, iter.cur);

		if ((best == NULL || goes_before(lane, best)) &&
			may_start(lane, now, ms))
			best = lane;
	}
	if (best == NULL)
		return NULL;
	dlist_delete(&best->node);
	dlist_push_tail(&server->lanes, &best->node);
	return dlist_head_element(OssJob, node, &best->ready);
}

/* Go on to the next window when it is time. */
static void
turn_window(DrainRate *rate, int64 now)
{
	int64		age = now - rate->window_at;

	if (age < WINDOW_US)
		return;
	rate->last_rate = rate->answers * 1e6 / age;
	rate->answers = 0;
	rate->window_at = now;
}

/* Count an answer. */
void
oss_dispatch_count_answer(DispatchBucket *bucket, int64 now)
{
	turn_window(&bucket->rate, now);
	bucket->rate.answers++;
	turn_window(&bucket->server->rate, now);
	bucket->server->rate.answers++;
}

/* Return how many jobs are wanted ready, besides those in flight. */
static int
reserved_slots(DrainRate *answers, int64 now)
{
	double		rate;

	turn_window(answers, now);
	rate = answers->answers * 1e6 / Max(now - answers->window_at, MOMENT_US);
	rate = Max(rate, answers->last_rate) * READY_SECONDS;
	return (int) Min(Max(rate, LEAST_READY), MOST_READY);
}

/*
 * Return how many of a bucket's requests may start within a second, as far as
 * its rates and its silence tell.
 */
static int
bucket_allowance(DispatchBucket *bucket, int64 now)
{
	OssServer  *target = bucket->server->target;

	if (now - bucket->heard_at > SILENT_US)
		return silent_room(bucket, now);
	if (target == NULL || bucket->name_utf8 == NULL)
		return bucket->server->max_concurrency;
	if (now - bucket->allowance_at >= ALLOWANCE_US)
	{
		bucket->allowance = oss_rate_allowance(target, bucket->name_utf8, 1000);
		bucket->allowance_at = now;
	}
	return bucket->allowance;
}

/* May nothing of a bucket start for a while, as it is held or out of reach? */
static bool
is_unreached(const DispatchBucket *bucket)
{
	const DispatchServer *server = bucket->server;

	return bucket->unreached > 0 ||
		(server->target && bucket->name_utf8 &&
		 oss_rate_wait(server->target, bucket->name_utf8) > HELD_MS);
}

/*
 * Give back what is ready beyond what the rates let start, as when they were
 * lowered since, and all of a bucket that is held: it would keep others from
 * getting ready.
 */
void
oss_dispatch_shrink(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	ListCell   *cell;

	foreach(cell, dispatcher->lanes)
	{
		DispatchLane *lane = lfirst(cell);
		DispatchBucket *bucket = lane->bucket;
		int			most;

		if (lane->nready == 0)
			continue;
		if (is_unreached(bucket))
			most = 0;
		else if (bucket->nready <= LEAST_READY ||
				 bucket->nready / 2 <= (most = bucket_allowance(bucket, now)))
			continue;
		else
			most = Max(most, LEAST_READY);
		while (lane->nready > 0 && bucket->nready > most)
		{
			OssJob	   *job = dlist_tail_element(OssJob, node, &lane->ready);

			oss_dispatch_unready(dispatcher, job);
			oss_dispatch_give_back(dispatcher, job);
		}
	}
}

/* Does a lane have a job that goes before all that are ready? */
static bool
is_ahead(const DispatchLane *lane)
{
	dlist_iter	iter;

	dlist_foreach(iter, &lane->bucket->server->lanes)
	{
		if (ready_rank(dlist_container(DispatchLane, node, iter.cur)) <= lane->head)
			return false;
	}
	return true;
}

/*
 * Has a lane as many answers that can't be stored as it may have?  Each leaves
 * some room to the others, so that what one meets stops no other.
 */
static bool
is_blocked(const OssDispatcher *dispatcher, const DispatchLane *lane)
{
	return lane->nblocked >= Max((OSS_MOST_BLOCKED - dispatcher->nblocked) / 2, LEAST_BLOCKED);
}

/* Return how many jobs a lane may claim now. */
int
oss_dispatch_room(const OssDispatcher *dispatcher, DispatchLane *lane, int64 now)
{
	DispatchBucket *bucket = lane->bucket;
	DispatchServer *server = bucket->server;
	int			slots = server->max_concurrency - server->in_flight;
	int			ready = bucket->nready + bucket->nclaimed;
	int			room = Max(slots, 0) + reserved_slots(&server->rate, now) -
	server->nready - server->nclaimed;
	int			allowed;

	if (is_blocked(dispatcher, lane))
		return 0;
	if (bucket->unreached > 0)
		return bucket->unreached_until > now ? 0 :
			Max(1 - ready - bucket->in_flight, 0);
	allowed = bucket_allowance(bucket, now);
	room = Min(room, allowed - ready);
	/* what waits for a slow bucket would keep others from getting ready */
	room = Min(room, Max(slots, 0) + reserved_slots(&bucket->rate, now) - ready);
	if (room <= 0 && allowed > 0 && server->nready > 0 &&
		bucket->nclaimed == 0 && is_ahead(lane))
		room = Min(allowed, LEAST_READY);
	return Max(room, 0);
}

/*
 * Return when a lane may claim that may not now, as far as time tells; until
 * answers come, a while.
 */
int64
oss_dispatch_open_at(DispatchLane *lane, int64 now)
{
	DispatchBucket *bucket = lane->bucket;
	long		ms = LOOK_MS;

	if (bucket->unreached > 0 && bucket->unreached_until > now)
		return bucket->unreached_until;
	if (bucket->server->target && bucket->name_utf8)
		ms = oss_rate_wait(bucket->server->target, bucket->name_utf8) / 2;
	return now + Min(Max(ms, LEAST_LOOK_MS), LOOK_MS) * INT64CONST(1000);
}

/* Note that something after a place is due at a time. */
void
oss_dispatch_look_again(DispatchLane *lane, const OssPlace *place, TimestampTz at)
{
	if (lane->again_at == 0 || oss_place_compare(place, &lane->again) < 0)
		lane->again = *place;
	lane->again_at = lane->again_at == 0 ? at : Min(lane->again_at, at);
}

/* Free a job. */
void
oss_dispatch_free_job(OssJob *job)
{
	job->lane->njobs--;
	oss_job_free(job);
}

/* Does a pause concern a lane? */
static bool
pause_concerns_lane(const OssPause *pause, const DispatchLane *lane, Oid role)
{
	return (pause->server == NULL ||
			strcmp(pause->server, lane->bucket->server->name) == 0) &&
		(!OidIsValid(pause->requester) || pause->requester == role) &&
		(pause->bucket == NULL || strcmp(pause->bucket, lane->bucket->name) == 0);
}

/* Is one of the pauses a lane's, or one of a directory that holds a key? */
bool
oss_dispatch_is_paused(List *pauses, const DispatchLane *lane, Oid role, const char *key)
{
	ListCell   *cell;

	foreach(cell, pauses)
	{
		const OssPause *pause = lfirst(cell);

		if (pause->directory != NULL &&
			(key == NULL || !oss_in_directory(key, pause->directory)))
			continue;
		if (pause_concerns_lane(pause, lane, role))
			return true;
	}
	return false;
}

/* List the directories of a lane that are paused. */
List *
oss_dispatch_closed(List *pauses, const DispatchLane *lane, Oid role)
{
	List	   *closed = NIL;
	ListCell   *cell;

	foreach(cell, pauses)
	{
		const OssPause *pause = lfirst(cell);

		if (pause->directory != NULL && pause_concerns_lane(pause, lane, role))
			closed = lappend(closed, unconstify(char *, pause->directory));
	}
	return closed;
}
