/*-------------------------------------------------------------------------
 * claim.c
 *	  Dispatching, in a transaction: claiming.
 *
 * Lanes claim in turn, the lane with the highest priority first.  A claim
 * reads a bounded number of jobs and continues where the previous claim of the
 * lane stopped.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "client/http.h"
#include "dispatch/claim.h"
#include "dispatch/claim_lane.h"
#include "dispatch/dispatch.h"
#include "dispatch/lane.h"
#include "dispatch/lane_table.h"
#include "miscadmin.h"
#include "queue/worker_slot.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How often all lanes are read from the beginning, to find skipped jobs. */
#define SCAN_US INT64CONST(1000000)
#define SCAN_IDLE_US INT64CONST(10000000)

/*
 * Limits of one statement: lanes that it lists, and new jobs whose lanes it
 * reads.
 */
#define MOST_LISTED 1000
#define MOST_NEW 200

/* Approximate number of jobs that one turn reads. */
#define MOST_SEEN_BY_TURN 8192

/* Claims of one turn, and how many of them follow the priorities strictly. */
#define MOST_CLAIMS 256
#define MOST_STRICT 8
StaticAssertDecl(MOST_STRICT < MOST_CLAIMS, "lower priorities get some claims");

/*
 * How long nothing is claimed after answers could not be stored, and when
 * another process holds the claim lock.
 */
#define TROUBLE_US INT64CONST(200000)
#define TURN_US INT64CONST(10000)

/* Lists and full reads take at most one part in COST of the time. */
#define COST 20

/* Read a lane from its beginning. */
static void
rewind_lane(DispatchLane *lane)
{
	lane->place.rank = lane->next_rank = PG_INT32_MIN;
	lane->place.due = DT_NOBEGIN;
	lane->place.id = 0;
	lane->skipped_due = 0;
	lane->state = LANE_OPEN;
}

/* Continue reading a lane at its place, or at the first skipped job. */
static void
reopen_lane(DispatchLane *lane)
{
	if (lane->state != LANE_PAUSED)
		lane->state = LANE_OPEN;
	if (lane->skipped_due == 0)
		return;
	if (oss_place_compare(&lane->skipped, &lane->place) < 0)
	{
		lane->place = lane->skipped;
		lane->next_rank = lane->skipped.rank;
	}
	lane->skipped_due = 0;
}

/*
 * Note which lanes are paused.  A lane whose pause has ended is read from its
 * beginning.
 */
static void
mark_paused(OssDispatcher *dispatcher, List *pauses)
{
	dispatcher->upkeep.pauses_exist = pauses != NIL;
	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
		bool		before = lane->state == LANE_PAUSED;

		lane->paused_directories = oss_dispatch_paused_directories(pauses, lane, lane->role);
		if (oss_dispatch_is_paused(pauses, lane, lane->role, NULL))
			lane->state = LANE_PAUSED;
		else if (before ||
				 list_length(lane->paused_directories) < lane->npaused_directories)
			rewind_lane(lane);
		lane->npaused_directories = list_length(lane->paused_directories);
	}
}

/* Return a copy of a lane's key in the dispatcher's context. */
static OssLaneKey *
copy_key(OssDispatcher *dispatcher, const OssLaneKey *key)
{
	OssLaneKey *copy = MemoryContextAlloc(dispatcher->context, sizeof(OssLaneKey));

	*copy = *key;
	copy->server = MemoryContextStrdup(dispatcher->context, key->server);
	copy->bucket = MemoryContextStrdup(dispatcher->context, key->bucket);
	return copy;
}

/*
 * Add listed lanes to the dispatcher's lanes.  A lane whose first job has a
 * higher priority than its place is read from its beginning.
 */
static void
take_lanes(OssDispatcher *dispatcher, List *heads)
{
	foreach_ptr(OssLaneHead, head, heads)
	{
		DispatchLane *lane;

		if (dispatcher->only_server &&
			strcmp(dispatcher->only_server, head->server) != 0)
			continue;
		lane = oss_dispatch_lane(dispatcher, head);
		if (lane == NULL)
			continue;
		lane->role = head->role;
		lane->round = dispatcher->queue.round;
		if (lane->state == LANE_EMPTY)
			lane->state = LANE_READ_TO_END;
		if (head->rank < lane->place.rank)
			rewind_lane(lane);
		if (lane->place.rank == PG_INT32_MIN)
			lane->next_rank = head->rank;
	}
}

