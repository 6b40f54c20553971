/*-------------------------------------------------------------------------
 * claim_lane.c
 *	  Dispatching, in a transaction: one claim of one lane.
 *
 * A claim reads a bounded number of jobs, and the next one of the lane
 * continues there.  A claim that fails is repeated in halves, so that an error
 * of one job concerns only that job.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http.h"
#include "dispatch/claim_lane.h"
#include "dispatch/dispatch.h"
#include "dispatch/finished.h"
#include "dispatch/lane.h"
#include "dispatch/object_table.h"
#include "dispatch/pause.h"
#include "spi/subtransaction.h"
#include "store/store.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Limits of the number of jobs that one statement reads. */
#define LEAST_SEEN 16
#define MOST_SEEN 2048

/*
 * When a job that was put off is due again: at the earliest, at the latest,
 * and the distance between two of them.
 */
#define PUT_OFF_FIRST_US INT64CONST(1000000)
#define PUT_OFF_LAST_US INT64CONST(60000000)
#define PUT_OFF_STEP_US 500

/* With so many blocked answers, check for locks before a request is made. */
#define MANY_BLOCKED 500
StaticAssertDecl(MANY_BLOCKED < OSS_MOST_BLOCKED, "locks are looked for before no more is claimed");

/* Set a job's reason to an error. */
static void
keep_error(OssJob *job, const ErrorData *error)
{
	OssReason	reason = {
		.sqlerrcode = error->sqlerrcode,
		.code = NULL,
		.message = error->message,
		.detail = error->detail,
		.hint = error->hint
	};

	oss_job_set_reason(job, &reason);
}

/* Fail a job without a request. */
static void
fail_early(OssJob *job, int sqlerrcode, const char *code, const char *message)
{
	OssReason	reason = {
		.sqlerrcode = sqlerrcode,
		.code = code,
		.message = message
	};

	oss_job_set_reason(job, &reason);
	job->verdict = OSS_VERDICT_FAILED;
}

/* Resolve and pin the server of a job, as a function for a subtransaction. */
static void
find_target(void *arg)
{
	OssJob	   *job = arg;
	const char *server = job->lane->bucket->server->name;

	job->usable = false;
	(void) oss_server_oid(server, job->requester);
	job->usable = true;
	job->target = oss_server_get(server, job->requester);
	oss_server_pin(job->target);
}

ErrorData *
oss_dispatch_resolve(OssJob *job)
{
	ErrorData  *error = oss_subtransaction(find_target, job);

	if (error != NULL)
		job->target = NULL;
	return error;
}

/*
 * Handle an error of oss_dispatch_resolve().  Missing USAGE fails the job.
 * Any other error is one of the set-up and pauses the requester.
 */
static void
take_resolve_error(OssJob *job, ErrorData *error)
{
	if (oss_error_is_interrupt(error))
		ReThrowError(error);
	keep_error(job, error);
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE && !job->usable)
		job->verdict = OSS_VERDICT_FAILED;
	else
	{
		job->verdict = OSS_VERDICT_LATER;
		job->due = GetCurrentTimestamp();
		job->pause = OSS_SCOPE_REQUESTER;
		job->refund = true;
	}
	FreeErrorData(error);
}

/*
 * Note the limits of a job's server, which may have been altered, and the
 * bucket's name in UTF-8.
 */
static void
keep_limits(OssDispatcher *dispatcher, OssJob *job)
{
	DispatchBucket *bucket = job->lane->bucket;
	DispatchServer *server = bucket->server;

	if (bucket->name_utf8 == NULL)
		bucket->name_utf8 = MemoryContextStrdup(dispatcher->context,
												job->utf8.bucket);
	if (server->target == job->target)
		return;
	oss_server_pin(job->target);
	if (server->target)
		oss_server_unpin(server->target);
	server->target = job->target;
	server->max_concurrency = job->target->max_concurrency;
}

/*
 * Resolve a job's server; "before" is another job of the claim, or NULL.  Changes since
 * that was resolved are seen as those after the claim are, in the next turn.
 */
static ErrorData *
resolve_as_before(OssJob *job, const OssJob *before)
{
	/* a subtransaction for each job would cost more than the rest */
	if (before == NULL || before->target == NULL || before->requester != job->requester)
		return oss_dispatch_resolve(job);
	job->usable = true;
	job->target = before->target;
	oss_server_pin(job->target);
	return NULL;
}

/*
 * Resolve a job's server, or set its verdict if it needs no request.  The
 * verdict counts only if the transaction commits.  "before" is the job of the claim
 * that was judged before, or NULL.
 */
