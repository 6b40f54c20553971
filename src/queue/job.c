/*-------------------------------------------------------------------------
 * job.c
 *	  The statements that claim and settle jobs.
 *
 * Processing the queue must not wait for other transactions: locked rows are
 * skipped, here and in the triggers that cancel jobs.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "queue/identity.h"
#include "queue/job.h"
#include "spi/column_array.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * Jobs of a lane that are brought forward at once, when the clock was set back:
 * a second call would bring the same ones forward again.
 */
#define MOST_BROUGHT_FORWARD 100000

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

static OssPlan note_jobs = {
	"UPDATE oss_labels.job SET reason = $3 WHERE ctid = ANY (ARRAY("
	"SELECT j.ctid FROM oss_labels.job j"
	" WHERE j.job_id = ANY ($1) AND j.lease = $2 FOR UPDATE SKIP LOCKED))",
	3, {INT8ARRAYOID, INT8OID, TEXTOID}
};

static OssPlan list_ours = {
	"SELECT job_id FROM oss_labels.job"
	" WHERE job_id = ANY ($1) AND lease = $2",
	2, {INT8ARRAYOID, INT8OID}
};

/*
 * One row of failed_job remains of an image, a role and a server, with the
 * attempts of all.  Followers have failed by their leader's attempt.
 */
static OssPlan fail_jobs = {
	"WITH f AS (SELECT j.ctid AS tid, u.* FROM"
	" unnest($2, $3, $4, $5, $6, $7, $8, $9, $10)"
	" u(id, sqlstate, http_status, code, message, detail, hint, request_id, permanent)"
	" JOIN oss_labels.job j ON j.job_id = u.id"
	" WHERE j.lease = $1 FOR UPDATE OF j SKIP LOCKED),"
	" gone AS (DELETE FROM oss_labels.job j USING f WHERE j.ctid = f.tid"
	" RETURNING j.*, f.*),"
	" last AS (SELECT DISTINCT ON (key, bucket, version_id, requester, origin,"
	" server_id, server) * FROM gone ORDER BY key, bucket, version_id, requester,"
	" origin, server_id, server, attempts DESC, job_id DESC),"
	" earlier AS (DELETE FROM oss_labels.failed_job WHERE ctid = ANY (ARRAY("
	"SELECT e.ctid FROM last JOIN oss_labels.failed_job e ON "
	OSS_SAME_FAILURE("e", "last") " FOR UPDATE OF e SKIP LOCKED)) RETURNING *),"
	" failed AS (INSERT INTO oss_labels.failed_job (job_id, enqueued_at, thr,"
	" priority, attempts, http_status, requester, source, origin,"
	" requester_name, source_name, server, server_id, bucket, key, version_id, etag,"
	" \"sqlstate\", code, message, detail, hint, request_id, fresh_since, permanent, sync_id, seen) "
	"SELECT job_id, enqueued_at, thr, priority, attempts + coalesce((SELECT"
	" sum(e.attempts) FROM earlier e WHERE " OSS_SAME_FAILURE("e", "last") "), 0),"
	" http_status, requester, source, origin, requester_name, source_name, server,"
	" server_id, bucket, key, version_id, etag, sqlstate, code, message, detail, hint,"
	" request_id, fresh_since, permanent, sync_id, CASE WHEN permanent THEN"
	" oss_labels.fingerprint(oss_labels.server_of(origin, server_id, server),"
	" requester) END FROM last "
	"ON CONFLICT (job_id) DO NOTHING) "
	"SELECT job_id FROM gone",
	10, {INT8OID, INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID}
};

static OssPlan forgive_jobs = {
	"DELETE FROM oss_labels.failed_job WHERE ctid = ANY (ARRAY("
	"SELECT f.ctid FROM oss_labels.job j JOIN oss_labels.failed_job f ON "
	OSS_SAME_FAILURE("f", "j")
	" WHERE j.job_id = ANY ($1) AND j.lease = $2 FOR UPDATE OF f SKIP LOCKED))",
	2, {INT8ARRAYOID, INT8OID}
};