/*
 * List the next lanes.  A lane that is missing in a whole round of lists is
 * empty.
 */
static void
list_lanes(OssDispatcher *dispatcher)
{
	List	   *heads;

	if (dispatcher->queue.listed == NULL)
		dispatcher->queue.round++;
	heads = oss_job_lanes(dispatcher->queue.listed, MOST_LISTED);
	if (dispatcher->queue.listed)
	{
		pfree(dispatcher->queue.listed->server);
		pfree(dispatcher->queue.listed->bucket);
		pfree(dispatcher->queue.listed);
		dispatcher->queue.listed = NULL;
	}
	if (list_length(heads) == MOST_LISTED)
		dispatcher->queue.listed = copy_key(dispatcher, &((OssLaneHead *) llast(heads))->key);
	take_lanes(dispatcher, heads);
	dispatcher->claim.unlisted = dispatcher->queue.listed != NULL;
	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
		if (!dispatcher->claim.unlisted && lane->round < dispatcher->queue.round &&
			lane->state != LANE_PAUSED)
			lane->state = LANE_EMPTY;
	}
}

/*
 * Take the right to claim; false when another process has it.  If several
 * processes work on the queue, each must see the leases of the one before.
 * *alone is set if this process is the only one.
 */
static bool
take_claim_turn(const OssDispatcher *dispatcher, bool *alone)
{
	*alone = dispatcher->keeps_answers && !oss_foreground_any();
	return *alone ||
		ConditionalLockRelationOid(get_relname_relid("active_pause",
													 get_namespace_oid("oss_labels", false)),
								   ShareUpdateExclusiveLock);
}

/*
 * Does a lane claim before another of the same priority?  Requesters take
 * turns, and then the lanes of each.
 */
static bool
turn_before(const DispatchLane *a, const DispatchLane *b)
{
	if (a->owner->last_claim != b->owner->last_claim)
		return a->owner->last_claim < b->owner->last_claim;
	return a->last_claim < b->last_claim;
}

/*
 * Return the lane that claims next: the one of the highest priority that
 * claimed longest ago.  *n is its share, *most_rank the last rank before
 * another lane's turn.
 */
static DispatchLane *
next_lane(OssDispatcher *dispatcher, int64 now, int *n, int32 *most_rank)
{
	DispatchLane *best = NULL;
	int			best_room = 0;
	int			equals = 0;

	*most_rank = PG_INT32_MAX;
	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
		int			room;

		if (lane->state != LANE_OPEN ||
			(room = oss_dispatch_room(dispatcher, lane, now)) <= 0)
			continue;
		if (best && lane->next_rank != best->next_rank)
			*most_rank = Min(*most_rank, Max(lane->next_rank, best->next_rank) - 1);
		else
			equals++;
		if (best && lane->next_rank < best->next_rank)
			equals = 1;
		if (best == NULL || lane->next_rank < best->next_rank ||
			(lane->next_rank == best->next_rank && turn_before(lane, best)))
		{
			best = lane;
			best_room = room;
		}
	}
	*n = (int) Min(Max(best_room / Max(equals, 1), 1), dispatcher->claim.budget);
	return best;
}

/* Claim jobs, lane by lane. */
static void
claim_in_turns(OssDispatcher *dispatcher, bool alone)
{
	int64		now = oss_clock_us();
	int			left = MOST_SEEN_BY_TURN;

	dispatcher->claim.waits = 0;
	for (int i = 0; i < MOST_CLAIMS && left > 0 && dispatcher->claim.budget > 0 &&
		 dispatcher->claim.waits < OSS_MOST_CLAIM_WAITS; i++)
	{
		int			n;
		int32		most_rank;
		int			nclaimed = 0;
		DispatchLane *lane = next_lane(dispatcher, now, &n, &most_rank);

		if (lane == NULL)
			return;
		if (i >= MOST_STRICT)
			most_rank = PG_INT32_MAX;
		left -= oss_dispatch_claim_lane(dispatcher, lane, n, most_rank, alone,
										&nclaimed);

		/* the claimed jobs become ready at commit */
		lane->bucket->server->nclaimed += nclaimed;
		lane->bucket->nclaimed += nclaimed;
	}
}

/*
 * Compute when the first of the jobs that may not start yet may, and when to
 * look at the lanes again.
 */