static void
judge_job(OssDispatcher *dispatcher, OssJob *job, const OssJob *before)
{
	const OssFailure *failure;
	ErrorData  *error;

	if (job->covered || (job->fails_again && job->answer == NULL))
	{
		elog(DEBUG1, "oss_labels: job " INT64_FORMAT " needs no request, as its image %s",
			 job->place.id, job->covered ? "is tagged" : "has failed for good");
		job->verdict = OSS_VERDICT_DONE;
	}
	else if (job->answer && job->attempts <= oss_job_attempts)
		job->verdict = OSS_VERDICT_ANSWERED;
	else if (job->source_gone)
		fail_early(job, ERRCODE_UNDEFINED_TABLE, "SourceGone",
				   "the watched table that the job came from was dropped");
	else if (job->attempts > oss_dispatch_attempts(job))
	{
		fail_early(job, ERRCODE_SYSTEM_ERROR, "ProcessDied",
				   "the process that had the job died each time");
		job->reason.permanent = true;
	}
	else if (!OidIsValid(job->requester))
		fail_early(job, ERRCODE_UNDEFINED_OBJECT, "RequesterGone",
				   "the role that enqueued the job does not exist");
	else if (!job->in_utf8)
		fail_early(job, ERRCODE_UNTRANSLATABLE_CHARACTER, "NotInUtf8",
				   "bucket, key or version has characters that UTF-8 does not have");
	else if ((failure = oss_image_failure(&job->utf8)) != NULL)
		fail_early(job, failure->sqlerrcode, failure->code, failure->message);
	else if ((error = resolve_as_before(job, before)) != NULL)
		take_resolve_error(job, error);
	else
	{
		/* the price is the same */
		if (!job->once)
		{
			oss_image_lower_thr(&job->image, job->target->stored_threshold);
			oss_image_lower_thr(&job->utf8, job->target->stored_threshold);
		}
		keep_limits(dispatcher, job);
	}
}

/* One claim, the argument of the functions that run in a subtransaction. */
typedef struct Claim
{
	OssDispatcher *dispatcher;
	DispatchLane *lane;
	OssLaneKey	key;
	bool		alone;
	int32		most_rank;		/* read no further */
	int			most_seen;
	OssSeen    *seen;
	int			nseen;
	OssSeen    *taken;			/* the part of seen that is to be claimed */
	int			ntaken;
	List	   *jobs;
} Claim;

/* Read the next jobs of the lane. */
static void
look_at_lane(void *arg)
{
	Claim	   *claim = arg;

	claim->seen = oss_job_look(&claim->key, &claim->lane->place,
							   claim->most_rank, claim->most_seen,
							   claim->alone,
							   claim->dispatcher->hand.ncrowded > 0 ||
							   claim->lane->paused_directories != NIL,
							   &claim->nseen);
}

/* Claim the chosen jobs and judge each. */
static void
take_jobs(void *arg)
{
	Claim	   *claim = arg;
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													OSS_LEASE_MS);
	const OssJob *before = NULL;
	ListCell   *cell;

	claim->jobs = oss_job_claim(&claim->key, claim->taken, claim->ntaken,
								claim->dispatcher->token, until,
								claim->dispatcher->context);
	foreach(cell, claim->jobs)
	{
		OssJob	   *job = lfirst(cell);

		job->lane = claim->lane;
		job->hash = oss_image_hash(&job->image);
		judge_job(claim->dispatcher, job, before);
		before = job;
	}
}

/* Free the jobs of a claim that was rolled back. */
static void
drop_jobs(Claim *claim)
{
	ListCell   *cell;

	foreach(cell, claim->jobs)
		oss_job_free(lfirst(cell));
	claim->jobs = NIL;
}

/* Arguments of charge_job(). */
typedef struct Charge
{
	OssDispatcher *dispatcher;
	int64		id;
	ErrorData  *error;
} Charge;

/* Count an attempt of a job that cannot be claimed. */
static void
charge_job(void *arg)
{
	Charge	   *c = arg;

	oss_job_charge(c->id, oss_job_attempts, c->dispatcher->token, c->error);
}

/*
 * Handle the error of a claim of one job.  The job loses an attempt, unless
 * the error is not its own.  If that fails too, the job stays as it is.
 */
