/*-------------------------------------------------------------------------
 * drain_claim.c
 *	  Draining the queue, the side of the tables: claiming.
 *
 * Each server has its own jobs ready, so that a slow one holds nobody up.  Jobs
 * for the same object are joined here: one that was enqueued before the other's
 * request is made is served by its answer.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "client/flow.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "sql/drain.h"
#include "sql/shared.h"
#include "sql/subtransaction.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Ready jobs of a server at most. */
#define MOST_READY 2048

/* How often jobs that were passed over are looked for. */
#define SCAN_MS 1000
#define SCAN_IDLE_MS 10000

/* Return the server of a name, making it when it is new. */
DrainServer *
oss_drain_server(OssDrain *drain, const char *name)
{
	ListCell   *cell;
	DrainServer *server;
	MemoryContext old;

	foreach(cell, drain->servers)
	{
		server = lfirst(cell);
		if (strcmp(server->name, name) == 0)
			return server;
	}
	old = MemoryContextSwitchTo(drain->context);
	server = palloc0(sizeof(DrainServer));
	server->name = pstrdup(name);
	server->max_concurrency = 16;
	server->reserve = 16;
	dlist_init(&server->ready);
	drain->servers = lappend(drain->servers, server);
	MemoryContextSwitchTo(old);
	return server;
}

/* Return how many more jobs a server wants now. */
int
oss_drain_wanted(const DrainServer *server, TimestampTz now)
{
	int			wanted;

	if (server->held > 0)
		return server->held_until > now ? 0 :
			Max(1 - server->nready - server->in_flight, 0);
	wanted = Max(server->max_concurrency - server->in_flight, 0) +
		server->reserve;
	if (server->target)
		wanted = Min(wanted, oss_flow_allowance(server->target, NULL, 1000));
	return Max(wanted - server->nready, 0);
}

/* Compute the hash of a job's object. */
static uint32
object_hash(const OssJob *job)
{
	uint32		hash = hash_bytes((const unsigned char *) job->key,
								  strlen(job->key));

	return hash_combine(hash, hash_bytes((const unsigned char *) job->bucket,
										 strlen(job->bucket)));
}

/* Do two jobs want the same object of the same server? */
static bool
same_object(const OssJob *a, const OssJob *b)
{
	return a->hash == b->hash && a->server == b->server &&
		strcmp(a->key, b->key) == 0 && strcmp(a->bucket, b->bucket) == 0 &&
		(a->version_id == NULL) == (b->version_id == NULL) &&
		(a->version_id == NULL || strcmp(a->version_id, b->version_id) == 0);
}

/* Return the threshold that the service will take. */
static double
asked_thr(const OssJob *job)
{
	return job->has_thr ? job->thr : OSS_LABELS_THR_DEFAULT;
}

/* Will the answer of one job serve another? */
static bool
serves(const OssJob *leader, const OssJob *job)
{
	if (leader->verdict != OSS_VERDICT_NONE &&
		leader->verdict != OSS_VERDICT_ANSWERED)
		return false;
	if (!same_object(leader, job))
		return false;

	/* a version never changes, anything else may have since */
	if (leader->started_at != 0 && job->version_id == NULL &&
		leader->started_at < job->enqueued_at)
		return false;
	return asked_thr(leader) <= asked_thr(job);
}

/* Put a job into the table of objects. */
static void
remember(OssDrain *drain, OssJob *job)
{
	OssJob	  **head = &drain->objects[job->hash % DRAIN_HASH];

	job->same_hash = *head;
	*head = job;
}

/* Take a job out of the table of objects. */
void
oss_drain_forget(OssDrain *drain, OssJob *job)
{
	OssJob	  **link = &drain->objects[job->hash % DRAIN_HASH];

	while (*link && *link != job)
		link = &(*link)->same_hash;
	if (*link)
		*link = job->same_hash;
}

/* Keep an error as the job's reason. */
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

/* Fail a job before any request. */
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

/* Find the server and mapping of a job's requester, and keep it. */
static void
find_target(void *arg)
{
	OssJob	   *job = arg;

	job->target = oss_server_get(job->server->name, job->requester);
	oss_server_pin(job->target);
}

/*
 * Find the server and mapping of a job's requester, whose rights are checked
 * anew.  Returns the error when that fails.
 */
static ErrorData *
resolve(OssJob *job)
{
	ErrorData  *error = oss_subtransaction(find_target, job);

	if (error != NULL)
		job->target = NULL;
	return error;
}

/*
 * Take what resolve() raised.  Rights that are missing are the requester's
 * own; otherwise something is not set up, which can be mended.
 */
