/*-------------------------------------------------------------------------
 * throttle.c
 *	  Dispatching: handling of throttled jobs.
 *
 * Some throttles enforce a rate, which client/rate_limit.c finds; others
 * concern one object, whatever the rate.  The first must not fail jobs that
 * only wait for their turn.  The second must not slow other jobs down, nor be
 * repeated for ever.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "client/http.h"
#include "client/rate_limit.h"
#include "common/pg_prng.h"
#include "dispatch/finished.h"
#include "dispatch/lane.h"
#include "dispatch/throttle.h"

/* First and longest wait before a throttled job is asked for again. */
#define THROTTLE_FIRST_MS 250.0
#define THROTTLE_LAST_MS 3000.0

/*
 * The first throttles of a job may fall into one second of the service in
 * which others had used up the rate.  They do not tell whether the object is
 * throttled.
 */
#define TELLING_THROTTLES 3

/*
 * Up to so many throttles a job rests in hand, if few others of its bucket do.
 */
#define RESTED_THROTTLES 4
#define MOST_RESTING 8

/* Throttles of a job in a row that cost no attempt. */
#define MOST_THROTTLES 20

/* How long after it is due a throttled job has been claimed at the latest. */
#define AWAIT_US INT64CONST(1000000)

/* How often throttles of a bucket are logged. */
#define LOG_US (INT64CONST(60) * 1000000)

/*
 * Return how many throttles in a row cost a job no attempt.  If its bucket
 * answers nothing else, or nearly everything, MOST_THROTTLES cannot be chance.
 * If the bucket answers a few, allow so many that they are as unlikely.
 */
static int
free_throttles(const DispatchBucket *bucket)
{
	double		answered = bucket->answered;

	if (answered >= 0.5 || answered < 0.02 ||
		bucket->throttles_in_row >= 2 * MOST_THROTTLES)
		return MOST_THROTTLES;
	return (int) (MOST_THROTTLES * log(0.5) / log(1 - answered));
}

void
oss_dispatch_classify_throttles(OssJob *job)
{
	DispatchBucket *bucket = job->lane->bucket;

	/*
	 * Requests are answered, but those of throttled jobs are throttled again:
	 * a rate that is too high does not cause that.
	 */
	bool		objects = bucket->answered >= 0.15 && bucket->retry_answered < 0.5;

	if (objects && !bucket->per_object)
	{
		oss_rate_resume(job->target->serverid, job->utf8.bucket);
		elog(DEBUG1, "oss_labels: bucket \"%s\" throttles some objects, not its rate",
			 bucket->name);
	}
	bucket->per_object = objects;
}

/* Log a throttle, at most once in LOG_US per bucket. */
static void
log_throttle(OssJob *job, const OssFailure *failure)
{
	DispatchBucket *bucket = job->lane->bucket;
	int64		now = oss_clock_us();

	if (bucket->logged_at != 0 && now - bucket->logged_at < LOG_US)
		return;
	bucket->logged_at = now;
	ereport(LOG,
			(errcode(failure->sqlerrcode),
			 errmsg("oss_labels is throttled in bucket \"%s\" of server \"%s\": %s",
					bucket->name, bucket->server->name, failure->message),
			 failure->detail ? errdetail("%s", failure->detail) : 0,
			 errhint("Throttled images are requested again later; other buckets are not affected.")));
}

/*
 * Let a job rest in hand and request it before later jobs: whether it is throttled
 * again shows whether the rate or the object is the cause.
 */
static void
rest_job(OssDispatcher *dispatcher, OssJob *job, double ms)
{
	oss_request_free(job->request);
	job->request = NULL;

	/*
	 * its request is not made yet: jobs enqueued from now on may follow it
	 */
	job->started_at = 0;
	job->rest_until = oss_clock_us() + (int64) (ms * 1000);
	dlist_push_tail(&dispatcher->hand.resting, &job->node);
	dispatcher->hand.nresting++;
	job->lane->bucket->nresting++;
}

void
oss_dispatch_end_rest(OssDispatcher *dispatcher, OssJob *job)
{
	Assert(job->rest_until != 0 && dispatcher->hand.nresting > 0);
	dlist_delete(&job->node);
	job->rest_until = 0;
	dispatcher->hand.nresting--;
	job->lane->bucket->nresting--;
}

long
oss_dispatch_end_rests(OssDispatcher *dispatcher)
{
	int64		now = dispatcher->hand.nresting > 0 ? oss_clock_us() : 0;
	long		ms = -1;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatcher->hand.resting)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);

		if (job->rest_until > now)
		{
			ms = oss_wait_until(ms, now, job->rest_until);
			continue;
		}
		oss_dispatch_end_rest(dispatcher, job);
		oss_dispatch_make_ready(dispatcher, job);
	}
	return ms;
}

void
oss_dispatch_take_throttle(OssDispatcher *dispatcher, OssJob *job,
						   const OssFailure *failure)
{
	DispatchBucket *bucket = job->lane->bucket;
	double		ms = THROTTLE_FIRST_MS * pow(1.5, Min(job->throttles, 20));
	bool		charged;

	job->throttles++;
	bucket->throttles_in_row++;
	if (job->throttles == 1)
		bucket->answered -= bucket->answered / 16;
	else
	{
		/*
		 * a repeated throttle is more likely due to the object than to the
		 * bucket's rate
		 */
		bucket->answered -= bucket->answered / 64;
		if (job->throttles > TELLING_THROTTLES)
			bucket->retry_answered -= bucket->retry_answered / 8;
	}
	if (failure->delay_ms > 0 && !job->suspect)
		oss_rate_hold(job->target, job->utf8.bucket, failure->delay_ms);
	charged = job->throttles > free_throttles(bucket);
	log_throttle(job, failure);
	elog(DEBUG1, "oss_labels: job " INT64_FORMAT " is throttled for the %dth time in a row",
		 job->place.id, job->throttles);
	ms = Min(ms, THROTTLE_LAST_MS) * (0.5 + pg_prng_double(&pg_global_prng_state));
	if (job->suspect)
		ms = Max(ms, Min(failure->delay_ms, OSS_RATE_MOST_HOLD_MS));
	dispatcher->network.throttled_until = Max(dispatcher->network.throttled_until,
											  oss_clock_us() + (int64) (ms * 1000) + AWAIT_US);
	/* longer rests are in the table, where resume() ends them */
	if (job->throttles <= RESTED_THROTTLES && dispatcher->state == DISPATCH_RUNNING &&
		ms <= 1.5 * THROTTLE_LAST_MS && bucket->nresting < MOST_RESTING)
		rest_job(dispatcher, job, ms);
	else if (charged && job->attempts >= oss_job_attempts)
		oss_dispatch_finish(dispatcher, job, OSS_VERDICT_FAILED);
	else
		oss_dispatch_finish_later(dispatcher, job, ms, !charged);
}
