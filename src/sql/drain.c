/*-------------------------------------------------------------------------
 * drain.c
 *	  Draining the queue, the side of the network: requests are started one by
 *	  one as others end, and each answer gets a verdict.
 *
 * Nothing here needs a transaction.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "client/flow.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "sql/drain.h"
#include "sql/shared.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* First and longest wait before a failed job is tried again. */
#define BACKOFF_FIRST_MS 1000.0
#define BACKOFF_LAST_MS 600000.0

/* The same for an endpoint that can't be reached. */
#define HOLD_FIRST_MS 500
#define HOLD_LAST_MS 30000

/*
 * Finished jobs that are settled by one turn, more or less: while answers are
 * waiting to be taken, and when there is nothing else to do.
 */
#define BATCH 256
#define IDLE_BATCH 64

int			oss_job_attempts = 5;

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
	dlist_init(&drain->finished);
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
	return drain->in_flight > 0 || drain->nready > 0 || drain->nfinished > 0;
}

/* Move a job to the finished ones. */
static void
to_finished(OssDrain *drain, OssJob *job, OssVerdict verdict)
{
	job->verdict = verdict;
	if (drain->nfinished++ == 0)
		drain->finished_since = GetCurrentTimestamp();
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
			to_finished(drain, job, verdict);
		}
		else
		{
			job->due = GetCurrentTimestamp();
			job->refund = true;
			to_finished(drain, job, OSS_VERDICT_LATER);
		}
	}
	leader->followers = NULL;
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
static void
finish_later(OssDrain *drain, OssJob *job, double ms, bool refund)
{
	job->due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) ms);
	job->refund = refund;
	oss_drain_finish(drain, job, OSS_VERDICT_LATER);
}

/* Let a server rest that can't be reached; the job costs no attempt. */
static void
hold_server(OssDrain *drain, OssJob *job)
{
	DrainServer *server = job->server;
	TimestampTz now = GetCurrentTimestamp();

	if (server->held_until <= now)
	{
		int64		ms = (int64) HOLD_FIRST_MS << Min(server->held, 10);

		server->held++;
		server->held_until = TimestampTzPlusMilliseconds(now,
														 Min(ms, HOLD_LAST_MS));
	}
	job->due = server->held_until;
	job->refund = true;
	oss_drain_finish(drain, job, OSS_VERDICT_LATER);
}

/* Take a throttle: the job waits here, for nothing is wrong with it. */
static void
take_throttle(OssDrain *drain, OssJob *job, const OssFailure *failure)
{
	if (failure->delay_ms > 0)
		oss_flow_hold(job->target, job->names_utf8[0],
					  failure->delay_ms);
	oss_request_free(job->request);
	job->request = NULL;

	/* its request is still to be made: what is enqueued now may join it */
	job->started_at = 0;
	dlist_push_head(&job->server->ready, &job->node);
	job->server->nready++;
	drain->nready++;
}

/* Decide what becomes of a job whose request failed. */
static void
take_failure(OssDrain *drain, OssJob *job, const OssFailure *failure)
{
	if (failure->retry == OSS_RETRY_THROTTLED && !drain->stopping)
	{
		take_throttle(drain, job, failure);
		return;
	}
	oss_job_set_failure(job, failure);
	if (failure->sqlerrcode == ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION)
		hold_server(drain, job);
	else if (oss_scope_is_setup(failure->scope) &&
			 failure->scope != OSS_SCOPE_CALL)
	{
		/* settling writes the pause */
		job->pause = failure->scope;
		job->server->pausing = true;
		finish_later(drain, job, 0, true);
	}
	else if (failure->retry == OSS_RETRY_TRANSIENT &&
			 job->attempts < oss_job_attempts)
	{
		double		ms = Min(BACKOFF_FIRST_MS * pow(2, job->attempts - 1),
							 BACKOFF_LAST_MS);

		ms *= 0.5 + pg_prng_double(&pg_global_prng_state);
		finish_later(drain, job, Max(ms, failure->delay_ms), false);
	}
	else
		oss_drain_finish(drain, job, OSS_VERDICT_FAILED);
}

