/*-------------------------------------------------------------------------
 * worker_status.c
 *	  worker_status() and rate_status(), for the views worker and queue.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "client/rate_limit.h"
#include "commands/dbcommands.h"
#include "compat.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "queue/worker_slot.h"
#include "spi/result_rows.h"
#include "spi/role.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_worker_status);
PG_FUNCTION_INFO_V1(oss_labels_rate_status);

/* Put one row of the view worker. */
static void
put_worker(const OssResult *result, pid_t pid, Oid dbid, const char *state,
		   const char *last_error, TimestampTz since)
{
	Datum		values[5] = {0};
	bool		nulls[5] = {0};
	NameData	database = {{0}};
	const char *name = OidIsValid(dbid) ? get_database_name(dbid) : NULL;

	values[0] = Int32GetDatum((int32) pid);
	nulls[0] = pid == 0;
	if (name)
		namestrcpy(&database, name);
	values[1] = NameGetDatum(&database);
	nulls[1] = name == NULL;
	values[2] = CStringGetTextDatum(state);
	nulls[3] = last_error == NULL || last_error[0] == '\0';
	if (!nulls[3])
		values[3] = CStringGetTextDatum(last_error);
	values[4] = TimestampTzGetDatum(since);
	nulls[4] = since == 0;
	oss_result_add(result, values, nulls);
}

/* oss_labels.worker_status() */
Datum
oss_labels_worker_status(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	bool		all = oss_sees_all(GetUserId());
	OssWorkerShmem *copy;

	if (oss_worker_shmem == NULL)
	{
		put_worker(&result, 0, MyDatabaseId,
				   "none: oss_labels is not in shared_preload_libraries",
				   NULL, 0);
		return (Datum) 0;
	}

	/* look up names of databases without holding the lock */
	copy = palloc(sizeof(OssWorkerShmem));
	LWLockAcquire(oss_worker_shmem->lock, LW_SHARED);
	memcpy(copy, oss_worker_shmem, sizeof(OssWorkerShmem));
	LWLockRelease(oss_worker_shmem->lock);
	put_worker(&result, copy->launcher_pid, InvalidOid,
			   copy->launcher_pid != 0 ? "launcher" : "launcher is not running",
			   NULL, copy->launcher_since);
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &copy->slots[i];

		if (OidIsValid(slot->dbid))
			put_worker(&result, slot->pid, slot->dbid,
					   oss_slot_state_name(slot->state),
					   all ? slot->last_error : NULL, slot->since);
	}
	return (Datum) 0;
}

/* Put one row of rate_status(). */
static void
put_rate(const OssResult *result, const OssRateReport *report)
{
	ForeignServer *server = GetForeignServerExtended(report->serverid,
													 FSV_MISSING_OK);
	Datum		values[7];
	bool		nulls[7] = {0};

	if (server == NULL)
		return;
	values[0] = CStringGetTextDatum(server->servername);
	values[1] = CStringGetTextDatum(report->bucket);
	values[2] = Float8GetDatum(report->answers_per_second);
	values[3] = Float8GetDatum(report->requests_per_second);
	nulls[3] = report->requests_per_second == 0;
	values[4] = BoolGetDatum(report->slowed_down);
	values[5] = Int64GetDatum(report->throttled);
	values[6] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
																report->held_ms));
	nulls[6] = report->held_ms == 0;
	oss_result_add(result, values, nulls);
}

/*
 * Return whether a row matches the arguments of rate_status() and may be shown
 * to the caller, who must not learn the names of other roles' buckets.
 */
static bool
is_row_wanted(FunctionCallInfo fcinfo, const OssRateReport *report)
{
	char	   *server = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *bucket = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (server && get_foreign_server_oid(server, true) != report->serverid)
		return false;
	if (bucket && strcmp(bucket, report->bucket) != 0)
		return false;
	return oss_worker_shmem == NULL || oss_sees_all(GetUserId()) ||
		(server && bucket &&
		 oss_server_aclcheck(report->serverid, GetUserId(), ACL_USAGE) == ACLCHECK_OK);
}

/* oss_labels.rate_status(server, bucket) */
Datum
oss_labels_rate_status(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	OssRateReport report;
	int			at = 0;

	while (oss_rate_report(&at, &report))
	{
		if (is_row_wanted(fcinfo, &report))
			put_rate(&result, &report);
	}
	return (Datum) 0;
}
