/*-------------------------------------------------------------------------
 * sync_register.c
 *	  sync_bucket(), and pausing, resuming and cancelling what it registers.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "client/listing.h"
#include "client/request.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "queue/identity.h"
#include "queue/priority.h"
#include "queue/worker_slot.h"
#include "spi/result_rows.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_sync_bucket);
PG_FUNCTION_INFO_V1(oss_labels_sync_list);
PG_FUNCTION_INFO_V1(oss_labels_pause_sync);
PG_FUNCTION_INFO_V1(oss_labels_resume_sync);
PG_FUNCTION_INFO_V1(oss_labels_cancel_sync);

#define RULE "bucket, prefix, every, max_requests, suffixes, max_size," \
	" storage_classes, thr, priority, forget, keep_corrected"

/*
 * A rule that is what it was, and whose listing is on, goes on; else a round begins,
 * unless it is for events alone ($17 is done).  What is tagged may be of events.  A
 * list ($17 is tagging) is always new.
 */
static OssPlan register_sync = {
	"INSERT INTO oss_labels.sync AS s (" RULE ", requester, requester_name, origin,"
	" server, server_id, from_list, state, due, listed_at, finished_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
	" $17 = 'tagging', $17, CASE WHEN $17 = 'done' THEN 'infinity' ELSE clock_timestamp() END,"
	" CASE WHEN $17 = 'done' THEN clock_timestamp() END, CASE WHEN $17 = 'done' THEN clock_timestamp() END)"
	" ON CONFLICT (bucket, prefix, requester, origin, server_id) WHERE NOT from_list"
	" DO UPDATE SET state = CASE WHEN $17 = 'done' THEN 'done' WHEN s.state IN ('listing', 'forgetting')"
	" AND (s.suffixes, s.max_size, s.storage_classes, s.thr) IS NOT DISTINCT FROM"
	" (excluded.suffixes, excluded.max_size, excluded.storage_classes, excluded.thr)"
	" THEN s.state ELSE 'waiting' END,"
	" every = excluded.every, max_requests = excluded.max_requests,"
	" suffixes = excluded.suffixes, max_size = excluded.max_size,"
	" storage_classes = excluded.storage_classes, thr = excluded.thr,"
	" priority = excluded.priority, forget = excluded.forget,"
	" keep_corrected = excluded.keep_corrected, server = excluded.server,"
	" requester_name = excluded.requester_name, reason = NULL, failures = 0,"
	" due = excluded.due"
	" RETURNING sync_id",
	17, {TEXTOID, TEXTOID, INTERVALOID, INT8OID, TEXTARRAYOID, INT8OID, TEXTARRAYOID,
		FLOAT8OID, INT4OID, BOOLOID, BOOLOID, OIDOID, TEXTOID, INT8OID, TEXTOID, OIDOID, TEXTOID
	}
};

/* Whose a sync is, by its number; $2 may do what the owner may. */
#define OF_CALLER \
	" WHERE sync_id = $1 AND ($3 OR pg_has_role($2," \
	" oss_labels.role_of(origin, requester, requester_name), 'USAGE'))"

static OssPlan pause_sync = {
	"UPDATE oss_labels.sync SET state = 'paused', lease = NULL,"
	" reason = format('paused by %s', $4)" OF_CALLER,
	4, {INT8OID, OIDOID, BOOLOID, TEXTOID}
};

static OssPlan set_jobs_aside = {
	"WITH gone AS (DELETE FROM oss_labels.job WHERE sync_id = $1 RETURNING *)"
	" INSERT INTO oss_labels.sync_paused_job (sync_id, fresh_since, etag, object_size,"
	" last_modified, key, thr, attempts, answer, asked_at, asked_id, reason)"
	" SELECT sync_id, fresh_since, etag, object_size, last_modified, key, thr,"
	" greatest(attempts - (leased_until IS NOT NULL)::integer, 0), answer, asked_at, asked_id, reason"
	" FROM gone ORDER BY job_id",
	1, {INT8OID}
};

/*
 * What is paused or has stopped goes on where it was, what is done begins a round.
 * A row of another database becomes this one's, by names.
 */
