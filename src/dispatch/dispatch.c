/*-------------------------------------------------------------------------
 * dispatch.c
 *	  Dispatching, without a transaction: requests are started one by one
 *	  as others end, and each answer gets a verdict.
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
#include "dispatch/finished.h"
#include "dispatch/lane.h"
#include "dispatch/throttle.h"
#include "miscadmin.h"
#include "spi/wait_event.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* First and longest wait before a failed job is tried again. */
#define BACKOFF_FIRST_MS 1000.0
#define BACKOFF_LAST_MS 600000.0

/*
 * After so many first requests in a row that failed transiently, the fault is
 * taken for the service's.
 */
#define OUTAGE_LIMIT 100

/*
 * First and longest hold of a bucket that is not reached, or whose service
 * fails.
 */
#define HOLD_FIRST_MS 500
#define HOLD_LAST_MS 30000

/* After a wake while busy, wait so long for others to come. */
#define WAKE_US 5000

/*
 * Finished jobs for which a turn is taken at once: while answers are coming
 * in, and while there is nothing else to do.
 */
#define BATCH 256
#define IDLE_BATCH 64

/* How often to see whether a page of a listing has come. */
#define PAGE_MS 50

/*
 * For how long a job is put back while a session requests its image, and when a
 * session has the answer; and for how long that answer is expected to be stored.
 */
#define FLIGHT_ASKED_MS 100
#define FLIGHT_ANSWERED_MS 1000
#define FLIGHT_COVERS_US (INT64CONST(30) * USECS_PER_SEC)

OssDispatcher *
oss_dispatch_create(MemoryContext parent, const char *only_server, int64 budget)
{
	MemoryContext context = AllocSetContextCreate(parent, "oss_labels dispatcher",
												  ALLOCSET_DEFAULT_SIZES);
	OssDispatcher *dispatcher = MemoryContextAllocZero(context, sizeof(OssDispatcher));

	dispatcher->context = context;
	dispatcher->turn_context = AllocSetContextCreate(context, "oss_labels dispatcher turn",
													 ALLOCSET_DEFAULT_SIZES);
	dispatcher->network.group = oss_group_create(context);
	dispatcher->token = oss_lease_token();
	if (only_server)
		dispatcher->only_server = MemoryContextStrdup(context, only_server);
	dispatcher->syncs = oss_syncs_create(context, dispatcher->only_server, dispatcher->token);
	dispatcher->claim.budget = budget < 0 ? PG_INT64_MAX : budget;
	dlist_init(&dispatcher->hand.resting);
	dlist_init(&dispatcher->hand.finished);
	dlist_init(&dispatcher->hand.blocked);
	dlist_init(&dispatcher->hand.settled);
	dlist_init(&dispatcher->hand.claimed);
	dispatcher->claim.woken = true;
	dispatcher->network.answer_ms = 20;
	dispatcher->settle.batch = BATCH;
	return dispatcher;
}

void
oss_dispatch_wake(OssDispatcher *dispatcher)
{
	dispatcher->claim.woken = true;
	dispatcher->claim.behind = true;
	oss_syncs_wake(dispatcher->syncs);
}

bool
oss_dispatch_busy(const OssDispatcher *dispatcher)
{
	return dispatcher->network.in_flight > 0 || dispatcher->hand.nready > 0 || dispatcher->hand.nresting > 0 ||
		dispatcher->hand.nfinished > 0 || dispatcher->hand.nblocked > 0;
}

bool
oss_dispatch_awaits(const OssDispatcher *dispatcher)
{
	ListCell   *cell;

	if (dispatcher->claim.budget <= 0)
		return false;
	if (dispatcher->network.throttled_until > oss_clock_us())
		return true;
	foreach(cell, dispatcher->queue.lanes)
	{
		const DispatchLane *lane = lfirst(cell);

		if (lane->state == LANE_OPEN && lane->bucket->unreached == 0)
			return true;
	}
	return false;
}

bool
oss_dispatch_holds_answers(const OssDispatcher *dispatcher)
{
	return dispatcher->network.in_flight > 0 || dispatcher->hand.nfinished > 0 || dispatcher->hand.nblocked > 0;
}