static OssPlan put_back_jobs = {
	"UPDATE oss_labels.job j SET lease = NULL, leased_until = NULL,"
	" due = b.due, attempts = j.attempts - b.refund,"
	" throttles = b.throttles, reason = coalesce(b.reason, j.reason),"
	" answer = b.answer, asked_at = b.asked_at, asked_id = b.asked_id,"
	" etag = coalesce(b.etag, j.etag),"
	" thr = CASE WHEN b.answer IS NULL THEN j.thr ELSE b.thr END "
	"FROM (SELECT p.ctid AS tid, u.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	" u(id, due, refund, throttles, reason, answer, asked_at, asked_id, etag, thr)"
	" JOIN oss_labels.job p ON p.job_id = u.id"
	" WHERE p.lease = $1 FOR UPDATE OF p SKIP LOCKED) b "
	"WHERE j.ctid = b.tid RETURNING j.job_id",
	11, {INT8OID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID,
		INT4ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, FLOAT8ARRAYOID}
};

/*
 * Free leases of dead processes.  One of these jobs may have killed its
 * process: random delays keep it from being claimed together with the same
 * other jobs each time.
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
 * Correct times left by a clock that was ahead, before a failover or in a
 * dump; no job is deferred for a day.  Reads $4 jobs of each lane, those that are
 * due last.  They become due now, or $3 seconds earlier.
 */
static OssPlan mend_times = {
	"WITH RECURSIVE lane AS ("
	"(SELECT server, server_id, bucket, requester, origin, ~priority AS rank"
	" FROM oss_labels.job"
	" ORDER BY server, server_id, bucket, requester, origin, (~priority), due,"
	" job_id LIMIT 1)"
	" UNION ALL "
	"SELECT n.* FROM lane l, LATERAL ("
	"SELECT j.server, j.server_id, j.bucket, j.requester, j.origin, ~j.priority"
	" FROM oss_labels.job j"
	" WHERE (j.server, j.server_id, j.bucket, j.requester, j.origin, (~j.priority))"
	" > (l.server, l.server_id, l.bucket, l.requester, l.origin, l.rank)"
	" ORDER BY j.server, j.server_id, j.bucket, j.requester, j.origin, (~j.priority),"
	" j.due, j.job_id LIMIT 1) n) "
	"UPDATE oss_labels.job SET"
	" due = CASE WHEN $3 IS NULL THEN clock_timestamp()"
	" ELSE greatest(due - make_interval(secs => $3), clock_timestamp()) END,"
	" enqueued_at = least(enqueued_at, clock_timestamp()),"
	" fresh_since = CASE WHEN fresh_since > clock_timestamp() THEN clock_timestamp()"
	" ELSE fresh_since END "
	"WHERE ctid = ANY (ARRAY("
	"SELECT f.ctid FROM oss_labels.job f WHERE f.ctid = ANY (ARRAY("
	"SELECT d.ctid FROM (SELECT * FROM lane LIMIT 1000) l, LATERAL ("
	"SELECT j.ctid, j.enqueued_at, j.due FROM oss_labels.job j"
	" WHERE j.server = l.server AND j.server_id = l.server_id"
	" AND j.bucket = l.bucket"
	" AND j.requester = l.requester AND j.origin = l.origin"
	" AND (~j.priority) = l.rank AND j.due > $1"
	" ORDER BY j.due DESC, j.job_id DESC LIMIT $4) d"
	" WHERE d.enqueued_at > $1 OR d.due > $2)) FOR UPDATE SKIP LOCKED))",
	4, {TIMESTAMPTZOID, TIMESTAMPTZOID, FLOAT8OID, INT8OID}
};

/* Jobs that rest after a throttle. */
static OssPlan end_rests = {
	"UPDATE oss_labels.job SET due = clock_timestamp() WHERE ctid = ANY (ARRAY("
	"SELECT j.ctid FROM oss_labels.job j WHERE j.lease IS NULL"
	" AND j.throttles > 0 AND j.due > clock_timestamp() AND ($1 IS NULL"
	" OR oss_labels.server_of(j.origin, j.server_id, j.server) = $1)"
	" FOR UPDATE SKIP LOCKED))",
	1, {TEXTOID}
};