static void
take_claim_error(OssDispatcher *dispatcher, const DispatchLane *lane, int64 id, ErrorData *error)
{
	Charge		c = {.dispatcher = dispatcher,.id = id,.error = error};
	ErrorData  *second;

	/* a lock is not the job's fault: the lane reads it again soon */
	if (oss_error_is_wait(error))
		return;
	second = oss_error_is_trouble(error) ? NULL : oss_subtransaction(charge_job, &c);
	if (second && oss_error_is_interrupt(second))
		ReThrowError(second);
	strlcpy(dispatcher->last_error, error->message, sizeof(dispatcher->last_error));
	ereport(oss_dispatch_log_level(lane->role),
			(errcode(error->sqlerrcode),
			 errmsg("oss_labels could not claim job " INT64_FORMAT ": %s",
					id, error->message)));
}

/*
 * Claim the chosen jobs; after an error in halves, down to a single job.  After
 * too many lock waits the rest is left to a later turn.
 */
static void
claim_taken(Claim *claim)
{
	ErrorData  *error;
	OssSeen    *taken = claim->taken;
	int			n = claim->ntaken;
	List	   *first;

	if (n == 0 || claim->dispatcher->claim.waits >= OSS_MOST_CLAIM_WAITS)
		return;
	error = oss_subtransaction(take_jobs, claim);
	if (error == NULL)
		return;
	drop_jobs(claim);
	if (oss_error_is_interrupt(error))
		ReThrowError(error);
	if (oss_error_is_wait(error))
		claim->dispatcher->claim.waits++;
	if (n == 1)
	{
		take_claim_error(claim->dispatcher, claim->lane, taken->place.id, error);
		return;
	}
	claim->ntaken = n / 2;
	claim_taken(claim);
	first = claim->jobs;
	claim->jobs = NIL;
	claim->taken = taken + n / 2;
	claim->ntaken = n - n / 2;
	claim_taken(claim);
	claim->jobs = list_concat(first, claim->jobs);
}

/* Is a job in a directory that is paused? */
static bool
is_in_paused_directory(const DispatchLane *lane, const OssSeen *seen)
{
	ListCell   *cell;

	foreach(cell, lane->paused_directories)
	{
		if (oss_in_directory(seen->key, lfirst(cell)))
			return true;
	}
	return false;
}

/*
 * Choose up to n of the jobs that were read, and advance the lane's place.
 * Jobs sort by due time within a priority: after one that is not due, continue
 * with the next priority.
 */
static void
choose_jobs(Claim *claim, int n)
{
	DispatchLane *lane = claim->lane;
	TimestampTz now = GetCurrentTimestamp();
	int			i;

	claim->taken = palloc(sizeof(OssSeen) * Max(claim->nseen, 1));
	for (i = 0; i < claim->nseen && claim->ntaken < n; i++)
	{
		OssSeen    *seen = &claim->seen[i];

		if (oss_place_compare(&seen->place, &lane->place) <= 0)
			continue;
		if (seen->place.due > now)
		{
			oss_dispatch_note_skipped(lane, &lane->place, seen->place.due);
			lane->place.rank = seen->place.rank;
			lane->place.due = DT_NOEND;
			lane->place.id = PG_INT64_MAX;
			continue;
		}
		if (seen->free && !is_in_paused_directory(lane, seen) &&
			!oss_dispatch_is_crowded(claim->dispatcher, lane, seen))
			claim->taken[claim->ntaken++] = *seen;
		lane->place = seen->place;
	}
	lane->next_rank = Max(lane->next_rank, lane->place.rank);
	if (i == claim->nseen && claim->nseen < claim->most_seen)
	{
		/* no job is left up to most_rank */
		if (claim->most_rank == PG_INT32_MAX)
			lane->state = LANE_READ_TO_END;
		else
			lane->next_rank = Max(lane->next_rank, claim->most_rank + 1);
	}
}

/*
 * Return when a job that is put off is due again.  The times are spread, so that
 * not all are claimed at once.
 */
static TimestampTz
next_put_off(OssDispatcher *dispatcher)
{
	TimestampTz now = GetCurrentTimestamp();

	dispatcher->claim.put_off_at = Max(dispatcher->claim.put_off_at + PUT_OFF_STEP_US,
									   now + PUT_OFF_FIRST_US);
	dispatcher->claim.put_off_at = Min(dispatcher->claim.put_off_at, now + PUT_OFF_LAST_US);
	return dispatcher->claim.put_off_at;
}

/*
 * Put off the claimed jobs whose answers could not be stored now.  This is done
 * when many blocked answers are in hand, so as to pay for no more of them.
 */