/*
 * Hold a bucket that is not reached, or whose service fails.  Its jobs remain
 * due, so that they start when the hold ends.
 */
static void
back_off_bucket(DispatchBucket *bucket)
{
	int64		now = oss_clock_us();
	int64		ms = (int64) HOLD_FIRST_MS << Min(bucket->unreached, 10);

	if (bucket->unreached_until > now)
		return;
	bucket->unreached++;
	bucket->unreached_until = now + Min(ms, HOLD_LAST_MS) * 1000;
	elog(DEBUG1, "oss_labels: bucket \"%s\" of server \"%s\" can't be used, held for " INT64_FORMAT " ms",
		 bucket->name, bucket->server->name, Min(ms, (int64) HOLD_LAST_MS));
}

/* Does a bucket's service fail, rather than single images? */
static bool
is_unwell(const DispatchBucket *bucket)
{
	return bucket->failures_in_row >= OUTAGE_LIMIT;
}

/* Put off a job that a budget refuses, and pause what the budget covers. */
static void
take_refusal(OssDispatcher *dispatcher, OssJob *job, const OssFailure *failure)
{
	int64		us = failure->until - GetCurrentTimestamp();

	job->budget = failure->budget;
	job->budget_scope = failure->budget_scope;
	job->pause = OSS_SCOPE_SERVER;
	job->pause_s = (int) Min(Max(us / USECS_PER_SEC + 1, 1), INT_MAX);
	job->lane->bucket->server->pausing = true;
	oss_dispatch_finish_later(dispatcher, job, 0, true);
}

/* Give a job whose request failed its verdict. */
static void
take_job_failure(OssDispatcher *dispatcher, OssJob *job, const OssFailure *failure)
{
	oss_job_set_failure(job, failure);
	if (failure->retry == OSS_RETRY_THROTTLED)
	{
		oss_dispatch_take_throttle(dispatcher, job, failure);
		return;
	}
	job->throttles = 0;
	if (failure->budget != 0)
		take_refusal(dispatcher, job, failure);
	else if (failure->sqlerrcode == ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION)
	{
		back_off_bucket(job->lane->bucket);
		oss_dispatch_give_back(dispatcher, job);
	}
	else if (oss_scope_is_setup(failure->scope) &&
			 failure->scope != OSS_SCOPE_CALL)
	{
		/* the pause is written when the job is settled */
		job->pause = failure->scope;
		job->pause_s = failure->denial ? failure->ask_again_s : 0;
		job->denied = failure->denial &&
			failure->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
		job->unsent = failure->unsent;
		job->lane->bucket->server->pausing = true;
		oss_dispatch_finish_later(dispatcher, job, 0, true);
	}
	else if (failure->retry == OSS_RETRY_TRANSIENT &&
			 job->attempts < oss_dispatch_attempts(job))
	{
		double		ms = Min(BACKOFF_FIRST_MS * pow(2, job->attempts - 1),
							 BACKOFF_LAST_MS);

		ms *= 0.5 + pg_prng_double(&pg_global_prng_state);
		if (is_unwell(job->lane->bucket))
			back_off_bucket(job->lane->bucket);
		elog(DEBUG1, "oss_labels: job " INT64_FORMAT " failed and is tried again: %s",
			 job->place.id, failure->message);
		oss_dispatch_finish_later(dispatcher, job, Max(ms, failure->delay_ms), false);
	}
	else
		oss_dispatch_finish(dispatcher, job, OSS_VERDICT_FAILED);
}

/* Note that a job's request has ended. */
static void
request_landed(OssDispatcher *dispatcher, OssJob *job)
{
	DispatchLane *lane = job->lane;

	Assert(lane->in_flight > 0 && dispatcher->network.in_flight > 0);
	dispatcher->network.in_flight--;
	lane->in_flight--;
	lane->bucket->in_flight--;
	lane->bucket->server->in_flight--;
}

