/*-------------------------------------------------------------------------
 * throttle.c
 *	  Dispatching: what becomes of a job that the service throttles.
 *
 * Some throttles are about a rate, which client/rate_limit.c finds; some are about
 * one object, and no rate satisfies them.  The one kind must not fail jobs that
 * merely wait for their turn, the other must not slow others down, nor go on for
 * ever.
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

/* First and longest wait before a job that was throttled is asked for again. */
#define THROTTLE_FIRST_MS 250.0
#define THROTTLE_LAST_MS 3000.0

/*
 * The first throttles of a job may all be of one second of the service, in which
 * others had used up the rate: they do not tell whether it is about the object.
 */
#define TELLING_THROTTLES 3

/* After its first throttles a job rests in hand, if few others of the bucket do. */
#define RESTED_THROTTLES 4
#define MOST_RESTING 8

/* Throttles of a job in a row that cost it no attempt. */
#define MOST_THROTTLES 20

/* So long after it is due a throttled job will have been claimed. */
#define AWAIT_US INT64CONST(1000000)

/* How often a bucket that throttles is mentioned in the log. */
#define LOG_US (INT64CONST(60) * 1000000)

/*
 * Return how many throttles of a job in a row cost it nothing.  When its bucket
 * answers nothing else, or nearly everything, MOST_THROTTLES of them can't be
 * chance.  When the bucket lets a few through, as many more are allowed as make
 * them as unlikely.
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

/*
 * Are a bucket's throttles those of some objects?  Most others are answered,
 * but what was throttled is throttled again, which a rate that is too high does
 * not do.
 */
static bool
throttles_objects(const DispatchBucket *bucket)
{
	return bucket->answered >= 0.15 && bucket->retry_answered < 0.5;
}

/*
 * Once that is seen, forget what its throttles taught of its rate: they were
 * not about that.
 */
void
oss_dispatch_classify_throttles(OssJob *job)
{
	DispatchBucket *bucket = job->lane->bucket;
	bool		objects = throttles_objects(bucket);

	if (objects && !bucket->per_object)
	{
		oss_rate_resume(job->target->serverid, job->utf8.bucket);
		elog(DEBUG1, "oss_labels: bucket \"%s\" throttles some objects, not its rate",
			 bucket->name);
	}
	bucket->per_object = objects;
}

/* Mention a throttle in the log, now and then. */
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
			 errhint("What was throttled is asked again later; other buckets go on.")));
}

/*
 * Let a job rest in hand, to be asked for again before those that come after
 * it: whether it is throttled again tells what the throttles are about.
 */
static void
rest_job(OssDispatcher *dispatcher, OssJob *job, double ms)
{
	oss_request_free(job->request);
	job->request = NULL;

	/* its request is still to be made: what is enqueued now may join it */
	job->started_at = 0;
	job->rest_until = oss_clock_us() + (int64) (ms * 1000);
	dlist_push_tail(&dispatcher->hand.resting, &job->node);
	dispatcher->hand.nresting++;
	job->lane->bucket->nresting++;
}

/* A job rests no more. */
void
oss_dispatch_end_rest(OssDispatcher *dispatcher, OssJob *job)
{
	Assert(job->rest_until != 0 && dispatcher->hand.nresting > 0);
	dlist_delete(&job->node);
	job->rest_until = 0;
	dispatcher->hand.nresting--;
	job->lane->bucket->nresting--;
}

/* Make ready what has rested; lowers *ms to when the next has. */
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
			long		left = (long) ((job->rest_until - now + 999) / 1000);

			ms = ms < 0 ? left : Min(ms, left);
			continue;
		}
		oss_dispatch_end_rest(dispatcher, job);
		oss_dispatch_make_ready(dispatcher, job);
	}
	return ms;
}

/*
 * Take a throttle: the job steps aside and comes again later.  One that is
 * throttled each time, while others are answered or nothing is, is charged for
 * it in the end.
 */
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
		/* of itself it says less of the bucket than of the object */
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
	/* resume() finds in the table what is to rest for longer */
	if (job->throttles <= RESTED_THROTTLES && dispatcher->state == DISPATCH_RUNNING &&
		ms <= 1.5 * THROTTLE_LAST_MS && bucket->nresting < MOST_RESTING)
		rest_job(dispatcher, job, ms);
	else if (charged && job->attempts >= oss_job_attempts)
		oss_dispatch_finish(dispatcher, job, OSS_VERDICT_FAILED);
	else
		oss_dispatch_finish_later(dispatcher, job, ms, !charged);
}