static void
take_error(OssJob *job, ErrorData *error)
{
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	keep_error(job, error);
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
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

/* Keep a server's limits, which may have been altered. */
static void
keep_limits(OssJob *job)
{
	DrainServer *server = job->server;

	if (server->target == job->target)
		return;
	oss_server_pin(job->target);
	if (server->target)
		oss_server_unpin(server->target);
	server->target = job->target;
	server->max_concurrency = job->target->max_concurrency;
	server->reserve = Max(server->reserve, server->max_concurrency);
}

/*
 * Find a job's server, or its verdict when it has one before any request; it
 * counts only when the transaction commits.
 */
static void
judge(OssJob *job)
{
	OssLabelsSpec spec = {
		.bucket = job->names_utf8[0],
		.key = job->names_utf8[1],
		.version_id = job->names_utf8[2],
		.has_thr = job->has_thr,
		.thr = job->thr
	};
	const OssFailure *failure;
	ErrorData  *error;

	if (job->covered || job->source_gone)
		job->verdict = OSS_VERDICT_DONE;
	else if (job->attempts > oss_job_attempts)
		fail_early(job, ERRCODE_SYSTEM_ERROR, "ProcessDied",
				   "the process that had the job died each time");
	else if (!OidIsValid(job->requester))
		fail_early(job, ERRCODE_UNDEFINED_OBJECT, "RequesterGone",
				   "the role that enqueued the job does not exist");
	else if ((failure = oss_spec_failure(&spec)) != NULL)
		fail_early(job, failure->sqlerrcode, failure->code, failure->message);
	else if ((error = resolve(job)) != NULL)
		take_error(job, error);
	else
		keep_limits(job);
}

/* Claim from one lane. */
static void
claim_lane(OssDrain *drain, OssLane *lane, DrainServer *server, int n,
		   bool alone)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = TimestampTzPlusMilliseconds(now, LEASE_MS);
	List	   *jobs = oss_job_claim(lane, n, drain->token, until,
									 alone, drain->context);
	ListCell   *cell;

	if (!oss_drain_busy(drain) && dlist_is_empty(&drain->claimed))
		drain->renew_at = TimestampTzPlusMilliseconds(now, LEASE_MS / 3);
	foreach(cell, jobs)
	{
		OssJob	   *job = lfirst(cell);

		job->server = server;
		job->hash = object_hash(job);
		dlist_push_tail(&drain->claimed, &job->node);
		judge(job);
	}
	drain->budget -= list_length(jobs);

	/* faster than we thought: have more of them ready */
	if (server->starved && server->in_flight > 0)
		server->reserve = Min(server->reserve * 2, MOST_READY);
	server->starved = false;
}

/* Is it time to read the lanes from their beginning? */
static bool
from_beginning(const OssDrain *drain, TimestampTz now)
{
	return now >= drain->scan_at ||
		(drain->late && !oss_drain_busy(drain) && now >= drain->rescan_at);
}

/*
 * List the lanes, and note when that may be done again: it steps over jobs
 * that are gone but that some old snapshot keeps, which can be very many.
 */
static List *
list_lanes(OssDrain *drain)
{
	MemoryContext old = MemoryContextSwitchTo(drain->context);
	TimestampTz start = GetCurrentTimestamp();
	List	   *lanes = oss_job_lanes();
	TimestampTz end = GetCurrentTimestamp();

	MemoryContextSwitchTo(old);
	drain->lanes_at = end + (end - start) * 20;
	return lanes;
}

/* Look for new jobs in the lanes that are known, where they were read to. */
static void
reopen_lanes(OssDrain *drain)
{
	ListCell   *cell;

	foreach(cell, drain->lanes)
		((OssLane *) lfirst(cell))->drained = false;
	drain->woken = false;
	drain->unseen = true;
}

/* Look for lanes, and from their beginning when it is time. */
static void
scan(OssDrain *drain, TimestampTz now, bool again)
{
	List	   *before = drain->lanes;
	ListCell   *cell;

	drain->lanes = list_lanes(drain);
	drain->next_due = 0;
	foreach(cell, drain->lanes)
	{
		OssLane    *lane = lfirst(cell);
		ListCell   *other;

		if (lane->first_due > now &&
			(drain->next_due == 0 || lane->first_due < drain->next_due))
			drain->next_due = lane->first_due;
		foreach(other, before)
		{
			OssLane    *same = lfirst(other);

			if (!again && same->priority == lane->priority &&
				strcmp(same->server, lane->server) == 0)
			{
				lane->after_due = same->after_due;
				lane->after_id = same->after_id;
			}
		}
	}
	foreach(cell, before)
	{
		pfree(((OssLane *) lfirst(cell))->server);
		pfree(lfirst(cell));
	}
	list_free(before);
	drain->woken = drain->unseen = false;
	if (again)
	{
		drain->late = false;
		drain->scan_at = now;	/* set when the cost is known */
	}
}

