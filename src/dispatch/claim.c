/*-------------------------------------------------------------------------
 * claim.c
 *	  Draining the queue, the side of the tables: claiming.
 *
 * Lanes take turns in claiming, that of the highest priority first.  What a
 * claim looks at is bounded, and it goes on where it stopped.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "client/http.h"
#include "dispatch/dispatch.h"
#include "miscadmin.h"
#include "queue/worker_slot.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How often jobs that were passed over are looked for. */
#define SCAN_US INT64CONST(1000000)
#define SCAN_IDLE_US INT64CONST(10000000)

/* Lanes that one statement lists, and that we know, at most. */
#define MOST_LISTED 1000
#define MOST_LANES 10000

/* Jobs that one turn looks at, more or less. */
#define MOST_SEEN_BY_TURN 8192

/* Claims of one turn, and of those how many keep strictly to the priorities. */
#define MOST_CLAIMS 256
#define MOST_STRICT 8

/*
 * Nothing is claimed for so long: while answers can't be stored, and when it is
 * another process's turn.
 */
#define TROUBLE_US INT64CONST(200000)
#define TURN_US INT64CONST(10000)

/* Claims and lists cost at most one part in so many of the time. */
#define COST 20

/* Is it time to read the lanes from their beginning? */
static bool
from_beginning(OssDrain *drain, int64 now)
{
	int64		offset = GetCurrentTimestamp() - now;
	bool		turned_back = offset < drain->clock_offset - USECS_PER_SEC;

	/* what is enqueued after the clock was turned back lies before our places */
	drain->clock_offset = offset;
	return turned_back || now >= drain->scan_at ||
		(drain->late && !oss_drain_busy(drain) && now >= drain->rescan_at);
}

/* Look at a lane from its beginning. */
static void
rewind_lane(DrainLane *lane)
{
	lane->place.rank = lane->head = PG_INT32_MIN;
	lane->place.due = DT_NOBEGIN;
	lane->place.id = 0;
	lane->again_at = 0;
	lane->drained = false;
}

/* Look at a lane where it was read to, or where something was passed over. */
static void
reopen_lane(DrainLane *lane)
{
	lane->drained = false;
	if (lane->again_at == 0)
		return;
	if (oss_place_compare(&lane->again, &lane->place) < 0)
	{
		lane->place = lane->again;
		lane->head = lane->again.rank;
	}
	lane->again_at = 0;
}

/* Note which lanes are paused; one that is so no more is read anew. */
static void
mark_paused(OssDrain *drain, List *pauses)
{
	ListCell   *cell;

	drain->halted = pauses != NIL;
	foreach(cell, drain->lanes)
	{
		DrainLane  *lane = lfirst(cell);
		bool		before = lane->paused;

		lane->paused = oss_drain_is_paused(pauses, lane, lane->role);
		if (before && !lane->paused)
			rewind_lane(lane);
	}
}

/* Return a copy of a lane's name in the drain's memory. */
static OssLaneKey *
copy_key(OssDrain *drain, const OssLaneKey *key)
{
	OssLaneKey *copy = MemoryContextAlloc(drain->context, sizeof(OssLaneKey));

	*copy = *key;
	copy->server = MemoryContextStrdup(drain->context, key->server);
	copy->bucket = MemoryContextStrdup(drain->context, key->bucket);
	return copy;
}

/*
 * List lanes, going on where the last list ended.  One whose first job is of a
 * higher priority than where we are is read anew.
 */
static void
list_lanes(OssDrain *drain)
{
	List	   *heads = oss_job_lanes(drain->listed, MOST_LISTED);
	ListCell   *cell;

	if (drain->listed)
	{
		pfree(drain->listed->server);
		pfree(drain->listed->bucket);
		pfree(drain->listed);
		drain->listed = NULL;
	}
	if (list_length(heads) == MOST_LISTED)
		drain->listed = copy_key(drain, &((OssLaneHead *) llast(heads))->key);
	foreach(cell, heads)
	{
		OssLaneHead *head = lfirst(cell);
		DrainLane  *lane;

		if (drain->only_server &&
			strcmp(drain->only_server, head->server) != 0)
			continue;
		lane = oss_drain_lane(drain, head,
							  list_length(drain->lanes) < MOST_LANES);
		if (lane == NULL)
			continue;
		lane->role = head->role;
		lane->empty = false;
		if (head->rank < lane->place.rank)
			rewind_lane(lane);
		if (lane->place.rank == PG_INT32_MIN)
			lane->head = head->rank;
	}
	drain->unseen = drain->listed != NULL;
}

/*
 * Are we the only ones to drain this queue?  If not, claims take turns, each
 * seeing the leases of the one before; false when it is another's turn.
 */
static bool
take_turn(const OssDrain *drain, bool *alone)
{
	*alone = drain->patient && !oss_foreground_any();
	return *alone ||
		ConditionalLockRelationOid(get_relname_relid("halted",
													 get_namespace_oid("oss_labels", false)),
								   ShareUpdateExclusiveLock);
}

/*
 * Return the lane that claims next, of the highest priority and then the one
 * whose turn is longest ago.  *n is its fair share, and *most_rank how far it
 * may go before another's turn comes.
 */
