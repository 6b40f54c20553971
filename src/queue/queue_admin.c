/*-------------------------------------------------------------------------
 * queue_admin.c
 *	  Administration of the queue: pause, resume, retry_failed, announce.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "queue/database_copy.h"
#include "queue/job.h"
#include "queue/priority.h"
#include "queue/worker_slot.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_pause);
PG_FUNCTION_INFO_V1(oss_labels_resume);
PG_FUNCTION_INFO_V1(oss_labels_retry_failed);
PG_FUNCTION_INFO_V1(oss_labels_announce);

static OssPlan insert_pause = {
	"INSERT INTO oss_labels.active_pause (server, automatic, reason, server_id) "
	"VALUES ($1, false, pg_catalog.format('paused by %s', $2), $3) "
	"ON CONFLICT DO NOTHING",
	3, {TEXTOID, TEXTOID, OIDOID}
};

static OssPlan delete_pause = {
	"DELETE FROM oss_labels.active_pause"
	" WHERE oss_labels.server_of(origin, server_id, server) IS NOT DISTINCT FROM $1",
	1, {TEXTOID}
};

static OssPlan retry_jobs = {
	"WITH gone AS ("
	" DELETE FROM oss_labels.failed_job"
	" WHERE ($1 IS NULL OR oss_labels.server_of(origin, server_id, server) = $1)"
	" AND ($2 IS NULL OR bucket = $2)"
	" AND ($3 IS NULL OR code = $3 OR \"sqlstate\" = $3)"
	" AND ($4 IS NULL OR failed_at >= clock_timestamp() - $4)"
	" AND ($6 OR pg_has_role($5,"
	" oss_labels.role_of(origin, requester, requester_name), 'USAGE'))"
	/* without source: a retry is independent of the table */
	" RETURNING requester,"
	" CASE WHEN code IS DISTINCT FROM 'SourceGone' THEN source END, origin,"
	" requester_name,"
	" CASE WHEN code IS DISTINCT FROM 'SourceGone' THEN source_name END,"
	" server, server_id, bucket, key, thr, version_id,"
	" CASE WHEN $7 THEN priority ELSE least(priority, 0) END, fresh_since, etag, sync_id) "
	"INSERT INTO oss_labels.job"
	" (requester, source, origin, requester_name, source_name,"
	" server, server_id, bucket, key, thr, version_id, priority, fresh_since, etag, sync_id) "
	"SELECT * FROM gone ON CONFLICT DO NOTHING",
	7, {TEXTOID, TEXTOID, TEXTOID, INTERVALOID, OIDOID, BOOLOID, BOOLOID}
};

/* Execute a plan as the extension's owner; returns the number of rows. */
static uint64
execute_admin(OssPlan *plan, Datum *values, const char *nulls, int expect)
{
	uint64		rows = oss_statement_run(OSS_STATEMENT_WORK, plan, values, nulls, expect);

	oss_wake_at_commit();
	return rows;
}

/* oss_labels.pause(server) */
Datum
oss_labels_pause(PG_FUNCTION_ARGS)
{
	Datum		values[3];
	char		nulls[3];
	const char *server = oss_name_argument(fcinfo, 0);

	oss_arg_string(values, nulls, 0, server);
	oss_arg_string(values, nulls, 1, GetUserNameFromId(GetUserId(), false));
	oss_arg(values, nulls, 2, ObjectIdGetDatum(server == NULL ? InvalidOid :
											   get_foreign_server_oid(server, false)),
			false);
	(void) execute_admin(&insert_pause, values, nulls, SPI_OK_INSERT);
	PG_RETURN_VOID();
}

/* oss_labels.resume(server) */
Datum
oss_labels_resume(PG_FUNCTION_ARGS)
{
	const char *server = oss_name_argument(fcinfo, 0);
	Oid			serverid = server ? get_foreign_server_oid(server, true) : InvalidOid;
	OssStatementState state;
	Datum		value;
	char		null;

	oss_arg_string(&value, &null, 0, server);
	(void) execute_admin(&delete_pause, &value, &null, SPI_OK_DELETE);
	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	(void) oss_job_end_rests(server);
	if (server == NULL)
		oss_database_accept_copy();
	oss_statement_end(&state);

	/* pauses outlive their server */
	if (server == NULL || OidIsValid(serverid))
		oss_resume_at_commit(serverid);
	PG_RETURN_VOID();
}

/* oss_labels.retry_failed(server, bucket, code, younger_than) */
Datum
oss_labels_retry_failed(PG_FUNCTION_ARGS)
{
	Datum		values[7];
	char		nulls[7];
	uint64		rows;

	oss_arg_string(values, nulls, 0, oss_name_argument(fcinfo, 0));
	for (int i = 1; i < 4; i++)
		oss_arg(values, nulls, i, PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	oss_arg(values, nulls, 4, ObjectIdGetDatum(GetUserId()), false);
	oss_arg(values, nulls, 5, BoolGetDatum(has_privs_of_role(GetUserId(),
															 oss_extension_owner())), false);
	oss_arg(values, nulls, 6, BoolGetDatum(oss_may_prioritize(GetUserId())), false);
	rows = execute_admin(&retry_jobs, values, nulls, SPI_OK_INSERT);
	if (rows > 0)
		oss_notice_no_worker();
	PG_RETURN_INT64((int64) rows);
}

/* oss_labels.announce() */
Datum
oss_labels_announce(PG_FUNCTION_ARGS)
{
	oss_wake_at_commit();
	PG_RETURN_VOID();
}