static OssPlan resume_sync = {
	"UPDATE oss_labels.sync SET state = CASE"
	" WHEN state IN ('listing', 'forgetting', 'tagging') THEN state"
	" WHEN state NOT IN ('paused', 'stopped') THEN 'waiting'"
	" WHEN from_list THEN 'tagging'"
	" WHEN listed_at IS NULL THEN 'listing' WHEN finished_at IS NULL THEN 'forgetting'"
	" WHEN every IS NOT NULL OR state = 'stopped' THEN 'waiting' ELSE 'done' END,"
	" due = CASE WHEN state = 'paused' AND finished_at IS NOT NULL AND every IS NOT NULL"
	" THEN started_at + every ELSE clock_timestamp() END,"
	" reason = NULL, failures = 0, lease = NULL, max_requests = coalesce($4, max_requests),"
	" requester = coalesce(oss_labels.role_of(origin, requester, requester_name), requester),"
	" server_id = coalesce((SELECT f.oid FROM pg_foreign_server f"
	" WHERE f.srvname = oss_labels.server_of(origin, server_id, server)), server_id),"
	" server = coalesce(oss_labels.server_of(origin, server_id, server), server),"
	" origin = oss_labels.origin()" OF_CALLER,
	4, {INT8OID, OIDOID, BOOLOID, INT8OID}
};

/* But not those whose answers came while they were set aside. */
static OssPlan put_back_jobs = {
	"WITH gone AS (DELETE FROM oss_labels.sync_paused_job WHERE sync_id = $1 RETURNING *)"
	" INSERT INTO oss_labels.job (requester, requester_name, origin, server, server_id,"
	" bucket, priority, sync_id, fresh_since, etag, object_size, last_modified, key, thr,"
	" attempts, answer, asked_at, asked_id, reason)"
	" SELECT s.requester, s.requester_name, s.origin, s.server, s.server_id, s.bucket,"
	" s.priority, s.sync_id, g.fresh_since, g.etag, g.object_size, g.last_modified, g.key,"
	" g.thr, g.attempts, g.answer, g.asked_at, g.asked_id, g.reason"
	" FROM gone g JOIN oss_labels.sync s ON s.sync_id = g.sync_id"
	" WHERE g.answer IS NOT NULL OR g.etag IS NULL OR NOT EXISTS (SELECT FROM oss_labels.image i"
	" WHERE i.image_id = oss_labels.image_id(s.bucket, g.key) AND i.bucket = s.bucket"
	" AND i.key = g.key AND i.etag = g.etag AND coalesce(i.thr, 0.7) <= coalesce(g.thr, 0.7))"
	" ON CONFLICT DO NOTHING",
	1, {INT8OID}
};

static OssPlan cancel_sync = {
	"DELETE FROM oss_labels.sync" OF_CALLER,
	3, {INT8OID, OIDOID, BOOLOID}
};

/* Jobs whose answers are there are left, to be stored. */
static OssPlan cancel_jobs = {
	"WITH jobs AS (DELETE FROM oss_labels.job WHERE sync_id = $1 AND answer IS NULL),"
	" kept AS (UPDATE oss_labels.job SET sync_id = NULL WHERE sync_id = $1 AND answer IS NOT NULL),"
	" paused AS (DELETE FROM oss_labels.sync_paused_job WHERE sync_id = $1),"
	" missing AS (DELETE FROM oss_labels.sync_missing WHERE sync_id = $1)"
	" DELETE FROM oss_labels.sync_tally WHERE sync_id = $1",
	1, {INT8OID}
};

static OssPlan may_forget = {
	"SELECT has_function_privilege($1, 'oss_labels.forget(text, text, text)', 'EXECUTE')",
	1, {OIDOID}
};

/* Longest time from one round to the next: the calendar has the time of the next one. */
#define MOST_YEARS 1000

/* Tries to change a row that the worker changes, too. */
#define MOST_TRIES 20

/* A change of a sync, and then of its jobs. */
typedef struct SyncChange
{
	OssPlan    *plan;
	Datum	   *values;
	const char *nulls;
	int			expect;
	OssPlan    *jobs;
	int			jobs_expect;
	int64		id;				/* 0: the plan returns it */
	bool		found;
} SyncChange;