/* Update a bucket's state from the outcome of a request. */
static void
note_outcome(OssJob *job, const OssFailure *failure, int64 now)
{
	DispatchBucket *bucket = job->lane->bucket;

	/* count first requests: a repeated failure may be the image's */
	if (failure == NULL || failure->retry != OSS_RETRY_TRANSIENT)
		bucket->failures_in_row = 0;
	else if (job->attempts == 1)
		bucket->failures_in_row++;
	if (failure && (failure->http_status == 0 || is_unwell(bucket)))
		return;
	bucket->unreached = 0;
	bucket->unreached_until = bucket->open_at = 0;
	oss_dispatch_note_answer(bucket, now);
	if (failure && failure->retry == OSS_RETRY_THROTTLED)
		return;
	bucket->throttles_in_row = 0;
	bucket->answered += (1 - bucket->answered) / 16;
	if (job->throttles > 0)
		bucket->retry_answered += (1 - bucket->retry_answered) / 8;
	oss_dispatch_count_answer(bucket, now);
}

/* Handle a finished request. */
static void
take_request(OssDispatcher *dispatcher, OssRequest *request)
{
	OssJob	   *job = oss_request_tag(request);
	const OssFailure *failure = oss_request_failure(request);
	int64		now = oss_clock_us();

	request_landed(dispatcher, job);
	job->spent += oss_request_costs(request);
	dispatcher->network.answer_ms += ((now - job->sent_at) / 1000.0 - dispatcher->network.answer_ms) / 64;
	note_outcome(job, failure, now);
	oss_dispatch_classify_throttles(job);
	if (failure && job->flight)
		oss_flight_end(job->flight);
	if (failure)
		take_job_failure(dispatcher, job, failure);
	else
		oss_dispatch_finish(dispatcher, job, OSS_VERDICT_ANSWERED);
}

/*
 * Is a session requesting a job's image, or has it just done so?  Then the job is
 * put back for some ms: when it is claimed again, the stored answer covers it.  Else
 * the flight is ours, so that sessions wait for our answer.
 */
static bool
is_asked_for(OssDispatcher *dispatcher, OssJob *job)
{
	OssFlightName name = {
		.serverid = job->target->serverid,
		.userid = job->requester,
		.image = job->image
	};
	MemoryContext old = MemoryContextSwitchTo(job->context);
	OssFlight  *flight = oss_flight_board(&name, job->image.version_id ?
										  DT_NOBEGIN : job->fresh_since,
										  job->enqueued_at, true);
	OssFlightState state = OSS_FLIGHT_OURS;
	OssSpoolPlace place;
	OssSpoolRecord record;
	TimestampTz at;
	int64		since;

	if (flight)
		state = oss_flight_state(flight, &place);
	at = flight ? oss_flight_answered_at(flight) : 0;

	/*
	 * the answer was stored or forgotten: the next claim finds it or requests
	 * it
	 */
	if (state == OSS_FLIGHT_ANSWERED && !oss_spool_fetch(&place, &record))
		oss_flight_end(flight);
	MemoryContextSwitchTo(old);
	job->flight = state == OSS_FLIGHT_OURS ? flight : NULL;
	if (state != OSS_FLIGHT_ASKED && state != OSS_FLIGHT_ANSWERED)
		return false;
	since = GetCurrentTimestamp() - at;

	/* the answer should be stored by now, or the clock was set back */
	if (at != 0 && (since < 0 || since > FLIGHT_COVERS_US))
		return false;
	elog(DEBUG1, "oss_labels: job " INT64_FORMAT " waits, as a session has asked for its image",
		 job->place.id);
	oss_dispatch_unready(dispatcher, job);
	oss_dispatch_finish_later(dispatcher, job,
							  at != 0 ? FLIGHT_ANSWERED_MS : FLIGHT_ASKED_MS, true);
	return true;
}

/* Start a job's request. */
static void
start_job(OssDispatcher *dispatcher, OssJob *job)
{
	OssLabelsSpec spec = {0};
	DispatchLane *lane = job->lane;

	job->suspect = lane->bucket->per_object ||
		(job->throttles > 0 && lane->bucket->answered >= 0.5);
	spec.server = job->target;
	spec.image = job->utf8;
	spec.max_attempts = 1;
	spec.queued = true;
	spec.suspect = job->suspect;
	Assert(job->request == NULL);
	job->started_at = GetCurrentTimestamp();
	job->sent_at = oss_clock_us();
	job->request = oss_request_start(dispatcher->network.group, &spec, job);
	oss_dispatch_unready(dispatcher, job);
	dispatcher->network.in_flight++;
	lane->in_flight++;
	lane->bucket->in_flight++;
	lane->bucket->server->in_flight++;
}

