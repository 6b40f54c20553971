/*-------------------------------------------------------------------------
 * dispatch.c
 *	  Draining the queue, the side of the network: requests are started one by
 *	  one as others end, and each answer gets a verdict.
 *
 * Nothing here needs a transaction.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "client/http.h"
#include "client/rate_limit.h"
#include "common/pg_prng.h"
#include "dispatch/dispatch.h"
#include "miscadmin.h"
#include "queue/worker_slot.h"
#include "spi/wait_event.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* First and longest wait before a failed job is tried again. */
#define BACKOFF_FIRST_MS 1000.0
#define BACKOFF_LAST_MS 600000.0

/*
 * Jobs in a row whose first requests all came to nothing, after which it is the
 * service that is not well.
 */
#define OUTAGE_LIMIT 100

/* The same for a bucket whose endpoint can't be reached, or is not well. */
#define HOLD_FIRST_MS 500
#define HOLD_LAST_MS 30000

/* What was woken while busy waits so long for others to join it. */
#define WAKE_US 5000

/*
 * Finished jobs that are settled by one turn, more or less: while answers are
 * waiting to be taken, and when there is nothing else to do.
 */
#define BATCH 256
#define IDLE_BATCH 64

int			oss_job_attempts = 5;

/* Return the sooner of two waits, of which -1 is never. */
static long
sooner(long a, long b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : Min(a, b);
}

/* Make a drain. */
OssDrain *
oss_drain_create(MemoryContext parent, const char *only_server, int64 budget)
{
	MemoryContext context = AllocSetContextCreate(parent, "OSS labels drain",
												  ALLOCSET_DEFAULT_SIZES);
	OssDrain   *drain = MemoryContextAllocZero(context, sizeof(OssDrain));

	drain->context = context;
	drain->turn = AllocSetContextCreate(context, "OSS labels turn",
										ALLOCSET_DEFAULT_SIZES);
	drain->group = oss_group_create(context);
	drain->token = oss_lease_token();
	if (only_server)
		drain->only_server = MemoryContextStrdup(context, only_server);
	drain->budget = budget < 0 ? PG_INT64_MAX : budget;
	dlist_init(&drain->resting);
	dlist_init(&drain->finished);
	dlist_init(&drain->blocked);
	dlist_init(&drain->settled);
	dlist_init(&drain->claimed);
	drain->woken = true;
	drain->answer_ms = 20;
	drain->batch = BATCH;
	return drain;
}

/* Something was enqueued or changed. */
void
oss_drain_wake(OssDrain *drain)
{
	drain->woken = true;
	drain->late = true;
}

/* Is a job in hand? */
bool
oss_drain_busy(const OssDrain *drain)
{
	return drain->in_flight > 0 || drain->nready > 0 || drain->nresting > 0 ||
		drain->nfinished > 0 || drain->nblocked > 0;
}

/* Is a job not in hand for no other reason than that the service wants it later? */
bool
oss_drain_awaits(const OssDrain *drain)
{
	ListCell   *cell;

	if (drain->budget <= 0)
		return false;
	if (drain->throttled_until > http_clock_us())
		return true;
	foreach(cell, drain->lanes)
	{
		const DrainLane *lane = lfirst(cell);

		if (!lane->drained && !lane->paused && lane->bucket->held == 0)
			return true;
	}
	return false;
}

/* Are jobs in hand whose answers are paid for, or on their way? */
bool
oss_drain_holds_answers(const OssDrain *drain)
{
	return drain->in_flight > 0 || drain->nfinished > 0 || drain->nblocked > 0;
}

/* Move a job to the finished ones. */
static void
to_finished(OssDrain *drain, OssJob *job, OssVerdict verdict)
{
	job->verdict = verdict;
	if (drain->nfinished++ == 0)
		drain->finished_since = http_clock_us();
	drain->newest_start = Max(drain->newest_start, job->started_at);
	dlist_push_tail(&drain->finished, &job->node);
}

/*
 * Give followers their verdict.  What failed with one role's credentials may
 * succeed with another's.
 */
static void
finish_followers(OssDrain *drain, OssJob *leader, OssVerdict verdict)
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
			to_finished(drain, job, verdict);
		}
		else
		{
			job->due = leader->answer ? leader->due : GetCurrentTimestamp();
			job->refund = true;
			to_finished(drain, job, OSS_VERDICT_LATER);
		}
	}
	leader->followers = NULL;
	leader->nfollowers = 0;
}