/* Subtransaction: make a change of what is committed now. */
static void
run_change(void *arg)
{
	SyncChange *change = arg;
	Datum		id = Int64GetDatum(change->id);
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	change->found = oss_statement_execute_in(GetLatestSnapshot(), change->plan, change->values,
											 change->nulls, change->expect) > 0;
	if (change->found && change->id == 0)
		id = oss_result_column(0, 1, NULL);
	if (change->found)
		oss_statement_execute_in(GetLatestSnapshot(), change->jobs, &id, NULL,
								 change->jobs_expect);
	change->id = DatumGetInt64(id);
	oss_statement_end(&state);
}

/*
 * Make a change, whatever the isolation level: that the worker has just changed the
 * row is no reason to fail.
 */
static void
make_change(SyncChange *change)
{
	int64		id = change->id;

	for (int i = 1;; i++)
	{
		ErrorData  *error = oss_subtransaction(run_change, change);

		if (error == NULL)
			break;
		if (error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE || i == MOST_TRIES)
			ReThrowError(error);
		FreeErrorData(error);
		change->id = id;
	}
	if (change->found)
		oss_wake_at_commit();
}

/* Raise 22023 unless an argument is fine. */
static void
require_argument(bool fine, const char *message, const char *hint)
{
	if (!fine)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", message), errhint("%s", hint)));
}

/* Raise 42501 if the caller may not forget images. */
static void
check_forget(void)
{
	Datum		role = ObjectIdGetDatum(GetUserId());
	OssStatementState state;
	bool		may;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	oss_statement_execute(&may_forget, &role, NULL, SPI_OK_SELECT);
	may = DatumGetBool(oss_result_column(0, 1, NULL));
	oss_statement_end(&state);
	if (!may)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to forget images"),
				 errhint("The extension's owner grants it: CALL oss_labels.grant_writing('role', 'bucket'); or use forget => false.")));
}

/* Is the bucket to be listed?  Else events alone tell what is new. */
static bool
rule_lists(FunctionCallInfo fcinfo)
{
	return PG_NARGS() < 13 || PG_ARGISNULL(12) || PG_GETARG_BOOL(12);
}

/* Check the arguments of sync_bucket().  Errors: 22023, 42501. */
static void
check_arguments(FunctionCallInfo fcinfo)
{
	OssListSpec spec = {
		.bucket = oss_utf8_argument(fcinfo, 0),
		.prefix = oss_utf8_argument(fcinfo, 1)
	};
	OssImage	image = {
		.bucket = spec.bucket,
		.key = "x",
		.has_thr = !PG_ARGISNULL(7),
		.thr = PG_ARGISNULL(7) ? 0 : PG_GETARG_FLOAT8(7)
	};
	const OssFailure *failure;
	Interval	none = {0};
	Interval	most = {.month = MOST_YEARS * MONTHS_PER_YEAR};

	require_argument(spec.bucket != NULL, "bucket must not be null", "Give the name of the bucket.");
	failure = oss_list_failure(&spec);
	if (failure)
		oss_failure_throw(failure);
	oss_image_check(&image);
	require_argument(PG_ARGISNULL(2) ||
					 DatumGetBool(DirectFunctionCall2(interval_gt, PG_GETARG_DATUM(2),
													  IntervalPGetDatum(&none))),
					 "every must be positive",
					 "Give the time from one round to the next, such as '1 day', or NULL for one round.");
	require_argument(PG_ARGISNULL(2) ||
					 DatumGetBool(DirectFunctionCall2(interval_le, PG_GETARG_DATUM(2),
													  IntervalPGetDatum(&most))),
					 "every must not be longer than 1000 years",
					 "Give the time from one round to the next, such as '1 day', or NULL for one round.");
	require_argument(PG_ARGISNULL(2) || rule_lists(fcinfo), "a bucket that is not listed has no rounds",
					 "Leave out every, or list => false.");
	require_argument(PG_ARGISNULL(3) || PG_GETARG_INT64(3) >= 0, "max_requests must not be negative",
					 "Give the requests for labels that may be paid for, or NULL for no limit.");
	require_argument(PG_ARGISNULL(5) || PG_GETARG_INT64(5) >= 0, "max_size must not be negative",
					 "Give the size of the largest image in bytes, or NULL for any.");
	if (!PG_ARGISNULL(8))
		oss_check_priority(PG_GETARG_INT32(8));
	if (!PG_ARGISNULL(9) && PG_GETARG_BOOL(9))
		check_forget();
}

