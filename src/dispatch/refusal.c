/*-------------------------------------------------------------------------
 * refusal.c
 *	  Dispatching, in a transaction: a store that takes no answer.
 *
 * If a user's trigger raises an error for every answer, a user's column is NOT
 * NULL, or a tablespace is full, each further request would be paid for nothing.
 * So the queue is paused, and the answers that have come are kept in their jobs'
 * rows.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dispatch/blocked.h"
#include "dispatch/lane.h"
#include "dispatch/pause.h"
#include "dispatch/refusal.h"
#include "dispatch/spooled.h"
#include "postmaster/bgworker.h"
#include "spi/subtransaction.h"
#include "store/store.h"
#include "utils/builtins.h"

/* Stands for all buckets; no bucket of OSS has such a name. */
#define NO_BUCKET "-"

/* Is a string in a list? */
static bool
has_string(const List *list, const char *string)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		if (strcmp(lfirst(cell), string) == 0)
			return true;
	}
	return false;
}

/*
 * Try to store an answer for a bucket.  Returns the error if that is refused; a lock
 * wait is not a refusal.
 */
static ErrorData *
try_bucket(const char *bucket, ErrorData **stop)
{
	ErrorData  *error = oss_store_trial(bucket);

	if (error && oss_error_is_interrupt(error))
		*stop = error;
	return error && (*stop || oss_error_is_wait(error)) ? NULL : error;
}

/* Insert a pause, as a function for a subtransaction. */
static void
add_pause(void *arg)
{
	OssPause   *pause = arg;

	if (oss_pause_add(pause))
		ereport(MyBgworkerEntry ? LOG : NOTICE,
				(errcode(pause->sqlerrcode),
				 pause->bucket ? errmsg("oss_labels pauses a bucket") :
				 errmsg("oss_labels pauses the queue"),
				 errdetail("%s", oss_sentence(pause->reason)),
				 errhint("Answers that have come are kept. Storing is tried again every %d seconds.",
						 OSS_STORING_PAUSE_SECONDS)));
}

/*
 * Pause a job's bucket, or the whole database.  Returns false if the pause cannot be
 * written.  The reason is the trial's error, which reveals nothing about anybody's
 * images.
 */
static bool
pause_storing(OssDispatcher *dispatcher, const OssJob *job, bool all,
			  const ErrorData *error, ErrorData **stop)
{
	const char *server = job->spooled ? job->server_name :
	job->lane->bucket->server->name;
	OssPause	pause = {
		.server = all ? NULL : server,
		.bucket = all ? NULL : job->image.bucket,
		.sqlerrcode = error->sqlerrcode,
		.seconds = OSS_STORING_PAUSE_SECONDS,
		.storing = true
	};
	ErrorData  *problem;
	ListCell   *cell;

	pause.reason = psprintf("no answer can be stored: %s (remove the cause, such as a trigger on oss_labels.image, then SELECT oss_labels.resume(%s))",
							error->message, all ? "" : quote_literal_cstr(server));
	problem = oss_subtransaction(add_pause, &pause);
	if (problem)
	{
		*stop = oss_error_is_interrupt(problem) ? problem : NULL;
		return false;
	}
	strlcpy(dispatcher->last_error, error->message, sizeof(dispatcher->last_error));
	dispatcher->upkeep.pauses_added = true;

	/* until that is applied */
	foreach(cell, dispatcher->queue.servers)
		((DispatchServer *) lfirst(cell))->pausing = true;
	return true;
}

bool
oss_dispatch_store_refuses(OssDispatcher *dispatcher, OssRefusals *refusals,
						   const OssJob *job, ErrorData **stop)
{
	const char *bucket = job->image.bucket;
	ErrorData  *error;

	if (refusals->all || has_string(refusals->refused, bucket))
		return true;
	if (has_string(refusals->taken, bucket))
		return false;
	error = try_bucket(bucket, stop);
	if (error != NULL)
	{
		bool		all = try_bucket(NO_BUCKET, stop) != NULL;

		if (*stop == NULL && pause_storing(dispatcher, job, all, error, stop))
		{
			refusals->all = all;
			refusals->refused = lappend(refusals->refused, pstrdup(bucket));
			return true;
		}
	}
	refusals->taken = lappend(refusals->taken, pstrdup(bucket));
	return false;
}

void
oss_dispatch_keep_refused(OssDispatcher *dispatcher, OssJob *job)
{
	if (job->spooled && dispatcher->keeps_answers)
		oss_dispatch_block(dispatcher, job);
	else if (job->spooled)
		oss_dispatch_drop_spooled(dispatcher, job);
	else
		oss_dispatch_hand_over(dispatcher, job, 0,
							   "it is answered, and nothing can be stored now", true);
}

void
oss_dispatch_try_store(OssDispatcher *dispatcher)
{
	ListCell   *cell;

	foreach(cell, oss_pause_prolong())
	{
		const char *bucket = lfirst(cell);
		ErrorData  *error = oss_store_trial(bucket ? bucket : NO_BUCKET);

		if (error && oss_error_is_interrupt(error))
			ReThrowError(error);
		if (error)
		{
			elog(DEBUG1, "oss_labels: nothing can be stored still: %s", error->message);
			continue;
		}
		oss_pause_end(bucket);
		dispatcher->claim.woken = true;
		ereport(LOG,
				(errmsg("oss_labels can store answers again and goes on")));
	}
}