/*
 * Start ready jobs as far as the limits allow.  Returns for how many ms to
 * wait before the next call, -1 if only an answer or a claim can change
 * anything.
 */
static long
start_ready(OssDispatcher *dispatcher)
{
	ListCell   *cell;
	long		wait_ms = oss_dispatch_end_rests(dispatcher);
	int64		now = dispatcher->hand.nready > 0 ? oss_clock_us() : 0;

	foreach(cell, dispatcher->queue.servers)
	{
		DispatchServer *server = lfirst(cell);
		OssJob	   *job;
		long		ms = -1;

		while (server->nready > 0 &&
			   (job = oss_dispatch_next_ready(server, now, &ms)) != NULL)
		{
			if (!is_asked_for(dispatcher, job))
				start_job(dispatcher, job);
		}
		wait_ms = oss_shorter_wait(wait_ms, ms);
	}
	return wait_ms;
}

void
oss_dispatch_network(OssDispatcher *dispatcher, long timeout_ms)
{
	long		ms = oss_shorter_wait(start_ready(dispatcher), timeout_ms);
	OssRequest *request;

	dispatcher->settle.batch = BATCH;
	if (oss_syncs_pending(dispatcher->syncs))
	{
		/* a page ends the wait for nothing else */
		ms = oss_shorter_wait(ms, PAGE_MS);
		if (dispatcher->network.in_flight == 0)
		{
			oss_network_wait(ms);
			return;
		}
	}
	if (dispatcher->network.in_flight == 0)
	{
		if (ms != 0)
			oss_queue_wait(ms);
		return;
	}
	while ((request = oss_group_wait(dispatcher->network.group, ms)) != NULL)
	{
		take_request(dispatcher, request);
		(void) start_ready(dispatcher);
		if (dispatcher->network.in_flight == 0 || dispatcher->hand.nfinished >= BATCH ||
			oss_dispatch_tables_due(dispatcher) == 0)
			return;
		ms = 0;
	}
	dispatcher->settle.batch = IDLE_BATCH;
}

void
oss_dispatch_poll(OssDispatcher *dispatcher)
{
	OssRequest *request;

	for (int n = dispatcher->network.in_flight; n > 0; n--)
	{
		request = oss_group_wait(dispatcher->network.group, 0);
		if (request == NULL)
			break;
		take_request(dispatcher, request);
		(void) start_ready(dispatcher);
	}
}

/* May a lane claim jobs that its server needs now? */
static bool
wants_jobs(OssDispatcher *dispatcher, int64 now)
{
	ListCell   *cell;

	if (dispatcher->claim.budget <= 0 || dispatcher->settle.troubles > 0 ||
		now < dispatcher->claim.yield_until)
		return false;
	foreach(cell, dispatcher->queue.lanes)
	{
		DispatchLane *lane = lfirst(cell);
		int			room;

		if (lane->state != LANE_OPEN)
			continue;
		room = oss_dispatch_room(dispatcher, lane, now);
		if (room > 0 && room >= lane->bucket->server->nready)
			return true;
	}
	return false;
}

/*
 * Return in how many ms finished or blocked jobs are to be settled, -1: never.
 */
static long
settle_due(const OssDispatcher *dispatcher, int64 now)
{
	int64		at = dispatcher->hand.finished_since;
	long		ms = -1;

	/* for how many ms finished jobs may wait for more */
	double		interval = Max(dispatcher->network.answer_ms / 5, dispatcher->tables_ms);

	if (dispatcher->hand.nblocked > 0)
		ms = oss_wait_until(ms, now, Max(dispatcher->settle.blocked_due, dispatcher->settle.retry_at));
	if (dispatcher->hand.nfinished == 0)
		return ms;
	if (dispatcher->hand.nfinished < dispatcher->settle.batch && dispatcher->network.in_flight > 0)
		at += (int64) (Min(Max(interval, 2), 50) * 1000);
	return oss_wait_until(ms, now, Max(at, dispatcher->settle.retry_at));
}