/* Register what to keep in step, in its first state.  Returns its number. */
static int64
register_rule(FunctionCallInfo fcinfo, const char *state)
{
	Datum		values[17];
	char		nulls[17];
	ForeignServer *server;
	SyncChange	change;

	check_arguments(fcinfo);
	server = GetForeignServer(oss_server_oid(oss_name_argument(fcinfo, 11), GetUserId()));
	for (int i = 0; i < 11; i++)
		oss_arg(values, nulls, i, PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	if (PG_ARGISNULL(1))
		oss_arg_string(values, nulls, 1, "");
	if (PG_ARGISNULL(8))
		oss_arg(values, nulls, 8, Int32GetDatum(0), false);
	if (PG_ARGISNULL(10))
		oss_arg(values, nulls, 10, BoolGetDatum(true), false);
	oss_arg(values, nulls, 11, ObjectIdGetDatum(GetUserId()), false);
	oss_arg_string(values, nulls, 12, oss_role_name(GetUserId()));
	oss_arg(values, nulls, 13, Int64GetDatum(oss_origin()), false);
	oss_arg_string(values, nulls, 14, server->servername);
	oss_arg(values, nulls, 15, ObjectIdGetDatum(server->serverid), false);
	oss_arg_string(values, nulls, 16, state);

	change = (SyncChange)
	{
		&register_sync, values, nulls, SPI_OK_INSERT_RETURNING, &put_back_jobs, SPI_OK_INSERT
	};
	make_change(&change);
	oss_notice_no_worker();
	return change.id;
}

/*
 * oss_labels.sync_bucket(bucket, prefix, every, max_requests, suffixes, max_size,
 * storage_classes, thr, priority, forget, keep_corrected, server, list)
 */
Datum
oss_labels_sync_bucket(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(register_rule(fcinfo, rule_lists(fcinfo) ? "listing" : "done"));
}

/* oss_labels.sync_list(the same) */
Datum
oss_labels_sync_list(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(register_rule(fcinfo, "tagging"));
}

/*
 * Change a sync of the caller's by a plan, whose fourth parameter, if any, is
 * extra, and then its jobs by another.  Errors: 42704.
 */
static void
change_sync(int64 id, OssPlan *plan, Datum extra, bool no_extra, int expect,
			OssPlan *jobs, int jobs_expect)
{
	Datum		values[4];
	char		nulls[4];
	SyncChange	change = {
		plan, values, nulls, expect, jobs, jobs_expect, id
	};

	oss_arg(values, nulls, 0, Int64GetDatum(id), false);
	oss_arg(values, nulls, 1, ObjectIdGetDatum(GetUserId()), false);
	oss_arg(values, nulls, 2, BoolGetDatum(has_privs_of_role(GetUserId(), oss_extension_owner())), false);
	oss_arg(values, nulls, 3, extra, no_extra);
	make_change(&change);
	if (!change.found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no sync " INT64_FORMAT, id),
				 errhint("The view oss_labels.bucket_sync lists those of your roles.")));
}

/* oss_labels.pause_sync(sync_id) */
Datum
oss_labels_pause_sync(PG_FUNCTION_ARGS)
{
	change_sync(PG_GETARG_INT64(0), &pause_sync,
				CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)), false,
				SPI_OK_UPDATE, &set_jobs_aside, SPI_OK_INSERT);
	PG_RETURN_VOID();
}

/* oss_labels.resume_sync(sync_id, max_requests) */
Datum
oss_labels_resume_sync(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	require_argument(PG_ARGISNULL(1) || PG_GETARG_INT64(1) >= 0, "max_requests must not be negative",
					 "Give the requests for labels that it may spend in all, or NULL to leave the limit.");
	change_sync(PG_GETARG_INT64(0), &resume_sync, PG_GETARG_DATUM(1), PG_ARGISNULL(1),
				SPI_OK_UPDATE, &put_back_jobs, SPI_OK_INSERT);
	oss_notice_no_worker();
	PG_RETURN_VOID();
}

/* oss_labels.cancel_sync(sync_id) */
Datum
oss_labels_cancel_sync(PG_FUNCTION_ARGS)
{
	change_sync(PG_GETARG_INT64(0), &cancel_sync, (Datum) 0, true, SPI_OK_DELETE,
				&cancel_jobs, SPI_OK_DELETE);
	PG_RETURN_VOID();
}
