/*-------------------------------------------------------------------------
 * enqueue.c
 *	  oss_labels.enqueue(): enqueues an image.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
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
#include "store/coverage.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_enqueue);
PG_FUNCTION_INFO_V1(oss_labels_enqueue_once);

static OssPlan insert_job = {
	"INSERT INTO oss_labels.job "
	"(requester, server, bucket, key, thr, version_id, priority,"
	" requester_name, origin, server_id, fresh_since, etag, once) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING job_id",
	13, {OIDOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, TEXTOID, INT4OID,
	TEXTOID, INT8OID, OIDOID, TIMESTAMPTZOID, TEXTOID, BOOLOID}
};

/* Check the arguments.  Errors: 22023. */
static void
check_job_arguments(FunctionCallInfo fcinfo)
{
	OssImage	image = {
		.bucket = oss_utf8_argument(fcinfo, 0),
		.key = oss_utf8_argument(fcinfo, 1),
		.has_thr = !PG_ARGISNULL(2),
		.thr = PG_ARGISNULL(2) ? 0 : PG_GETARG_FLOAT8(2),
		.version_id = oss_utf8_argument(fcinfo, 3)
	};

	oss_image_check(&image);
}

/* Return argument i, an ETag, as it is stored.  Errors: 22023. */
static Datum
etag_argument(FunctionCallInfo fcinfo, int i, bool *isnull)
{
	return oss_text_or_null(PG_ARGISNULL(i) ? NULL :
							oss_etag_argument(TextDatumGetCString(PG_GETARG_DATUM(i))),
							isnull);
}

/* Insert a job.  Returns its number. */
static int64
insert_one_job(FunctionCallInfo fcinfo, const ForeignServer *server, bool once)
{
	static const int columns[] = {0, 1, 2, 3, 5};	/* arguments after $2 */
	Datum		values[13];
	char		nulls[13];
	bool		no_etag;
	Datum		etag = etag_argument(fcinfo, 7, &no_etag);
	int64		job_id;
	OssStatementState state;

	oss_arg(values, nulls, 0, ObjectIdGetDatum(GetUserId()), false);
	oss_arg_string(values, nulls, 1, server->servername);
	for (int i = 0; i < lengthof(columns); i++)
		oss_arg(values, nulls, i + 2, PG_GETARG_DATUM(columns[i]),
				PG_ARGISNULL(columns[i]));
	if (nulls[6] == 'n')
		oss_arg(values, nulls, 6, Int32GetDatum(0), false);
	oss_arg_string(values, nulls, 7, oss_role_name(GetUserId()));
	oss_arg(values, nulls, 8, Int64GetDatum(oss_origin()), false);
	oss_arg(values, nulls, 9, ObjectIdGetDatum(server->serverid), false);
	oss_arg(values, nulls, 10, PG_ARGISNULL(6) ? (Datum) 0 :
			TimestampTzGetDatum(oss_fresh_since(PG_GETARG_INTERVAL_P(6))),
			PG_ARGISNULL(6));
	oss_arg(values, nulls, 11, etag, no_etag);
	oss_arg(values, nulls, 12, BoolGetDatum(once), false);

	oss_statement_begin(&state, OSS_STATEMENT_INSERT);
	oss_statement_execute(&insert_job, values, nulls, SPI_OK_INSERT_RETURNING);
	job_id = DatumGetInt64(oss_result_column(0, 1, NULL));
	oss_statement_end(&state);
	return job_id;
}

static Datum
enqueue_image(FunctionCallInfo fcinfo, bool once)
{
	Oid			serverid;
	int64		job_id;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	check_job_arguments(fcinfo);
	if (!PG_ARGISNULL(5))
		oss_check_priority(PG_GETARG_INT32(5));
	serverid = oss_server_oid(oss_name_argument(fcinfo, 4), GetUserId());
	job_id = insert_one_job(fcinfo, GetForeignServer(serverid), once);
	oss_wake_at_commit();
	oss_notice_no_worker();
	PG_RETURN_INT64(job_id);
}

/* oss_labels.enqueue(bucket, key, thr, version_id, server, priority, max_age, etag) */
Datum
oss_labels_enqueue(PG_FUNCTION_ARGS)
{
	return enqueue_image(fcinfo, false);
}

/* oss_labels.enqueue_once(the same) */
Datum
oss_labels_enqueue_once(PG_FUNCTION_ARGS)
{
	return enqueue_image(fcinfo, true);
}
