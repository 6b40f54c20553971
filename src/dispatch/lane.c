/*-------------------------------------------------------------------------
 * lane.c
 *	  Dispatching: the ready jobs of lanes, which starts next, and limits.
 *
 * A lane has the jobs of one server, bucket, requester and origin.  The job of
 * the highest priority starts first; among equals one of the lane with the
 * fewest requests in flight, and among those of the lane that was served
 * longest ago.  A rate limit or an unreachable endpoint stops only the lanes
 * of its bucket.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/rate_limit.h"
#include "dispatch/finished.h"
#include "dispatch/lane.h"
#include "utils/memutils.h"

/* Ready jobs of a server, in addition to its free slots. */
#define LEAST_READY 4
#define MOST_READY 2048

/* Keep as many jobs ready as are answered in so many seconds. */
#define READY_SECONDS 0.25

/*
 * The window in which answers are counted, and the least age at which its rate
 * is used.
 */
#define WINDOW_US 250000
#define MOMENT_US 50000

/* How soon to look again at a lane that waits for its rates. */
#define LEAST_LOOK_MS 50L
#define LOOK_MS 500L

/* A bucket is silent if it has not answered for so long. */
#define SILENT_US 1000000

/* Jobs that cannot start within this time are given back. */
#define HELD_MS 1000L

/* How long a computed allowance is used. */
#define ALLOWANCE_US 20000

void
oss_dispatch_make_ready(OssDispatcher *dispatcher, OssJob *job)
{
	DispatchLane *lane = job->lane;
	DispatchServer *server = lane->bucket->server;
	dlist_node *before = dlist_is_empty(&lane->ready) ? NULL :
	dlist_tail_node(&lane->ready);

	Assert(job->verdict == OSS_VERDICT_NONE && job->target != NULL);
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
	dispatcher->hand.nready++;
}

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
	dispatcher->hand.nready--;
}

/* Return the rank of a lane's first ready job. */
static int32
ready_rank(DispatchLane *lane)
{
	return dlist_head_element(OssJob, node, &lane->ready)->place.rank;
}

/* Does a lane's first job start before another's? */
static bool
goes_before(DispatchLane *a, DispatchLane *b)
{
	int32		x = ready_rank(a);
	int32		y = ready_rank(b);

	return x != y ? x < y : a->in_flight < b->in_flight;
}

void
oss_dispatch_note_answer(DispatchBucket *bucket, int64 now)
{
	if (now - bucket->answered_at > SILENT_US)
		bucket->answers_in_row = 0;
	bucket->answered_at = now;
	bucket->answers_in_row++;
}

/*
 * Return how many more requests a bucket may have in flight.  A silent bucket
 * gets half of what the others leave, so that requests that hang do not take
 * all slots.  Each answer adds one.
 */
static int
silent_room(const DispatchBucket *bucket, int64 now)
{
	const DispatchServer *server = bucket->server;
	int			others = server->in_flight - bucket->in_flight;
	int			most = Max((server->max_concurrency - others + 1) / 2, 1);

	if (now - bucket->answered_at <= SILENT_US)
		most += Min(bucket->answers_in_row, server->max_concurrency);
	return Max(most - bucket->in_flight, 0);
}

/*
 * May a lane's bucket start another request?  If not, lowers *ms to the time
 * until it may.
 */
static bool
may_start(DispatchLane *lane, int64 now, long *ms)
{
	DispatchBucket *bucket = lane->bucket;
	OssJob	   *job = dlist_head_element(OssJob, node, &lane->ready);

	if (bucket->unreached > 0)
	{
		/* one request is enough to see whether the endpoint is back */
		if (bucket->in_flight > 0)
			return false;
		bucket->open_at = Max(bucket->open_at, bucket->unreached_until);
	}
	if (silent_room(bucket, now) == 0)
		return false;
	if (bucket->open_at <= now)
	{
		long		wait = oss_rate_wait(job->target, job->utf8.bucket);

		if (wait == 0)
			return true;
		bucket->open_at = now + Min(wait, OSS_RATE_LOOK_MS) * INT64CONST(1000);
	}
	*ms = oss_wait_until(*ms, now, bucket->open_at);
	return false;
}

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

/* Start a new window when the current one is over. */
static void
turn_window(AnswerRate *rate, int64 now)
{
	int64		age = now - rate->window_at;

	if (age < WINDOW_US)
		return;
	rate->last_rate = rate->answers * 1e6 / age;
	rate->answers = 0;
	rate->window_at = now;
}

void
oss_dispatch_count_answer(DispatchBucket *bucket, int64 now)
{
	turn_window(&bucket->rate, now);
	bucket->rate.answers++;
	turn_window(&bucket->server->rate, now);
	bucket->server->rate.answers++;
}

/* Return how many ready jobs to hold, in addition to the free slots. */
static int
reserved_slots(AnswerRate *answers, int64 now)
{
	double		rate;

	turn_window(answers, now);
	rate = answers->answers * 1e6 / Max(now - answers->window_at, MOMENT_US);
	rate = Max(rate, answers->last_rate) * READY_SECONDS;
	return (int) Min(Max(rate, LEAST_READY), MOST_READY);
}