/* Set a job's verdict; an answer's followers stay with it. */
void
oss_drain_finish(OssDrain *drain, OssJob *job, OssVerdict verdict)
{
	if (verdict != OSS_VERDICT_ANSWERED)
	{
		oss_drain_forget(drain, job);
		finish_followers(drain, job, verdict);
	}
	to_finished(drain, job, verdict);
}

/* Put a job back into the queue. */
void
oss_drain_finish_later(OssDrain *drain, OssJob *job, double ms, bool refund)
{
	job->due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) ms);
	job->refund = refund;
	oss_drain_finish(drain, job, OSS_VERDICT_LATER);
}

/* Give a job back that was not begun. */
void
oss_drain_give_back(OssDrain *drain, OssJob *job)
{
	oss_drain_finish_later(drain, job, 0, true);
}

/* Let a bucket rest that can't be reached, or is not well; returns for how long. */
static double
hold_bucket(DrainBucket *bucket)
{
	int64		now = http_clock_us();

	if (bucket->held_until <= now)
	{
		int64		ms = (int64) HOLD_FIRST_MS << Min(bucket->held, 10);

		bucket->held++;
		bucket->held_until = now + Min(ms, HOLD_LAST_MS) * 1000;
		elog(DEBUG1, "oss_labels: bucket \"%s\" of server \"%s\" can't be used, held for " INT64_FORMAT " ms",
			 bucket->name, bucket->server->name,
			 Min(ms, (int64) HOLD_LAST_MS));
	}
	return (bucket->held_until - now) / 1000.0;
}

/* Is it the service that is not well, rather than some images? */
static bool
is_unwell(const DrainBucket *bucket)
{
	return bucket->fruitless >= OUTAGE_LIMIT;
}

/* Decide what becomes of a job whose request failed. */
static void
take_failure(OssDrain *drain, OssJob *job, const OssFailure *failure)
{
	oss_job_set_failure(job, failure);
	if (failure->retry == OSS_RETRY_THROTTLED)
	{
		oss_drain_take_throttle(drain, job, failure);
		return;
	}
	job->throttles = 0;
	if (failure->sqlerrcode == ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION)
		oss_drain_finish_later(drain, job, hold_bucket(job->lane->bucket), true);
	else if (oss_scope_is_setup(failure->scope) &&
			 failure->scope != OSS_SCOPE_CALL)
	{
		/* settling writes the pause */
		job->pause = failure->scope;
		job->lane->bucket->server->pausing = true;
		oss_drain_finish_later(drain, job, 0, true);
	}
	else if (failure->retry == OSS_RETRY_TRANSIENT &&
			 job->attempts < oss_job_attempts)
	{
		double		ms = Min(BACKOFF_FIRST_MS * pow(2, job->attempts - 1),
							 BACKOFF_LAST_MS);

		ms *= 0.5 + pg_prng_double(&pg_global_prng_state);
		if (is_unwell(job->lane->bucket))
			ms = Max(ms, hold_bucket(job->lane->bucket));
		elog(DEBUG1, "oss_labels: job " INT64_FORMAT " failed and is tried again: %s",
			 job->place.id, failure->message);
		oss_drain_finish_later(drain, job, Max(ms, failure->delay_ms), false);
	}
	else
		oss_drain_finish(drain, job, OSS_VERDICT_FAILED);
}

/* A job is not in flight any more. */
static void
landed(OssDrain *drain, OssJob *job)
{
	DrainLane  *lane = job->lane;

	drain->in_flight--;
	lane->in_flight--;
	lane->bucket->in_flight--;
	lane->bucket->server->in_flight--;
}

/*
 * Count the jobs in a row whose requests came to nothing.  One that failed before
 * may do so for its image's sake.
 */
static void
count_fruitless(OssJob *job, const OssFailure *failure)
{
	DrainBucket *bucket = job->lane->bucket;

	if (failure == NULL || failure->retry != OSS_RETRY_TRANSIENT)
		bucket->fruitless = 0;
	else if (job->attempts == 1)
		bucket->fruitless++;
}

/* Note that a bucket was reached, and whether it answered. */
static void
note_answer(OssJob *job, const OssFailure *failure, int64 now)
{
	DrainBucket *bucket = job->lane->bucket;

	count_fruitless(job, failure);
	if (failure && (failure->http_status == 0 || is_unwell(bucket)))
		return;
	bucket->held = 0;
	bucket->held_until = bucket->open_at = 0;
	oss_drain_hear(bucket, now);
	if (failure && failure->retry == OSS_RETRY_THROTTLED)
		return;
	bucket->barren = 0;
	bucket->answered += (1 - bucket->answered) / 16;
	if (job->throttles > 0)
		bucket->relenting += (1 - bucket->relenting) / 8;
	oss_drain_count_answer(bucket, now);
}