static void
find_next_due(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	int64		claim_at = 0;

	dispatcher->claim.next_due = 0;
	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
		TimestampTz due = lane->skipped_due;

		if (lane->state == LANE_PAUSED)
			continue;
		if (lane->state == LANE_OPEN)
		{
			int64		open_at = oss_dispatch_open_at(lane, now);

			due = GetCurrentTimestamp() + (open_at - now);
			if (claim_at == 0 || open_at < claim_at)
				claim_at = open_at;
		}
		if (due != 0 && (dispatcher->claim.next_due == 0 || due < dispatcher->claim.next_due))
			dispatcher->claim.next_due = due;
	}
	dispatcher->claim.retry_at = claim_at;
	if (dispatcher->claim.next_due != 0)
	{
		int64		due = now + Max(dispatcher->claim.next_due - GetCurrentTimestamp(), 0);

		if (claim_at == 0 || due < claim_at)
			dispatcher->claim.retry_at = due;
	}
}

/*
 * Make lanes readable again: all from the beginning, or lanes that may have new
 * jobs or whose skipped jobs are due.
 */
static void
reopen_lanes(OssDispatcher *dispatcher, bool again)
{
	TimestampTz now = GetCurrentTimestamp();

	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
		if (again)
			rewind_lane(lane);
		else if (dispatcher->claim.woken ||
				 (lane->skipped_due != 0 && lane->skipped_due <= now))
			reopen_lane(lane);
	}
}

/* Schedule the next full read by what this one cost. */
static void
end_scan(OssDispatcher *dispatcher, int64 start)
{
	int64		end = oss_clock_us();
	int64		us = (end - start) * COST;

	dispatcher->claim.behind = false;
	dispatcher->claim.rescan_at = end + us;
	us = Max(us, SCAN_US);
	if (!oss_dispatch_busy(dispatcher) && dlist_is_empty(&dispatcher->hand.claimed))
		us = Max(us, SCAN_IDLE_US);
	dispatcher->claim.scan_at = end + us;
}

void
oss_dispatch_claim(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	bool		again = now >= dispatcher->claim.scan_at ||
	(dispatcher->claim.behind && !oss_dispatch_busy(dispatcher) &&
	 now >= dispatcher->claim.rescan_at);
	bool		list = again ||
	((dispatcher->claim.woken || dispatcher->claim.unlisted) && now >= dispatcher->claim.lanes_at);
	bool		woken = dispatcher->claim.woken;
	int64		list_us = 0;
	bool		alone;
	ListCell   *cell;

	if (dispatcher->settle.troubles > 0)
	{
		dispatcher->claim.scan_at = Max(dispatcher->claim.scan_at, now + TROUBLE_US);
		return;
	}
	oss_dispatch_follow_servers(dispatcher);
	oss_dispatch_apply_resumes(dispatcher);
	reopen_lanes(dispatcher, again);

	/* a round of lists may take long to reach the lanes of new jobs */
	if (woken)
		take_lanes(dispatcher, oss_job_new_lanes(&dispatcher->queue.newest, MOST_NEW));
	if (list)
	{
		int64		begin = oss_clock_us();

		list_lanes(dispatcher);
		list_us = oss_clock_us() - begin;
	}
	mark_paused(dispatcher, oss_pause_list());
	dispatcher->claim.woken = false;
	if (!take_claim_turn(dispatcher, &alone))
	{
		dispatcher->claim.woken = woken;
		dispatcher->claim.scan_at = Max(dispatcher->claim.scan_at, now + TURN_US);
		dispatcher->claim.retry_at = dispatcher->claim.yield_until = now + TURN_US;
		return;
	}
	foreach(cell, dispatcher->queue.servers)
		((DispatchServer *) lfirst(cell))->nclaimed = 0;
	foreach(cell, dispatcher->queue.buckets)
		((DispatchBucket *) lfirst(cell))->nclaimed = 0;
	claim_in_turns(dispatcher, alone);
	if (list)
		dispatcher->claim.lanes_at = oss_clock_us() + list_us * COST;
	else if (woken)
		dispatcher->claim.unlisted = true;
	if (list)
		elog(DEBUG1, "oss_labels: listed %d lanes%s in %.1f ms",
			 list_length(dispatcher->queue.lanes), again ? " and read them anew" : "",
			 (oss_clock_us() - now) / 1000.0);
	if (again)
		end_scan(dispatcher, now);
	find_next_due(dispatcher);
	oss_dispatch_free_lanes(dispatcher);
}