/*
 * Are we the only ones to drain this queue?  If not, claims take turns, each
 * seeing the leases of the one before.
 */
static bool
take_turn(const OssDrain *drain)
{
	if (drain->patient && !oss_foreground_any())
		return true;
	LockRelationOid(get_relname_relid("halted",
									  get_namespace_oid("oss_labels", false)),
					ShareUpdateExclusiveLock);
	return false;
}

/* Claim what the servers want. */
void
oss_drain_claim(OssDrain *drain)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		again = from_beginning(drain, now);
	bool		alone = true;
	bool		asked = false;
	ListCell   *cell;

	if (again || ((drain->woken || drain->unseen) && now >= drain->lanes_at))
		scan(drain, now, again);
	else if (drain->woken)
		reopen_lanes(drain);
	foreach(cell, drain->lanes)
	{
		OssLane    *lane = lfirst(cell);
		DrainServer *server;
		int64		n;

		if (drain->only_server && strcmp(drain->only_server, lane->server) != 0)
		{
			lane->drained = true;
			continue;
		}
		if (lane->drained || drain->budget <= 0 || drain->settle_troubles > 0)
			continue;
		server = oss_drain_server(drain, lane->server);
		n = Min(oss_drain_wanted(server, now), drain->budget);
		if (n <= 0)
			continue;
		if (!asked)
			alone = take_turn(drain);
		asked = true;
		claim_lane(drain, lane, server, (int) n, alone);
	}
	if (again)
	{
		TimestampTz end = GetCurrentTimestamp();
		int64		us = (end - now) * 20;

		drain->rescan_at = end + us;
		us = Max(us, SCAN_MS * 1000);
		if (!oss_drain_busy(drain) && dlist_is_empty(&drain->claimed))
			us = Max(us, SCAN_IDLE_MS * 1000);
		drain->scan_at = end + us;
		if (drain->next_due != 0 && drain->next_due > end)
			drain->scan_at = Min(drain->scan_at, drain->next_due);
	}
}

/* Find the job whose answer will serve this one, or NULL. */
static OssJob *
find_leader(OssDrain *drain, OssJob *job)
{
	OssJob	   *leader;

	for (leader = drain->objects[job->hash % DRAIN_HASH]; leader;
		 leader = leader->same_hash)
	{
		if (serves(leader, job))
			return leader;
	}
	return NULL;
}

/* Hand out the jobs that were claimed, now that they are ours for good. */
void
oss_drain_hand_out(OssDrain *drain)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &drain->claimed)
	{
		OssJob	   *job = dlist_container(OssJob, node, iter.cur);
		OssJob	   *leader = find_leader(drain, job);

		dlist_delete(&job->node);
		if (job->verdict != OSS_VERDICT_NONE)
			oss_drain_finish(drain, job, job->verdict);
		else if (leader)
		{
			job->next = leader->followers;
			leader->followers = job;
		}
		else
		{
			remember(drain, job);
			dlist_push_tail(&job->server->ready, &job->node);
			job->server->nready++;
			drain->nready++;
		}
	}
}

/* Does a pause concern a job? */
static bool
concerns(const OssPause *pause, const OssJob *job)
{
	return (pause->server == NULL ||
			strcmp(pause->server, job->server->name) == 0) &&
		(!OidIsValid(pause->requester) || pause->requester == job->requester) &&
		(pause->bucket == NULL || strcmp(pause->bucket, job->bucket) == 0);
}

/* Give back what is ready and paused. */
void
oss_drain_obey_pauses(OssDrain *drain)
{
	List	   *pauses = oss_pause_list();
	ListCell   *s;
	ListCell   *p;
	dlist_mutable_iter iter;

	drain->obey = false;
	drain->halted = pauses != NIL;
	foreach(s, drain->servers)
	{
		DrainServer *server = lfirst(s);

		dlist_foreach_modify(iter, &server->ready)
		{
			OssJob	   *job = dlist_container(OssJob, node, iter.cur);

			foreach(p, pauses)
			{
				if (!concerns(lfirst(p), job))
					continue;
				dlist_delete(&job->node);
				server->nready--;
				drain->nready--;
				job->due = GetCurrentTimestamp();
				job->refund = true;
				oss_drain_finish(drain, job, OSS_VERDICT_LATER);
				break;
			}
		}
	}
}