/* Take a finished request. */
static void
take_request(OssDrain *drain, OssRequest *request)
{
	OssJob	   *job = oss_request_tag(request);
	const OssFailure *failure = oss_request_failure(request);
	int64		now = http_clock_us();

	landed(drain, job);
	drain->answer_ms += ((now - job->sent_at) / 1000.0 - drain->answer_ms) / 64;
	note_answer(job, failure, now);
	oss_drain_learn_of_throttles(job);
	if (failure)
		take_failure(drain, job, failure);
	else
		oss_drain_finish(drain, job, OSS_VERDICT_ANSWERED);
}

/* Send a job's request. */
static void
start_job(OssDrain *drain, OssJob *job)
{
	OssLabelsSpec spec = {0};
	DrainLane  *lane = job->lane;

	job->suspect = lane->bucket->objects ||
		(job->throttles > 0 && lane->bucket->answered >= 0.5);
	spec.server = job->target;
	spec.bucket = job->names_utf8[0];
	spec.key = job->names_utf8[1];
	spec.version_id = job->names_utf8[2];
	spec.has_thr = job->has_thr;
	spec.thr = job->thr;
	spec.max_attempts = 1;
	spec.queued = true;
	spec.suspect = job->suspect;
	job->started_at = GetCurrentTimestamp();
	job->sent_at = http_clock_us();
	job->request = oss_request_start(drain->group, &spec, job);
	oss_drain_unready(drain, job);
	drain->in_flight++;
	lane->in_flight++;
	lane->bucket->in_flight++;
	lane->bucket->server->in_flight++;
}

/*
 * Start what may be started.  Returns for how many ms to wait before asking
 * again, -1 when only an answer or a claim can change anything.
 */
static long
start_ready(OssDrain *drain)
{
	ListCell   *cell;
	long		wait_ms = oss_drain_end_rests(drain);
	int64		now = drain->nready > 0 ? http_clock_us() : 0;

	foreach(cell, drain->servers)
	{
		DrainServer *server = lfirst(cell);
		OssJob	   *job;
		long		ms = -1;

		while (server->nready > 0 &&
			   (job = oss_drain_next_ready(server, now, &ms)) != NULL)
			start_job(drain, job);
		wait_ms = sooner(wait_ms, ms);
	}
	return wait_ms;
}

/* Wait for the latch when nothing is in flight. */
static void
sleep_idle(long ms)
{
	if (ms == 0)
		return;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
					 (ms > 0 ? WL_TIMEOUT : 0), ms, oss_queue_wait_event());
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Start requests and take answers. */
void
oss_drain_network(OssDrain *drain, long timeout_ms)
{
	long		ms = sooner(start_ready(drain), timeout_ms);
	OssRequest *request;

	drain->batch = BATCH;
	if (drain->in_flight == 0)
	{
		sleep_idle(ms);
		return;
	}
	while ((request = oss_group_wait(drain->group, ms)) != NULL)
	{
		take_request(drain, request);
		(void) start_ready(drain);
		if (drain->in_flight == 0 || drain->nfinished >= BATCH ||
			oss_drain_tables_due(drain) == 0)
			return;
		ms = 0;
	}
	drain->batch = IDLE_BATCH;
}

/*
 * Take what answers there are, and start what may follow them, in the middle
 * of a long turn on the tables.
 */
void
oss_drain_glance(OssDrain *drain)
{
	OssRequest *request;

	for (int n = drain->in_flight; n > 0; n--)
	{
		request = oss_group_wait(drain->group, 0);
		if (request == NULL)
			break;
		take_request(drain, request);
		(void) start_ready(drain);
	}
}

/* Return how long finished jobs may wait for others to join them. */
static double
settle_interval(const OssDrain *drain)
{
	double		ms = Max(drain->answer_ms / 5, drain->tables_ms);

	return Min(Max(ms, 2), 50);
}