/*
 * Free leases of a cancelled process_queue() that could not put its jobs
 * back, in this session or in an idle one.  It is not known which requests
 * were sent, so all attempts count.
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
	"SELECT oss_labels.server_of(origin, server_id, server), role, bucket,"
	" directory"
	" FROM (SELECT *,"
	" oss_labels.role_of(origin, requester, requester_name) AS role"
	" FROM oss_labels.active_pause) p WHERE requester IS NULL OR role IS NOT NULL",
	0, {0}
};

static OssPlan add_pause = {
	"INSERT INTO oss_labels.active_pause"
	" (server, requester, requester_name, origin, bucket, automatic,"
	" \"sqlstate\", reason, seen, server_id, lasts, directory, storing, budget_id) "
	"VALUES ($1, $2, $6, $7, $3, true, $4, $5, oss_labels.fingerprint($1, $2), $8,"
	" make_interval(secs => $9), $10, $11, $12) "
	"ON CONFLICT DO NOTHING",
	12, {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, OIDOID, INT4OID,
	TEXTOID, BOOLOID, INT8OID}
};

/* Skips locked rows. */
static OssPlan expire_pauses = {
	"DELETE FROM oss_labels.active_pause WHERE ctid = ANY (ARRAY("
	"SELECT p.ctid FROM oss_labels.active_pause p WHERE p.automatic AND NOT p.storing AND ("
	"p.since NOT BETWEEN clock_timestamp() - p.lasts"
	" AND clock_timestamp() OR NOT oss_labels.budget_used_up(p.budget_id)"
	" OR p.budget_id IS NULL AND p.seen IS DISTINCT FROM"
	" oss_labels.fingerprint(oss_labels.server_of(p.origin, p.server_id, p.server),"
	" p.requester))"
	" FOR UPDATE OF p SKIP LOCKED))",
	0, {0}
};

static OssPlan prolong_pauses = {
	"UPDATE oss_labels.active_pause SET lasts = clock_timestamp() - since + next"
	" FROM (SELECT p.ctid AS tid, make_interval(secs => $1) AS next"
	" FROM oss_labels.active_pause p WHERE p.storing"
	" AND p.since NOT BETWEEN clock_timestamp() - p.lasts AND clock_timestamp()"
	" FOR UPDATE OF p SKIP LOCKED) p WHERE ctid = tid RETURNING bucket",
	1, {INT4OID}
};

static OssPlan end_pauses = {
	"DELETE FROM oss_labels.active_pause WHERE ctid = ANY (ARRAY("
	"SELECT p.ctid FROM oss_labels.active_pause p"
	" WHERE p.storing AND p.bucket IS NOT DISTINCT FROM $1 FOR UPDATE SKIP LOCKED))",
	1, {TEXTOID}
};

int
oss_place_compare(const OssPlace *a, const OssPlace *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->due != b->due)
		return a->due < b->due ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

void
oss_job_free(OssJob *job)
{
	if (job->request)
		oss_request_free(job->request);
	if (job->target)
		oss_server_unpin(job->target);
	MemoryContextDelete(job->context);
}

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
		.request_id = failure->request_id,
		.permanent = failure->retry == OSS_RETRY_NEVER
	};

	oss_job_set_reason(job, &reason);
}

static Datum
job_ids(OssJob **jobs, int n)
{
	OssColumn	ids;

	oss_column_init(&ids, INT8OID, n);
	for (int i = 0; i < n; i++)
		oss_column_add(&ids, Int64GetDatum(jobs[i]->place.id), false);
	return oss_column_array(&ids);
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = (*(OssJob *const *) a)->place.id;
	int64		y = (*(OssJob *const *) b)->place.id;

	return x < y ? -1 : x > y;
}