static DrainLane *
next_lane(OssDrain *drain, int64 now, int *n, int32 *most_rank)
{
	DrainLane  *best = NULL;
	int			best_room = 0;
	int			equals = 0;
	ListCell   *cell;

	*most_rank = PG_INT32_MAX;
	foreach(cell, drain->lanes)
	{
		DrainLane  *lane = lfirst(cell);
		int			room;

		if (lane->drained || lane->paused ||
			(room = oss_drain_room(drain, lane, now)) <= 0)
			continue;
		if (best && lane->head != best->head)
			*most_rank = Min(*most_rank, Max(lane->head, best->head) - 1);
		else
			equals++;
		if (best && lane->head < best->head)
			equals = 1;
		if (best == NULL || lane->head < best->head ||
			(lane->head == best->head && lane->turn < best->turn))
		{
			best = lane;
			best_room = room;
		}
	}
	*n = (int) Min(Max(best_room / Max(equals, 1), 1), drain->budget);
	return best;
}

/* Claim, lane by lane. */
static void
claim_in_turns(OssDrain *drain, bool alone)
{
	int64		now = http_clock_us();
	int			left = MOST_SEEN_BY_TURN;

	for (int i = 0; i < MOST_CLAIMS && left > 0 && drain->budget > 0; i++)
	{
		int			n;
		int32		most_rank;
		int			nclaimed = 0;
		DrainLane  *lane = next_lane(drain, now, &n, &most_rank);

		if (lane == NULL)
			return;
		if (i >= MOST_STRICT)
			most_rank = PG_INT32_MAX;
		left -= oss_drain_claim_lane(drain, lane, n, most_rank, alone,
									 &nclaimed);

		/* they are ready as soon as we commit */
		lane->bucket->server->nclaimed += nclaimed;
		lane->bucket->nclaimed += nclaimed;
	}
}

/* Find out when the first job may start of those that may not yet. */
static void
find_next_due(OssDrain *drain)
{
	int64		now = http_clock_us();
	int64		claim_at = 0;
	ListCell   *cell;

	drain->next_due = 0;
	foreach(cell, drain->lanes)
	{
		DrainLane  *lane = lfirst(cell);
		TimestampTz due = lane->again_at;

		if (lane->paused)
			continue;
		if (!lane->drained)
		{
			int64		open_at = oss_drain_open_at(lane, now);

			due = GetCurrentTimestamp() + (open_at - now);
			if (claim_at == 0 || open_at < claim_at)
				claim_at = open_at;
		}
		if (due != 0 && (drain->next_due == 0 || due < drain->next_due))
			drain->next_due = due;
	}
	drain->claim_at = claim_at;
	if (drain->next_due != 0)
	{
		int64		due = now + Max(drain->next_due - GetCurrentTimestamp(), 0);

		if (claim_at == 0 || due < claim_at)
			drain->claim_at = due;
	}
}

/* Look again at the lanes where that is due. */
static void
reopen_lanes(OssDrain *drain, bool again)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *cell;

	foreach(cell, drain->lanes)
	{
		DrainLane  *lane = lfirst(cell);

		if (again)
			rewind_lane(lane);
		else if (drain->woken ||
				 (lane->again_at != 0 && lane->again_at <= now))
			reopen_lane(lane);
	}
}

/* Note what a look from the beginning cost, and when the next one is. */
static void
end_scan(OssDrain *drain, int64 start)
{
	int64		end = http_clock_us();
	int64		us = (end - start) * COST;

	drain->late = false;
	drain->rescan_at = end + us;
	us = Max(us, SCAN_US);
	if (!oss_drain_busy(drain) && dlist_is_empty(&drain->claimed))
		us = Max(us, SCAN_IDLE_US);
	drain->scan_at = end + us;
}

/* Claim what the servers want. */
void
oss_drain_claim(OssDrain *drain)
{
	int64		now = http_clock_us();
	bool		again = from_beginning(drain, now);
	bool		list = again ||
	((drain->woken || drain->unseen) && now >= drain->lanes_at);
	bool		woken = drain->woken;
	int64		list_us = 0;
	bool		alone;
	ListCell   *cell;

	if (drain->settle_troubles > 0)
	{
		drain->scan_at = Max(drain->scan_at, now + TROUBLE_US);
		return;
	}
	reopen_lanes(drain, again);
	oss_drain_follow_servers(drain);
	if (list)
	{
		int64		begin = http_clock_us();

		list_lanes(drain);
		list_us = http_clock_us() - begin;
	}
	mark_paused(drain, oss_pause_list());
	drain->woken = false;
	if (!take_turn(drain, &alone))
	{
		drain->woken = woken;
		drain->scan_at = Max(drain->scan_at, now + TURN_US);
		drain->claim_at = drain->yield_until = now + TURN_US;
		return;
	}
	foreach(cell, drain->servers)
		((DrainServer *) lfirst(cell))->nclaimed = 0;
	foreach(cell, drain->buckets)
		((DrainBucket *) lfirst(cell))->nclaimed = 0;
	claim_in_turns(drain, alone);
	if (list)
		drain->lanes_at = http_clock_us() + list_us * COST;
	else if (woken)
		drain->unseen = true;
	if (list)
		elog(DEBUG1, "oss_labels: listed %d lanes%s in %.1f ms",
			 list_length(drain->lanes), again ? " and read them anew" : "",
			 (http_clock_us() - now) / 1000.0);
	if (again)
		end_scan(drain, now);
	find_next_due(drain);
	oss_drain_sweep(drain);
}