/* Is a server short of ready jobs that may be there? */
static bool
wants_jobs(OssDrain *drain, int64 now)
{
	ListCell   *cell;

	if (drain->budget <= 0 || drain->settle_troubles > 0 ||
		now < drain->yield_until)
		return false;
	foreach(cell, drain->lanes)
	{
		DrainLane  *lane = lfirst(cell);
		int			room;

		if (lane->drained || lane->paused)
			continue;
		room = oss_drain_room(drain, lane, now);
		if (room > 0 && room >= lane->bucket->server->nready)
			return true;
	}
	return false;
}

/* Return ms until a time, 0 when it has come. */
static long
ms_until(int64 when, int64 now)
{
	return when <= now ? 0 : (long) ((when - now + 999) / 1000);
}

/* For how many ms may finished jobs wait? */
static long
settle_due(const OssDrain *drain, int64 now)
{
	int64		at = drain->finished_since;
	long		ms = -1;

	if (drain->nblocked > 0)
		ms = ms_until(Max(drain->blocked_due, drain->settle_at), now);
	if (drain->nfinished == 0)
		return ms;
	if (drain->nfinished < drain->batch && drain->in_flight > 0)
		at += (int64) (settle_interval(drain) * 1000);
	return sooner(ms, ms_until(Max(at, drain->settle_at), now));
}

/* For how many ms is a turn on the tables not wanted? */
long
oss_drain_tables_due(OssDrain *drain)
{
	int64		now = http_clock_us();
	bool		busy = oss_drain_busy(drain);
	long		ms;

	if (drain->stopping)
		return drain->nfinished > 0 || drain->nblocked > 0 ? 0 : -1;
	ms = settle_due(drain, now);
	if (ms == 0 || wants_jobs(drain, now))
		return 0;

	/* not one turn for each commit of a busy time */
	if (drain->woken && drain->settle_troubles == 0)
		ms = sooner(ms, busy ? ms_until(drain->turned_at + WAKE_US, now) : 0);
	if (drain->unseen)
		ms = sooner(ms, ms_until(drain->lanes_at, now));
	if (drain->claim_at != 0)
		ms = sooner(ms, ms_until(drain->claim_at, now));
	if (drain->nready + drain->nresting > 0)
		ms = sooner(ms, ms_until(drain->check_at, now));
	ms = sooner(ms, ms_until(drain->scan_at, now));
	if (busy)
		ms = sooner(ms, ms_until(drain->renew_at, now));
	else if (drain->late)
		ms = sooner(ms, ms_until(drain->rescan_at, now));
	return ms;
}

/* Claim and start nothing more, and give back what is not begun. */
void
oss_drain_stop(OssDrain *drain)
{
	ListCell   *cell;

	drain->stopping = true;
	drain->settle_at = drain->blocked_due = 0;
	foreach(cell, drain->lanes)
	{
		DrainLane  *lane = lfirst(cell);

		while (lane->nready > 0)
		{
			OssJob	   *job = dlist_head_element(OssJob, node, &lane->ready);

			oss_drain_unready(drain, job);
			oss_drain_give_back(drain, job);
		}
	}
	while (drain->nresting > 0)
	{
		OssJob	   *job = dlist_head_element(OssJob, node, &drain->resting);

		oss_drain_end_rest(drain, job);
		oss_drain_give_back(drain, job);
	}
}

/* Leave to others what is answered and could not be stored. */
void
oss_drain_leave_all(OssDrain *drain)
{
	Assert(drain->stopping && drain->in_flight == 0);
	drain->leaving = true;
	drain->settle_at = drain->blocked_due = 0;
}

/*
 * Take the answers that have come, for they are paid for, and cancel what is
 * in flight.  A request that was sent may be paid for, too: its attempt counts.
 */
void
oss_drain_cancel(OssDrain *drain)
{
	static const OssReason reason = {
		.sqlerrcode = ERRCODE_QUERY_CANCELED,
		.message = "the process that asked for it was stopped"
	};
	OssRequest *request;

	Assert(drain->stopping && drain->nready == 0);
	while ((request = oss_group_wait(drain->group, 0)) != NULL)
		take_request(drain, request);
	for (int i = 0; i < DRAIN_HASH && drain->in_flight > 0; i++)
	{
		OssJob	   *next;

		for (OssJob *job = drain->objects[i]; job; job = next)
		{
			next = job->same_hash;
			if (job->verdict != OSS_VERDICT_NONE)
				continue;
			oss_request_free(job->request);
			job->request = NULL;
			landed(drain, job);
			oss_job_set_reason(job, &reason);
			oss_drain_finish_later(drain, job, 0, false);
		}
	}
}