/* Find a job by number in a sorted array. */
static OssJob *
find_job(OssJob **jobs, int n, int64 id)
{
	OssJob		key = {.place.id = id};
	OssJob	   *wanted = &key;
	OssJob	  **found = bsearch(&wanted, jobs, n, sizeof(OssJob *), compare_ids);

	if (found == NULL)
		elog(ERROR, "job " INT64_FORMAT " was not asked for", id);
	return *found;
}

/* Return the jobs whose numbers are in the first column of the result. */
static List *
take_ids(OssJob **jobs, int n)
{
	List	   *found = NIL;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		found = lappend(found, find_job(jobs, n, DatumGetInt64(oss_result_column(i, 1, NULL))));
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

List *
oss_job_still_ours(OssJob **jobs, int n, int64 token)
{
	Datum		values[2];

	qsort(jobs, n, sizeof(OssJob *), compare_ids);
	values[0] = job_ids(jobs, n);
	values[1] = Int64GetDatum(token);
	oss_statement_execute(&list_ours, values, NULL, SPI_OK_SELECT);
	return take_ids(jobs, n);
}

/*
 * Set row_locked of the jobs that a statement skipped because they are
 * locked; its result has the others.  The jobs must be sorted.
 */
static void
find_locked(OssJob **jobs, int n, int64 token)
{
	bool		all = SPI_processed == n;
	List	   *done;
	ListCell   *cell;

	for (int i = 0; i < n; i++)
		jobs[i]->row_locked = false;
	if (all)
	{
		SPI_freetuptable(SPI_tuptable);
		return;
	}
	done = take_ids(jobs, n);
	foreach(cell, oss_job_still_ours(jobs, n, token))
		((OssJob *) lfirst(cell))->row_locked = true;
	foreach(cell, done)
		((OssJob *) lfirst(cell))->row_locked = false;
}

/* Delete the failures of images whose jobs are answered: not those of DONE. */
static void
forgive_answered(OssJob **jobs, int n, int64 token)
{
	OssJob	  **answered = palloc(sizeof(OssJob *) * n);
	Datum		values[2];
	int			nanswered = 0;

	for (int i = 0; i < n; i++)
	{
		if (jobs[i]->has_failed && jobs[i]->verdict != OSS_VERDICT_DONE)
			answered[nanswered++] = jobs[i];
	}
	if (nanswered == 0)
		return;
	values[0] = job_ids(answered, nanswered);
	values[1] = Int64GetDatum(token);
	oss_statement_execute(&forgive_jobs, values, NULL, SPI_OK_DELETE);
}

void
oss_job_delete(OssJob **jobs, int n, int64 token)
{
	Datum		values[2];

	if (n == 0)
		return;
	forgive_answered(jobs, n, token);
	qsort(jobs, n, sizeof(OssJob *), compare_ids);
	values[0] = job_ids(jobs, n);
	values[1] = Int64GetDatum(token);
	oss_statement_execute(&delete_jobs, values, NULL, SPI_OK_DELETE_RETURNING);
	find_locked(jobs, n, token);
}

void
oss_job_note(OssJob **jobs, int n, int64 token, const char *reason)
{
	Datum		values[] = {
		job_ids(jobs, n), Int64GetDatum(token), CStringGetTextDatum(reason)
	};

	oss_statement_execute(&note_jobs, values, NULL, SPI_OK_UPDATE);
}

void
oss_job_renew(OssJob **jobs, int n, int64 token, TimestampTz leased_until)
{
	Datum		values[] = {
		job_ids(jobs, n), Int64GetDatum(token),
		TimestampTzGetDatum(leased_until)
	};

	oss_statement_execute(&renew_leases, values, NULL, SPI_OK_UPDATE);
}

#define JOB_COLUMNS 10

/* Sort jobs, and begin the columns of a statement that settles them. */
static void
begin_job_columns(OssColumn *columns, const Oid *types, int ncolumns, OssJob **jobs, int n)
{
	Assert(ncolumns <= JOB_COLUMNS);
	qsort(jobs, n, sizeof(OssJob *), compare_ids);
	for (int i = 0; i < ncolumns; i++)
		oss_column_init(&columns[i], types[i], n);
}

/* Execute a statement whose parameters are a token and columns. */
static void
execute_columns(OssPlan *plan, int expect, const OssColumn *columns, int ncolumns,
				OssJob **jobs, int n, int64 token)
{
	Datum		values[JOB_COLUMNS + 1] = {Int64GetDatum(token)};

	for (int i = 0; i < ncolumns; i++)
		values[i + 1] = oss_column_array(&columns[i]);
	oss_statement_execute(plan, values, NULL, expect);
	find_locked(jobs, n, token);
}

void
oss_job_fail(OssJob **jobs, int n, int64 token)
{
	static const Oid types[] = {INT8OID, TEXTOID, INT4OID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	OssColumn	columns[JOB_COLUMNS];

	if (n == 0)
		return;
	begin_job_columns(columns, types, lengthof(types), jobs, n);
	for (int i = 0; i < n; i++)
	{
		const OssReason *reason = &jobs[i]->reason;

		oss_column_add(&columns[0], Int64GetDatum(jobs[i]->place.id), false);
		oss_column_add_string(&columns[1],
							  unpack_sql_state(reason->sqlerrcode));
		oss_column_add(&columns[2], Int32GetDatum(reason->http_status),
					   reason->http_status == 0);
		oss_column_add_string(&columns[3], reason->code);
		oss_column_add_string(&columns[4], reason->message);
		oss_column_add_string(&columns[5], reason->detail);
		oss_column_add_string(&columns[6], reason->hint);
		oss_column_add_string(&columns[7], reason->request_id);
		oss_column_add(&columns[8], BoolGetDatum(reason->permanent), false);
	}
	execute_columns(&fail_jobs, SPI_OK_SELECT, columns, lengthof(types), jobs, n, token);
}

void
oss_job_put_back(OssJob **jobs, int n, int64 token)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID,
	TEXTOID, JSONBOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, FLOAT8OID};
	OssColumn	columns[JOB_COLUMNS];

	if (n == 0)
		return;
	begin_job_columns(columns, types, lengthof(types), jobs, n);
	for (int i = 0; i < n; i++)
	{
		oss_column_add(&columns[0], Int64GetDatum(jobs[i]->place.id), false);
		oss_column_add(&columns[1], TimestampTzGetDatum(jobs[i]->due), false);
		oss_column_add(&columns[2], Int32GetDatum(jobs[i]->refund ? 1 : 0),
					   false);
		oss_column_add(&columns[3], Int32GetDatum(jobs[i]->throttles), false);
		oss_column_add_string(&columns[4], jobs[i]->reason.message);
		oss_column_add(&columns[5], PointerGetDatum(jobs[i]->answer),
					   jobs[i]->answer == NULL);
		oss_column_add(&columns[6], TimestampTzGetDatum(jobs[i]->started_at),
					   jobs[i]->answer == NULL);
		oss_column_add_string(&columns[7], jobs[i]->asked_id);
		oss_column_add_string(&columns[8], jobs[i]->image.etag);

		/* the answer's */
		oss_column_add(&columns[9], Float8GetDatum(jobs[i]->image.thr),
					   !jobs[i]->image.has_thr);
	}
	execute_columns(&put_back_jobs, SPI_OK_UPDATE_RETURNING, columns, lengthof(types), jobs, n, token);
}

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