/*
 * Return how many requests of a bucket may start within a second, by its rates
 * and its silence.
 */
static int
bucket_allowance(DispatchBucket *bucket, int64 now)
{
	OssServer  *target = bucket->server->target;

	if (now - bucket->answered_at > SILENT_US)
		return silent_room(bucket, now);
	if (target == NULL || bucket->name_utf8 == NULL)
		return bucket->server->max_concurrency;
	if (now - bucket->allowance_at >= ALLOWANCE_US)
	{
		bucket->allowance = oss_rate_allowance(target, bucket->name_utf8);
		bucket->allowance_at = now;
	}
	return bucket->allowance;
}

/* Is a bucket held or unreached, so that it starts nothing for a while? */
static bool
is_unreached(const DispatchBucket *bucket)
{
	const DispatchServer *server = bucket->server;

	return bucket->unreached > 0 ||
		(server->target && bucket->name_utf8 &&
		 oss_rate_wait(server->target, bucket->name_utf8) > HELD_MS);
}

void
oss_dispatch_give_back_excess(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();

	foreach_ptr(DispatchLane, lane, dispatcher->queue.lanes)
	{
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

/* Does a lane's next job start before all ready ones of its server? */
static bool
is_ahead(const DispatchLane *lane)
{
	dlist_iter	iter;

	dlist_foreach(iter, &lane->bucket->server->lanes)
	{
		if (ready_rank(dlist_container(DispatchLane, node, iter.cur)) <= lane->next_rank)
			return false;
	}
	return true;
}

/*
 * Return how many jobs a lane may claim, considering its blocked answers.  Its
 * share of OSS_MOST_BLOCKED leaves room for other lanes.  Beyond its share a
 * few at a time are claimed: locked ones are put off without a request, and
 * others may follow them.
 */
static int
blocked_room(const OssDispatcher *dispatcher, const DispatchLane *lane)
{
	int			share = Max((OSS_MOST_BLOCKED - dispatcher->hand.nblocked) / 2, LEAST_BLOCKED);

	if (lane->nblocked < share)
		return PG_INT32_MAX;
	return lane->nblocked < 2 * share ? LEAST_BLOCKED : 0;
}

int
oss_dispatch_room(const OssDispatcher *dispatcher, DispatchLane *lane, int64 now)
{
	DispatchBucket *bucket = lane->bucket;
	DispatchServer *server = bucket->server;
	int			slots = server->max_concurrency - server->in_flight;
	int			ready = bucket->nready + bucket->nclaimed;
	int			room = Max(slots, 0) + reserved_slots(&server->rate, now) -
	server->nready - server->nclaimed;
	int			most = blocked_room(dispatcher, lane);
	int			allowed;

	if (most == 0)
		return 0;
	if (bucket->unreached > 0)
		return bucket->unreached_until > now ? 0 :
			Max(1 - ready - bucket->in_flight, 0);
	allowed = bucket_allowance(bucket, now);
	room = Min(room, allowed - ready);

	/*
	 * jobs that wait for a slow bucket would keep others from becoming ready
	 */
	room = Min(room, Max(slots, 0) + reserved_slots(&bucket->rate, now) - ready);
	if (room <= 0 && allowed > 0 && server->nready > 0 &&
		bucket->nclaimed == 0 && is_ahead(lane))
		room = Min(allowed, LEAST_READY);
	return Max(Min(room, most), 0);
}

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

void
oss_dispatch_note_skipped(DispatchLane *lane, const OssPlace *place, TimestampTz at)
{
	if (lane->skipped_due == 0 || oss_place_compare(place, &lane->skipped) < 0)
		lane->skipped = *place;
	lane->skipped_due = lane->skipped_due == 0 ? at : Min(lane->skipped_due, at);
}

void
oss_dispatch_free_job(OssJob *job)
{
	Assert(job->lane->njobs > 0);
	job->lane->njobs--;
	oss_job_free(job);
}

static bool
pause_concerns_lane(const OssPause *pause, const DispatchLane *lane, Oid role)
{
	return oss_pause_concerns(pause, lane->bucket->server->name,
							  lane->bucket->name, role);
}

bool
oss_dispatch_is_paused(List *pauses, const DispatchLane *lane, Oid role, const char *key)
{
	foreach_ptr(const OssPause, pause, pauses)
	{
		if (pause->directory != NULL &&
			(key == NULL || !oss_in_directory(key, pause->directory)))
			continue;
		if (pause_concerns_lane(pause, lane, role))
			return true;
	}
	return false;
}

List *
oss_dispatch_paused_directories(List *pauses, const DispatchLane *lane, Oid role)
{
	List	   *closed = NIL;

	foreach_ptr(const OssPause, pause, pauses)
	{
		if (pause->directory != NULL && pause_concerns_lane(pause, lane, role))
			closed = lappend(closed, unconstify(char *, pause->directory));
	}
	return closed;
}