long
oss_dispatch_tables_due(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	bool		busy = oss_dispatch_busy(dispatcher);
	long		ms;

	if (dispatcher->state != DISPATCH_RUNNING)
		return dispatcher->hand.nfinished > 0 || dispatcher->hand.nblocked > 0 ? 0 : -1;
	ms = settle_due(dispatcher, now);
	if (ms == 0 || wants_jobs(dispatcher, now))
		return 0;

	if (dispatcher->claim.budget > 0 && dispatcher->settle.troubles == 0)
		ms = oss_shorter_wait(ms, oss_syncs_due(dispatcher->syncs));

	/* avoid a turn for each commit of a busy application */
	if (dispatcher->claim.woken && dispatcher->settle.troubles == 0)
		ms = oss_wait_until(ms, now, busy ? dispatcher->turned_at + WAKE_US : 0);
	if (dispatcher->claim.unlisted)
		ms = oss_wait_until(ms, now, dispatcher->claim.lanes_at);
	if (dispatcher->claim.retry_at != 0)
		ms = oss_wait_until(ms, now, dispatcher->claim.retry_at);
	if (dispatcher->hand.nready + dispatcher->hand.nresting > 0)
		ms = oss_wait_until(ms, now, dispatcher->upkeep.check_at);
	ms = oss_wait_until(ms, now, dispatcher->claim.scan_at);
	if (busy)
		ms = oss_wait_until(ms, now, dispatcher->upkeep.renew_at);
	else if (dispatcher->claim.behind)
		ms = oss_wait_until(ms, now, dispatcher->claim.rescan_at);
	return ms;
}

void
oss_dispatch_stop(OssDispatcher *dispatcher)
{
	ListCell   *cell;

	/* again if an error ended what follows */
	dispatcher->state = Max(dispatcher->state, DISPATCH_STOPPING);
	dispatcher->settle.retry_at = dispatcher->settle.blocked_due = 0;
	oss_syncs_stop(dispatcher->syncs);
	foreach(cell, dispatcher->queue.lanes)
	{
		DispatchLane *lane = lfirst(cell);

		while (lane->nready > 0)
		{
			OssJob	   *job = dlist_head_element(OssJob, node, &lane->ready);

			oss_dispatch_unready(dispatcher, job);
			oss_dispatch_give_back(dispatcher, job);
		}
	}
	while (dispatcher->hand.nresting > 0)
	{
		OssJob	   *job = dlist_head_element(OssJob, node, &dispatcher->hand.resting);

		oss_dispatch_end_rest(dispatcher, job);
		oss_dispatch_give_back(dispatcher, job);
	}
}

void
oss_dispatch_hand_over_all(OssDispatcher *dispatcher)
{
	Assert(dispatcher->state != DISPATCH_RUNNING && dispatcher->network.in_flight == 0);
	dispatcher->state = DISPATCH_LEAVING;
	dispatcher->settle.retry_at = dispatcher->settle.blocked_due = 0;
}

void
oss_dispatch_cancel(OssDispatcher *dispatcher)
{
	static const OssReason reason = {
		.sqlerrcode = ERRCODE_QUERY_CANCELED,
		.message = "the process that asked for it was stopped"
	};
	OssRequest *request;

	Assert(dispatcher->state != DISPATCH_RUNNING && dispatcher->hand.nready == 0);
	while ((request = oss_group_wait(dispatcher->network.group, 0)) != NULL)
		take_request(dispatcher, request);
	for (int i = 0; i < DISPATCH_HASH && dispatcher->network.in_flight > 0; i++)
	{
		OssJob	   *next;

		for (OssJob *job = dispatcher->hand.objects[i]; job; job = next)
		{
			next = job->same_hash;
			if (job->verdict != OSS_VERDICT_NONE)
				continue;
			job->spent += oss_request_attempts(job->request) > 0;
			oss_request_free(job->request);
			job->request = NULL;
			request_landed(dispatcher, job);
			oss_job_set_reason(job, &reason);
			oss_dispatch_finish_later(dispatcher, job, 0, false);
		}
	}
}