uint64
oss_job_mend_times(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[] = {
		TimestampTzGetDatum(now + USECS_PER_MINUTE),
		TimestampTzGetDatum(now + USECS_PER_DAY), (Datum) 0,
		Int64GetDatum(OSS_MOST_MENDED)
	};

	return oss_statement_execute(&mend_times, values, "  n ", SPI_OK_UPDATE);
}

/* Let all that is put off be due earlier, as the clock was set back. */
void
oss_job_bring_forward(int64 us)
{
	Datum		now = TimestampTzGetDatum(GetCurrentTimestamp());
	Datum		values[] = {now, now, Float8GetDatum(us / 1e6),
	Int64GetDatum(MOST_BROUGHT_FORWARD)};

	(void) oss_statement_execute(&mend_times, values, NULL, SPI_OK_UPDATE);
}

uint64
oss_job_end_rests(const char *server)
{
	Datum		value = server ? CStringGetTextDatum(server) : (Datum) 0;
	char		null = server ? ' ' : 'n';

	return oss_statement_execute(&end_rests, &value, &null, SPI_OK_UPDATE);
}

uint64
oss_job_forget_failed(int minutes, int n)
{
	Datum		values[] = {Int32GetDatum(minutes), Int32GetDatum(n)};

	return oss_statement_execute(&forget_failed, values, NULL, SPI_OK_DELETE);
}

