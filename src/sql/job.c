/*-------------------------------------------------------------------------
 * job.c
 *	  The statements that claim and settle jobs.
 *
 * Whoever waits for the queue must not wait for anybody's transaction: rows
 * that are locked are skipped, here as in the triggers that cancel.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "sql/array.h"
#include "sql/identity.h"
#include "sql/job.h"
#include "sql/statement.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Walk over the first entry of each server and priority in the claim index. */
static OssPlan list_lanes = {
	"WITH RECURSIVE lane AS ("
	"(SELECT server, priority, due FROM oss_labels.job"
	" ORDER BY server, priority, due, job_id LIMIT 1)"
	" UNION ALL "
	"SELECT n.* FROM lane l, LATERAL ("
	"SELECT j.server, j.priority, j.due FROM oss_labels.job j"
	" WHERE (j.server, j.priority) > (l.server, l.priority)"
	" ORDER BY j.server, j.priority, j.due, j.job_id LIMIT 1) n) "
	"SELECT server, priority, due FROM lane ORDER BY priority DESC, server",
	0, {0}
};

/*
 * Claim.  A claim counts the attempt, so that a job that kills the process is
 * found out.  covered says that an answer asked for since is stored; one from
 * the future comes from another clock and says nothing.  What
 * another process is asking for waits for its answer, if there may be another.
 */
static OssPlan claim_jobs = {
	"UPDATE oss_labels.job j SET lease = $1, leased_until = $2,"
	" attempts = j.attempts + 1 "
	"WHERE j.ctid = ANY (ARRAY("
	"SELECT p.ctid FROM oss_labels.job p"
	" WHERE p.server = $3 AND p.priority = $4"
	" AND (p.due, p.job_id) > ($5, $6) AND p.due <= $7"
	" AND (p.leased_until IS NULL OR p.leased_until <= $7)"
	" AND NOT EXISTS (SELECT FROM oss_labels.halted x"
	" WHERE (x.server IS NULL OR x.server = p.server)"
	" AND (x.requester IS NULL OR"
	" oss_labels.role_of(x.origin, x.requester, x.requester_name)"
	" = oss_labels.role_of(p.origin, p.requester, p.requester_name))"
	" AND (x.bucket IS NULL OR x.bucket = p.bucket))"
	" AND (NOT $9 OR NOT EXISTS (SELECT FROM oss_labels.job o"
	" WHERE o.key = p.key AND o.bucket = p.bucket"
	" AND o.version_id IS NOT DISTINCT FROM p.version_id"
	" AND o.server = p.server AND o.lease <> $1 AND o.leased_until > $7))"
	" ORDER BY p.due, p.job_id LIMIT $8 FOR UPDATE OF p SKIP LOCKED)) "
	"RETURNING j.job_id, j.attempts, j.enqueued_at, j.due, j.thr,"
	" oss_labels.role_of(j.origin, j.requester, j.requester_name),"
	" oss_labels.table_gone(j.origin, j.source, j.source_name),"
	" j.bucket, j.key, j.version_id,"
	" EXISTS (SELECT FROM oss_labels.image i"
	" WHERE i.bucket = j.bucket AND i.key = j.key"
	" AND i.version_id IS NOT DISTINCT FROM j.version_id"
	" AND i.tagged_at BETWEEN j.enqueued_at AND clock_timestamp()"
	" AND coalesce(i.thr, " CppAsString2(OSS_LABELS_THR_DEFAULT) ")"
	" <= coalesce(j.thr, " CppAsString2(OSS_LABELS_THR_DEFAULT) "))",
	9, {INT8OID, TIMESTAMPTZOID, TEXTOID, INT4OID, TIMESTAMPTZOID, INT8OID,
	TIMESTAMPTZOID, INT4OID, BOOLOID}
};

static OssPlan delete_jobs = {
	"DELETE FROM oss_labels.job WHERE ctid = ANY (ARRAY("
	"SELECT j.ctid FROM oss_labels.job j"
	" WHERE j.job_id = ANY ($1) AND j.lease = $2"
	" FOR UPDATE SKIP LOCKED)) RETURNING job_id",
	2, {INT8ARRAYOID, INT8OID}
};