static void
put_off_blocked(Claim *claim)
{
	int			most = list_length(claim->jobs);
	OssJob	  **jobs = palloc(sizeof(OssJob *) * Max(most, 1));
	OssImage   *images = palloc(sizeof(OssImage) * Max(most, 1));
	bool	   *blocked = palloc(sizeof(bool) * Max(most, 1));
	int			n = 0;
	ErrorData  *error;
	ListCell   *cell;

	foreach(cell, claim->jobs)
	{
		OssJob	   *job = lfirst(cell);

		if (job->verdict != OSS_VERDICT_NONE)
			continue;
		images[n] = job->image;
		jobs[n++] = job;
	}
	error = oss_store_probe(images, n, blocked);
	if (error && oss_error_is_interrupt(error))
		ReThrowError(error);
	for (int i = 0; error == NULL && i < n; i++)
	{
		OssReason	reason = {
			.sqlerrcode = ERRCODE_LOCK_NOT_AVAILABLE,
			.message = "another transaction has locked its row in oss_labels.image"
		};

		if (!blocked[i])
			continue;
		oss_job_set_reason(jobs[i], &reason);
		jobs[i]->verdict = OSS_VERDICT_LATER;
		jobs[i]->due = next_put_off(claim->dispatcher);
		jobs[i]->refund = true;
	}
}

/* Add the claimed jobs to those in hand. */
static void
keep_claimed(Claim *claim, const OssPlace *before)
{
	OssDispatcher *dispatcher = claim->dispatcher;
	ListCell   *cell;

	if (!oss_dispatch_busy(dispatcher) && dlist_is_empty(&dispatcher->hand.claimed))
		dispatcher->upkeep.renew_at = oss_clock_us() + OSS_LEASE_MS * INT64CONST(1000) / 3;
	foreach(cell, claim->jobs)
	{
		OssJob	   *job = lfirst(cell);

		dlist_push_tail(&dispatcher->hand.claimed, &job->node);
		claim->lane->njobs++;
	}
	dispatcher->claim.budget -= list_length(claim->jobs);

	/* another transaction has locked the others, or an index */
	if (list_length(claim->jobs) < claim->ntaken)
		oss_dispatch_note_skipped(claim->lane, before,
								  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000));
}

int
oss_dispatch_claim_lane(OssDispatcher *dispatcher, DispatchLane *lane, int n, int32 most_rank,
						bool alone, int *nclaimed)
{
	Claim		claim = {
		.dispatcher = dispatcher,
		.lane = lane,
		.key.server = lane->server,
		.key.server_id = lane->server_id,
		.key.bucket = lane->bucket->name,
		.key.requester = lane->requester,
		.key.origin = lane->origin,
		.alone = alone,
		.most_rank = most_rank,
		.most_seen = Min(Max(n, LEAST_SEEN), MOST_SEEN)
	};
	OssPlace	before = lane->place;
	ErrorData  *error = oss_subtransaction(look_at_lane, &claim);
	ListCell   *cell;

	Assert(lane->state == LANE_OPEN && n > 0);
	lane->last_claim = lane->owner->last_claim = ++dispatcher->claim.nclaims;
	if (error)
	{
		if (oss_error_is_interrupt(error))
			ReThrowError(error);
		if (oss_error_is_wait(error))
			dispatcher->claim.waits++;
		strlcpy(dispatcher->last_error, error->message, sizeof(dispatcher->last_error));
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("oss_labels could not look at the jobs of bucket \"%s\": %s",
						lane->bucket->name, error->message)));
		lane->state = LANE_READ_TO_END;
		return 1;
	}
	choose_jobs(&claim, n);
	if (lane->state == LANE_READ_TO_END && claim.nseen == 0 &&
		before.rank == PG_INT32_MIN && before.due == DT_NOBEGIN)
		lane->state = LANE_EMPTY;
	claim_taken(&claim);
	if (dispatcher->hand.nblocked >= MANY_BLOCKED)
		put_off_blocked(&claim);
	keep_claimed(&claim, &before);
	foreach(cell, claim.jobs)
	{
		if (((OssJob *) lfirst(cell))->verdict == OSS_VERDICT_NONE)
			(*nclaimed)++;
	}
	if (claim.nseen > 0)
		elog(DEBUG1, "oss_labels: claimed %d of %d jobs looked at in bucket \"%s\" of server \"%s\"",
			 list_length(claim.jobs), claim.nseen, lane->bucket->name,
			 lane->bucket->server->name);
	return claim.nseen;
}