bool
oss_in_directory(const char *key, const char *directory)
{
	if (strcmp(directory, "/") == 0)
		return strchr(key, '/') == NULL;
	return strncmp(key, directory, strlen(directory)) == 0;
}

List *
oss_pause_list(void)
{
	List	   *pauses = NIL;

	oss_statement_execute(&list_pauses, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		OssPause   *pause = palloc0(sizeof(OssPause));

		pause->server = oss_result_string(i, 1);
		pause->requester = DatumGetObjectId(oss_result_column(i, 2, NULL));
		pause->bucket = oss_result_string(i, 3);
		pause->directory = oss_result_string(i, 4);
		pauses = lappend(pauses, pause);
	}
	SPI_freetuptable(SPI_tuptable);
	return pauses;
}

bool
oss_pause_concerns(const OssPause *pause, const char *server,
				   const char *bucket, Oid role)
{
	return (pause->server == NULL || strcmp(pause->server, server) == 0) &&
		(!OidIsValid(pause->requester) || pause->requester == role) &&
		(pause->bucket == NULL || strcmp(pause->bucket, bucket) == 0);
}

bool
oss_pause_add(const OssPause *pause)
{
	bool		one = OidIsValid(pause->requester);
	Datum		values[12];
	char		nulls[12];

	oss_arg_string(values, nulls, 0, pause->server);
	oss_arg(values, nulls, 1, ObjectIdGetDatum(pause->requester), !one);
	oss_arg_string(values, nulls, 2, pause->bucket);
	oss_arg_string(values, nulls, 3, unpack_sql_state(pause->sqlerrcode));
	oss_arg_string(values, nulls, 4, pause->reason);
	oss_arg_string(values, nulls, 5, one ? oss_role_name(pause->requester) : NULL);
	oss_arg(values, nulls, 6, Int64GetDatum(oss_origin()), false);
	oss_arg(values, nulls, 7, ObjectIdGetDatum(pause->server ?
											   get_foreign_server_oid(pause->server, true) : InvalidOid),
			false);
	oss_arg(values, nulls, 8, Int32GetDatum(pause->seconds), false);
	oss_arg_string(values, nulls, 9, pause->directory);
	oss_arg(values, nulls, 10, BoolGetDatum(pause->storing), false);
	oss_arg(values, nulls, 11, Int64GetDatum(pause->budget), pause->budget == 0);
	return oss_statement_execute(&add_pause, values, nulls, SPI_OK_INSERT) > 0;
}

uint64
oss_pause_expire(void)
{
	return oss_statement_execute(&expire_pauses, NULL, NULL, SPI_OK_DELETE);
}

List *
oss_pause_prolong(void)
{
	Datum		value = Int32GetDatum(OSS_STORING_PAUSE_SECONDS);
	List	   *buckets = NIL;

	oss_statement_execute(&prolong_pauses, &value, NULL, SPI_OK_UPDATE_RETURNING);
	for (uint64 i = 0; i < SPI_processed; i++)
		buckets = lappend(buckets, oss_result_string(i, 1));
	SPI_freetuptable(SPI_tuptable);
	return buckets;
}

void
oss_pause_end(const char *bucket)
{
	Datum		value = bucket ? CStringGetTextDatum(bucket) : (Datum) 0;
	char		null = bucket ? ' ' : 'n';

	(void) oss_statement_execute(&end_pauses, &value, &null, SPI_OK_DELETE);
}