/* Take a finished request. */
static void
take_request(OssDrain *drain, OssRequest *request)
{
	OssJob	   *job = oss_request_tag(request);
	const OssFailure *failure = oss_request_failure(request);
	double		ms = (GetCurrentTimestamp() - job->started_at) / 1000.0;

	drain->in_flight--;
	job->server->in_flight--;
	drain->answer_ms += (ms - drain->answer_ms) / 64;
	if (failure == NULL || failure->http_status != 0)
	{
		job->server->held = 0;
		job->server->held_until = 0;
	}
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
	DrainServer *server = job->server;

	spec.server = job->target;
	spec.bucket = job->names_utf8[0];
	spec.key = job->names_utf8[1];
	spec.version_id = job->names_utf8[2];
	spec.has_thr = job->has_thr;
	spec.thr = job->thr;
	spec.max_attempts = 1;
	spec.queued = true;
	job->started_at = GetCurrentTimestamp();
	job->request = oss_request_start(drain->group, &spec, job);
	dlist_delete(&job->node);
	drain->nready--;
	server->nready--;
	drain->in_flight++;
	server->in_flight++;
}

/* Return the sooner of two waits, of which -1 is never. */
static long
sooner(long a, long b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : Min(a, b);
}

/* May a server have one more request in flight? */
static bool
may_start(const DrainServer *server, TimestampTz now)
{
	/* one is enough to find out whether the endpoint is back */
	int			most = server->held > 0 ? 1 : server->max_concurrency;

	return server->nready > 0 && server->in_flight < most &&
		!server->pausing &&
		(server->held == 0 || server->held_until <= now);
}

/*
 * Start what may be started.  Returns for how many ms to wait before asking
 * again, -1 when only an answer or a claim can change anything.
 */
static long
start_ready(OssDrain *drain)
{
	ListCell   *cell;
	long		sleep_ms = -1;
	TimestampTz now = drain->nready > 0 ? GetCurrentTimestamp() : 0;

	foreach(cell, drain->servers)
	{
		DrainServer *server = lfirst(cell);

		while (may_start(server, now))
		{
			OssJob	   *job = dlist_head_element(OssJob, node, &server->ready);
			long		wait = oss_flow_wait(job->target, job->names_utf8[0]);

			if (wait > 0)
			{
				sleep_ms = sooner(sleep_ms, Min(wait, OSS_FLOW_LOOK_MS));
				break;
			}
			start_job(drain, job);
		}
		if (server->nready == 0)
			server->starved = true;
	}
	return sleep_ms;
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
wants_jobs(OssDrain *drain, TimestampTz now)
{
	ListCell   *cell;

	if (drain->budget <= 0 || drain->settle_troubles > 0)
		return false;
	foreach(cell, drain->lanes)
	{
		OssLane    *lane = lfirst(cell);
		DrainServer *server = oss_drain_server(drain, lane->server);
		int			wanted;

		if (lane->drained)
			continue;
		wanted = oss_drain_wanted(server, now);
		if (wanted > 0 && wanted >= server->nready)
			return true;
	}
	return false;
}

/* Return ms until a time, 0 when it has come. */
static long
ms_until(TimestampTz when, TimestampTz now)
{
	return when <= now ? 0 : (long) ((when - now + 999) / 1000);
}

/* For how many ms may finished jobs wait? */
static long
settle_due(const OssDrain *drain, TimestampTz now)
{
	TimestampTz at = drain->finished_since;

	if (drain->nfinished == 0)
		return -1;
	if (drain->nfinished < drain->batch && drain->in_flight > 0)
		at += (int64) (settle_interval(drain) * 1000);
	return ms_until(Max(at, drain->settle_at), now);
}

/* For how many ms is a turn on the tables not wanted? */
long
oss_drain_tables_due(OssDrain *drain)
{
	TimestampTz now = GetCurrentTimestamp();
	long		ms;

	if (drain->stopping)
		return drain->nfinished > 0 ? 0 : -1;
	ms = settle_due(drain, now);
	if (ms == 0 || wants_jobs(drain, now))
		return 0;

	/* not one turn for each commit of a busy time */
	if (drain->woken)
		ms = sooner(ms, oss_drain_busy(drain) ?
					ms_until(drain->turned_at + 5000, now) : 0);
	if (drain->unseen)
		ms = sooner(ms, ms_until(drain->lanes_at, now));
	ms = sooner(ms, ms_until(drain->scan_at, now));
	if (oss_drain_busy(drain))
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
	dlist_mutable_iter iter;

	drain->stopping = true;
	drain->settle_at = 0;
	foreach(cell, drain->servers)
	{
		DrainServer *server = lfirst(cell);

		dlist_foreach_modify(iter, &server->ready)
		{
			OssJob	   *job = dlist_container(OssJob, node, iter.cur);

			dlist_delete(&job->node);
			finish_later(drain, job, 0, true);
		}
		server->nready = 0;
	}
	drain->nready = 0;
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
			drain->in_flight--;
			job->server->in_flight--;
			oss_job_set_reason(job, &reason);
			finish_later(drain, job, 0, false);
		}
	}
}