static OssPlan renew_leases = {
	"UPDATE oss_labels.job SET leased_until = $3 WHERE ctid = ANY (ARRAY("
	"SELECT j.ctid FROM oss_labels.job j"
	" WHERE j.job_id = ANY ($1) AND j.lease = $2 FOR UPDATE SKIP LOCKED))",
	3, {INT8ARRAYOID, INT8OID, TIMESTAMPTZOID}
};

static OssPlan list_leases = {
	"SELECT job_id, lease = $2 FROM oss_labels.job WHERE job_id = ANY ($1)",
	2, {INT8ARRAYOID, INT8OID}
};

static OssPlan fail_jobs = {
	"WITH f AS (SELECT j.ctid AS tid, u.* FROM"
	" unnest($2, $3, $4, $5, $6, $7, $8, $9)"
	" u(id, sqlstate, http_status, code, message, detail, hint, request_id)"
	" JOIN oss_labels.job j ON j.job_id = u.id"
	" WHERE j.lease = $1 FOR UPDATE OF j SKIP LOCKED),"
	" gone AS (DELETE FROM oss_labels.job j USING f WHERE j.ctid = f.tid"
	" RETURNING j.*, f.*) "
	"INSERT INTO oss_labels.failed_job (job_id, enqueued_at, thr, priority,"
	" attempts, http_status, requester, source, origin, requester_name,"
	" source_name, server, bucket, key, version_id, \"sqlstate\", code, message, detail, hint, request_id) "
	"SELECT job_id, enqueued_at, thr, priority, attempts, http_status,"
	" requester, source, origin, requester_name, source_name, server, bucket,"
	" key, version_id, sqlstate, code, message, detail, hint, request_id FROM gone "
	"ON CONFLICT (job_id) DO NOTHING",
	9, {INT8OID, INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

static OssPlan put_back_jobs = {
	"UPDATE oss_labels.job j SET lease = NULL, leased_until = NULL,"
	" due = b.due, attempts = j.attempts - b.refund, reason = b.reason "
	"FROM (SELECT p.ctid AS tid, u.* FROM unnest($2, $3, $4, $5)"
	" u(id, due, refund, reason) JOIN oss_labels.job p ON p.job_id = u.id"
	" WHERE p.lease = $1 FOR UPDATE OF p SKIP LOCKED) b "
	"WHERE j.ctid = b.tid",
	5, {INT8OID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID,
	TEXTARRAYOID}
};

/*
 * Free what dead processes held.  One of these jobs may have killed its
 * process: spreading them keeps it from taking the same others along each
 * time.
 */
static OssPlan release_dead = {
	"UPDATE oss_labels.job j SET lease = NULL, leased_until = NULL,"
	" due = clock_timestamp()"
	" + random() * make_interval(secs => least(2 ^ (attempts - 1), 60)),"
	" reason = 'the process that had it is gone' "
	"WHERE ctid = ANY (ARRAY("
	"SELECT d.ctid FROM oss_labels.job d"
	" WHERE d.lease IS NOT NULL AND oss_labels.lease_holder(d.lease) IS NULL"
	" ORDER BY d.job_id FOR UPDATE OF d SKIP LOCKED))",
	0, {0}
};

/*
 * Mend what a clock that was ahead has left, before a failover or in a dump:
 * nobody puts a job off for a day.  Reads what is not yet due of each lane.
 */
static OssPlan mend_times = {
	"WITH RECURSIVE lane AS ("
	"(SELECT server, priority FROM oss_labels.job"
	" ORDER BY server, priority, due, job_id LIMIT 1)"
	" UNION ALL "
	"SELECT n.* FROM lane l, LATERAL ("
	"SELECT j.server, j.priority FROM oss_labels.job j"
	" WHERE (j.server, j.priority) > (l.server, l.priority)"
	" ORDER BY j.server, j.priority, j.due, j.job_id LIMIT 1) n) "
	"UPDATE oss_labels.job SET due = clock_timestamp(),"
	" enqueued_at = least(enqueued_at, clock_timestamp()) "
	"WHERE ctid = ANY (ARRAY("
	"SELECT f.ctid FROM lane l, LATERAL ("
	"SELECT j.ctid FROM oss_labels.job j"
	" WHERE j.server = l.server AND j.priority = l.priority AND j.due > $1"
	" AND (j.enqueued_at > $1 OR j.due > $2) FOR UPDATE SKIP LOCKED) f))",
	2, {TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/*
 * Free what process_queue() held when it was cancelled and could not give it
 * back: in this session, or in one that is idle now.  Which of the requests were
 * sent is not known: all attempts count.
 */
static OssPlan release_cancelled = {
	"UPDATE oss_labels.job j SET lease = NULL, leased_until = NULL,"
	" due = clock_timestamp() "
	"WHERE ctid = ANY (ARRAY("
	"SELECT d.ctid FROM oss_labels.job d WHERE d.lease IS NOT NULL"
	" AND (d.lease = $1 OR oss_labels.lease_holder(d.lease) = 'idle')"
	" ORDER BY d.job_id FOR UPDATE OF d SKIP LOCKED))",
	1, {INT8OID}
};

static OssPlan forget_failed = {
	"DELETE FROM oss_labels.failed_job WHERE job_id IN ("
	"SELECT f.job_id FROM oss_labels.failed_job f"
	" WHERE f.failed_at < clock_timestamp() - make_interval(mins => $1)"
	" ORDER BY f.failed_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
	2, {INT4OID, INT4OID}
};

static OssPlan list_pauses = {
	"SELECT server, role, bucket FROM (SELECT *,"
	" oss_labels.role_of(origin, requester, requester_name) AS role"
	" FROM oss_labels.halted) p WHERE requester IS NULL OR role IS NOT NULL",
	0, {0}
};

static OssPlan add_pause = {
	"INSERT INTO oss_labels.halted"
	" (server, requester, requester_name, origin, bucket, automatic,"
	" \"sqlstate\", reason, seen) "
	"VALUES ($1, $2, $6, $7, $3, true, $4, $5, oss_labels.fingerprint($1, $2)) "
	"ON CONFLICT DO NOTHING",
	7, {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID}
};

/* One that somebody is about to take away is not waited for. */
static OssPlan expire_pauses = {
	"DELETE FROM oss_labels.halted WHERE ctid = ANY (ARRAY("
	"SELECT p.ctid FROM oss_labels.halted p WHERE p.automatic AND ("
	"p.since NOT BETWEEN clock_timestamp() - make_interval(mins => $1)"
	" AND clock_timestamp() OR p.seen IS DISTINCT FROM"
	" oss_labels.fingerprint(p.server, p.requester))"
	" FOR UPDATE OF p SKIP LOCKED))",
	1, {INT4OID}
};

/* Return a column of a row of the result. */
static Datum
column(uint64 row, int i, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i,
						 isnull);
}

/* Return a text column as a string in CurrentMemoryContext, or NULL. */
static char *
string_column(uint64 row, int i)
{
	bool		isnull;
	Datum		value = column(row, i, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* List the servers and priorities that have jobs. */
List *
oss_job_lanes(void)
{
	List	   *lanes = NIL;

	oss_statement_execute(&list_lanes, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		OssLane    *lane = palloc0(sizeof(OssLane));
		bool		isnull;

		lane->server = string_column(i, 1);
		lane->priority = DatumGetInt32(column(i, 2, &isnull));
		lane->first_due = DatumGetTimestampTz(column(i, 3, &isnull));
		lane->after_due = DT_NOBEGIN;
		lanes = lappend(lanes, lane);
	}
	SPI_freetuptable(SPI_tuptable);
	return lanes;
}

/* Return a string in UTF-8. */
static char *
utf8(char *value)
{
	if (value == NULL)
		return NULL;
	return pg_server_to_any(value, strlen(value), PG_UTF8);
}

/* Make a job of a row of the claim's result. */
static OssJob *
make_job(uint64 row, TimestampTz leased_until, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "OSS labels job",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OssJob	   *job = palloc0(sizeof(OssJob));
	bool		isnull;
	Datum		thr;

	job->context = context;
	job->id = DatumGetInt64(column(row, 1, &isnull));
	job->attempts = DatumGetInt32(column(row, 2, &isnull));
	job->enqueued_at = DatumGetTimestampTz(column(row, 3, &isnull));
	job->due = DatumGetTimestampTz(column(row, 4, &isnull));
	thr = column(row, 5, &isnull);
	job->has_thr = !isnull;
	job->thr = isnull ? 0 : DatumGetFloat8(thr);
	job->requester = DatumGetObjectId(column(row, 6, &isnull));
	if (isnull)
		job->requester = InvalidOid;
	job->source_gone = DatumGetBool(column(row, 7, &isnull));
	job->bucket = string_column(row, 8);
	job->key = string_column(row, 9);
	job->version_id = string_column(row, 10);
	job->names_utf8[0] = utf8(job->bucket);
	job->names_utf8[1] = utf8(job->key);
	job->names_utf8[2] = utf8(job->version_id);
	job->covered = DatumGetBool(column(row, 11, &isnull));
	job->leased_until = leased_until;
	MemoryContextSwitchTo(old);
	return job;
}

/* Order jobs as they are due. */
static int
compare_jobs(const ListCell *a, const ListCell *b)
{
	const OssJob *x = lfirst(a);
	const OssJob *y = lfirst(b);

	if (x->due != y->due)
		return x->due < y->due ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Claim jobs of a lane. */
List *
oss_job_claim(OssLane *lane, int n, int64 token, TimestampTz leased_until,
			  bool alone, MemoryContext parent)
{
	Datum		values[] = {
		Int64GetDatum(token), TimestampTzGetDatum(leased_until),
		CStringGetTextDatum(lane->server), Int32GetDatum(lane->priority),
		TimestampTzGetDatum(lane->after_due), Int64GetDatum(lane->after_id),
		TimestampTzGetDatum(GetCurrentTimestamp()), Int32GetDatum(n),
		BoolGetDatum(!alone)
	};
	List	   *jobs = NIL;

	oss_statement_execute(&claim_jobs, values, NULL, SPI_OK_UPDATE_RETURNING);
	for (uint64 i = 0; i < SPI_processed; i++)
		jobs = lappend(jobs, make_job(i, leased_until, parent));
	SPI_freetuptable(SPI_tuptable);
	list_sort(jobs, compare_jobs);
	lane->drained = list_length(jobs) < n;
	if (jobs != NIL)
	{
		const OssJob *last = llast(jobs);

		lane->after_due = last->due;
		lane->after_id = last->id;
	}
	return jobs;
}

/* Free what a job owns. */
void
oss_job_free(OssJob *job)
{
	if (job->request)
		oss_request_free(job->request);
	if (job->target)
		oss_server_unpin(job->target);
	MemoryContextDelete(job->context);
}

/* Keep why a job failed. */
void
oss_job_set_reason(OssJob *job, const OssReason *reason)
{
	MemoryContext old = MemoryContextSwitchTo(job->context);

	job->reason = *reason;
#define KEEP(field) \
	if (reason->field) \
		job->reason.field = pstrdup(reason->field)
	KEEP(code);
	KEEP(message);
	KEEP(detail);
	KEEP(hint);
	KEEP(request_id);
#undef KEEP
	MemoryContextSwitchTo(old);
}

/* Keep a failure as the job's reason. */
void
oss_job_set_failure(OssJob *job, const OssFailure *failure)
{
	OssReason	reason = {
		.sqlerrcode = failure->sqlerrcode,
		.http_status = failure->http_status,
		.code = failure->code,
		.message = failure->message,
		.summary = failure->summary,
		.detail = failure->detail,
		.hint = failure->hint,
		.request_id = failure->request_id
	};

	oss_job_set_reason(job, &reason);
}

/* Return the numbers of jobs as an array. */
static Datum
job_ids(OssJob **jobs, int n)
{
	OssColumn	ids;

	oss_column_init(&ids, INT8OID, n);
	for (int i = 0; i < n; i++)
		oss_column_add(&ids, Int64GetDatum(jobs[i]->id), false);
	return oss_column_array(&ids);
}

/* Return the index of a job by its number. */
static int
job_index(OssJob **jobs, int n, int64 id)
{
	for (int i = 0; i < n; i++)
	{
		if (jobs[i]->id == id)
			return i;
	}
	elog(ERROR, "job " INT64_FORMAT " was not asked for", id);
}

/* Find out what became of the jobs that could not be deleted. */
static void
look_after(OssJob **jobs, int n, int64 token, bool *locked, bool *lost)
{
	Datum		values[2];
	bool	   *gone = palloc0(sizeof(bool) * n);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		gone[job_index(jobs, n, DatumGetInt64(column(i, 1, &isnull)))] = true;
	}
	SPI_freetuptable(SPI_tuptable);
	values[0] = job_ids(jobs, n);
	values[1] = Int64GetDatum(token);
	oss_statement_execute(&list_leases, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		int			index = job_index(jobs, n,
									  DatumGetInt64(column(i, 1, &isnull)));
		bool		ours = DatumGetBool(column(i, 2, &isnull)) && !isnull;

		if (gone[index])
			continue;
		locked[index] = ours;
		lost[index] = !ours;
	}
	pfree(gone);
}

/* Delete jobs. */
void
oss_job_delete(OssJob **jobs, int n, int64 token, bool *locked, bool *lost)
{
	Datum		values[2];

	memset(locked, 0, sizeof(bool) * n);
	memset(lost, 0, sizeof(bool) * n);
	if (n == 0)
		return;
	values[0] = job_ids(jobs, n);
	values[1] = Int64GetDatum(token);
	oss_statement_execute(&delete_jobs, values, NULL, SPI_OK_DELETE_RETURNING);
	if (SPI_processed != n)
		look_after(jobs, n, token, locked, lost);
	SPI_freetuptable(SPI_tuptable);
}

/* Prolong the leases of jobs. */
void
oss_job_renew(OssJob **jobs, int n, int64 token, TimestampTz leased_until)
{
	Datum		values[] = {
		job_ids(jobs, n), Int64GetDatum(token),
		TimestampTzGetDatum(leased_until)
	};

	oss_statement_execute(&renew_leases, values, NULL, SPI_OK_UPDATE);
}

/* Move jobs to failed_job. */
void
oss_job_fail(OssJob **jobs, int n, int64 token)
{
	static const Oid types[] = {INT8OID, TEXTOID, INT4OID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID};
	OssColumn	columns[lengthof(types)];
	Datum		values[lengthof(types) + 1];

	if (n == 0)
		return;
	for (int i = 0; i < lengthof(types); i++)
		oss_column_init(&columns[i], types[i], n);
	for (int i = 0; i < n; i++)
	{
		const OssReason *reason = &jobs[i]->reason;

		oss_column_add(&columns[0], Int64GetDatum(jobs[i]->id), false);
		oss_column_add_string(&columns[1],
							  unpack_sql_state(reason->sqlerrcode));
		oss_column_add(&columns[2], Int32GetDatum(reason->http_status),
					   reason->http_status == 0);
		oss_column_add_string(&columns[3], reason->code);
		oss_column_add_string(&columns[4], reason->message);
		oss_column_add_string(&columns[5], reason->detail);
		oss_column_add_string(&columns[6], reason->hint);
		oss_column_add_string(&columns[7], reason->request_id);
	}
	values[0] = Int64GetDatum(token);
	for (int i = 0; i < lengthof(types); i++)
		values[i + 1] = oss_column_array(&columns[i]);
	oss_statement_execute(&fail_jobs, values, NULL, SPI_OK_INSERT);
}

/* Put jobs back. */
void
oss_job_put_back(OssJob **jobs, int n, int64 token)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT4OID, TEXTOID};
	OssColumn	columns[lengthof(types)];
	Datum		values[lengthof(types) + 1];

	if (n == 0)
		return;
	for (int i = 0; i < lengthof(types); i++)
		oss_column_init(&columns[i], types[i], n);
	for (int i = 0; i < n; i++)
	{
		oss_column_add(&columns[0], Int64GetDatum(jobs[i]->id), false);
		oss_column_add(&columns[1], TimestampTzGetDatum(jobs[i]->due), false);
		oss_column_add(&columns[2], Int32GetDatum(jobs[i]->refund ? 1 : 0),
					   false);
		oss_column_add_string(&columns[3], jobs[i]->reason.message);
	}
	values[0] = Int64GetDatum(token);
	for (int i = 0; i < lengthof(types); i++)
		values[i + 1] = oss_column_array(&columns[i]);
	oss_statement_execute(&put_back_jobs, values, NULL, SPI_OK_UPDATE);
}

/* Free the leases of processes that are gone or hold nothing. */
uint64
oss_job_release_dead(int64 token)
{
	Datum		value = Int64GetDatum(token);
	uint64		n;

	oss_statement_execute(&release_cancelled, &value, NULL, SPI_OK_UPDATE);
	n = SPI_processed;
	oss_statement_execute(&release_dead, NULL, NULL, SPI_OK_UPDATE);
	return n + SPI_processed;
}

/* Let jobs go that are due in a future that a wrong clock has made. */
uint64
oss_job_mend_times(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[] = {
		TimestampTzGetDatum(now + USECS_PER_MINUTE),
		TimestampTzGetDatum(now + USECS_PER_DAY)
	};

	oss_statement_execute(&mend_times, values, NULL, SPI_OK_UPDATE);
	return SPI_processed;
}

/* Forget old failed jobs. */
uint64
oss_job_forget_failed(int minutes, int n)
{
	Datum		values[] = {Int32GetDatum(minutes), Int32GetDatum(n)};

	oss_statement_execute(&forget_failed, values, NULL, SPI_OK_DELETE);
	return SPI_processed;
}

/* List the pauses. */
List *
oss_pause_list(void)
{
	List	   *pauses = NIL;

	oss_statement_execute(&list_pauses, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		OssPause   *pause = palloc0(sizeof(OssPause));
		bool		isnull;

		pause->server = string_column(i, 1);
		pause->requester = DatumGetObjectId(column(i, 2, &isnull));
		if (isnull)
			pause->requester = InvalidOid;
		pause->bucket = string_column(i, 3);
		pauses = lappend(pauses, pause);
	}
	SPI_freetuptable(SPI_tuptable);
	return pauses;
}

/* Note a pause. */
bool
oss_pause_add(const OssPause *pause)
{
	bool		one = OidIsValid(pause->requester);
	Datum		values[7];
	char		nulls[7];

	oss_arg(values, nulls, 0, pause->server ?
			CStringGetTextDatum(pause->server) : (Datum) 0, !pause->server);
	oss_arg(values, nulls, 1, ObjectIdGetDatum(pause->requester), !one);
	oss_arg(values, nulls, 2, pause->bucket ?
			CStringGetTextDatum(pause->bucket) : (Datum) 0, !pause->bucket);
	oss_arg(values, nulls, 3,
			CStringGetTextDatum(unpack_sql_state(pause->sqlerrcode)), false);
	oss_arg(values, nulls, 4, CStringGetTextDatum(pause->reason), false);
	oss_arg(values, nulls, 5, one ?
			CStringGetTextDatum(oss_role_name(pause->requester)) : (Datum) 0, !one);
	oss_arg(values, nulls, 6, Int64GetDatum(oss_origin()), false);
	oss_statement_execute(&add_pause, values, nulls, SPI_OK_INSERT);
	return SPI_processed > 0;
}

/* Delete automatic pauses that have had their time. */
uint64
oss_pause_expire(int minutes)
{
	Datum		value = Int32GetDatum(minutes);

	oss_statement_execute(&expire_pauses, &value, NULL, SPI_OK_DELETE);
	return SPI_processed;
}
