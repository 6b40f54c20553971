/*-------------------------------------------------------------------------
 * job_claim.c
 *	  The statements that find and claim jobs.
 *
 * A claim reads a bounded number of jobs in the order of the index and then
 * takes the free ones, so its cost does not depend on how many jobs are
 * deferred, leased or locked.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "client/utf8.h"
#include "queue/identity.h"
#include "queue/job.h"
#include "spi/column_array.h"
#include "spi/statement.h"
#include "storage/bufmgr.h"
#include "store/coverage.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define LANE(a) a "server, " a "server_id, " a "bucket, " a "requester, " a "origin"
#define LANE_ORDER(a) LANE(a) ", (~" a "priority), " a "due, " a "job_id"

/* Skip scan: the first entry of each lane in the claim index. */
static OssPlan list_lanes = {
	"WITH RECURSIVE lane AS ("
	"(SELECT " LANE("j.") ", j.requester_name,"
	" ~j.priority AS rank FROM oss_labels.job j"
	" WHERE (" LANE("j.") ") > ($1, $2, $3, $4, $5)"
	" ORDER BY " LANE_ORDER("j.") " LIMIT 1)"
	" UNION ALL "
	"SELECT n.* FROM lane l, LATERAL ("
	"SELECT " LANE("j.") ", j.requester_name,"
	" ~j.priority FROM oss_labels.job j"
	" WHERE (" LANE("j.") ") > (" LANE("l.") ")"
	" ORDER BY " LANE_ORDER("j.") " LIMIT 1) n) "
	"SELECT " LANE("") ", rank,"
	" oss_labels.role_of(origin, requester, requester_name) FROM lane LIMIT $6",
	6, {TEXTOID, OIDOID, TEXTOID, OIDOID, INT8OID, INT4OID}
};

/* The lanes of the newest jobs, with the lowest rank of these jobs. */
static OssPlan list_new_lanes = {
	"SELECT " LANE("") ", min(~priority), oss_labels.role_of(origin, requester,"
	" max(requester_name)), max(job_id) FROM"
	" (SELECT * FROM oss_labels.job WHERE job_id > $1 ORDER BY job_id DESC LIMIT $2) j"
	" GROUP BY " LANE(""),
	2, {INT8OID, INT4OID}
};

/*
 * Read jobs.  If there may be other processes ($10), a job whose object
 * another process is requesting is not free: it will be served by that
 * answer.
 */
static OssPlan look_at_jobs = {
	"SELECT p.ctid, ~p.priority, p.due, p.job_id,"
	" (p.leased_until IS NULL OR p.leased_until <= $8)"
	" AND (NOT $10 OR NOT EXISTS (SELECT FROM oss_labels.job o"
	" WHERE o.key = p.key AND o.bucket = p.bucket"
	" AND o.version_id IS NOT DISTINCT FROM p.version_id"
	" AND (o.server = p.server OR"
	" (o.server_id = p.server_id AND o.origin = p.origin AND p.server_id <> 0))"
	" AND o.lease <> $12 AND o.leased_until > $8)),"
	" CASE WHEN $11 THEN p.key END, CASE WHEN $11 THEN p.version_id END "
	"FROM oss_labels.job p"
	" WHERE p.server = $1 AND p.bucket = $2 AND p.requester = $3"
	" AND p.origin = $13 AND p.server_id = $14"
	" AND ((~p.priority), p.due, p.job_id) > ($4, $5, $6)"
	" AND (~p.priority) <= $7"
	" ORDER BY (~p.priority), p.due, p.job_id LIMIT $9",
	14, {TEXTOID, TEXTOID, OIDOID, INT4OID, TIMESTAMPTZOID, INT8OID, INT4OID,
	TIMESTAMPTZOID, INT4OID, BOOLOID, BOOLOID, INT8OID, INT8OID, OIDOID}
};

/* The row of image of a job j. */
#define ITS_IMAGE(i) \
	i ".image_id = oss_labels.image_id(j.bucket, j.key, j.version_id)" \
	" AND " i ".bucket = j.bucket AND " i ".key = j.key"

/*
 * Does an earlier failure of the job's image show that a request would fail again?
 * Not if the job asks for a younger answer, or its row in a watched table was
 * written since: the writer may have uploaded the object.  Not if the job is for
 * another content, by its ETag.  Not if the object was tagged, or the server or
 * mapping changed, since the failure.  Null: there is no failure.
 */
#define ITS_FAILURE \
	"(SELECT bool_or(coalesce(f.permanent AND " \
	OSS_SQL_FRESH("f.failed_at", "CASE WHEN j.source IS NULL THEN j.fresh_since" \
				  " ELSE j.enqueued_at END") \
	" AND NOT EXISTS (SELECT FROM oss_labels.image i WHERE " ITS_IMAGE("i") \
	" AND i.tagged_at > f.failed_at)" \
	" AND (j.etag IS NULL OR f.etag = j.etag)" \
	" AND f.seen = oss_labels.fingerprint(oss_labels.server_of(j.origin," \
	" j.server_id, j.server), j.requester), false))" \
	" FROM oss_labels.failed_job f WHERE " OSS_SAME_FAILURE("f", "j") ")"

/*
 * Claim jobs.  A claim counts the attempt, so that a job that kills the
 * process is recognized.  The transaction's snapshot is older than the reading of
 * jobs, so that no row that was seen can be replaced at its TID before the
 * transaction ends.  $5: there may be failures.
 */
static OssPlan claim_jobs = {
	"UPDATE oss_labels.job j SET lease = $1, leased_until = $2,"
	" attempts = j.attempts + 1 "
	"WHERE j.ctid = ANY (ARRAY("
	"SELECT p.ctid FROM oss_labels.job p WHERE p.ctid = ANY ($3)"
	" AND (p.leased_until IS NULL OR p.leased_until <= $4)"
	" FOR UPDATE OF p SKIP LOCKED)) "
	"RETURNING j.job_id, j.attempts, j.enqueued_at, j.due, j.thr,"
	" oss_labels.role_of(j.origin, j.requester, j.requester_name),"
	" oss_labels.table_gone(j.origin, j.source, j.source_name),"
	" j.key, j.version_id, ~j.priority, j.throttles,"
	" (SELECT CASE WHEN " OSS_SQL_FRESH("i.tagged_at", "j.fresh_since")
	" AND " OSS_SQL_HOLDS("i.thr", "j.thr")
	" AND (j.etag IS NULL OR i.etag = j.etag"
	" OR i.tagged_at BETWEEN j.enqueued_at AND clock_timestamp()) THEN -1 ELSE " OSS_SQL_THR("i.thr")
	" END FROM oss_labels.image i WHERE " ITS_IMAGE("i") "),"
	" j.answer, j.asked_at, j.asked_id, j.fresh_since,"
	" CASE WHEN $5 THEN " ITS_FAILURE " END, j.etag, j.once,"
	" j.sync_id, j.object_size, j.last_modified",
	5, {INT8OID, TIMESTAMPTZOID, TIDARRAYOID, TIMESTAMPTZOID, BOOLOID}
};

/* Defer a job that cannot be claimed. */
static OssPlan put_off_job = {
	"UPDATE oss_labels.job SET attempts = attempts + 1, reason = $2,"
	" due = clock_timestamp() + make_interval(secs => least(2 ^ attempts, 60)) "
	"WHERE job_id = $1 AND attempts < $3"
	" AND (leased_until IS NULL OR leased_until <= clock_timestamp())",
	3, {INT8OID, TEXTOID, INT4OID}
};

static OssPlan take_job = {
	"UPDATE oss_labels.job SET lease = $2 WHERE job_id = $1"
	" AND (leased_until IS NULL OR leased_until <= clock_timestamp())",
	2, {INT8OID, INT8OID}
};

static List *
make_heads(void)
{
	List	   *lanes = NIL;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		OssLaneHead *lane = palloc0(sizeof(OssLaneHead));

		lane->key.server = oss_result_string(i, 1);
		lane->key.server_id = DatumGetObjectId(oss_result_column(i, 2, NULL));
		lane->key.bucket = oss_result_string(i, 3);
		lane->key.requester = DatumGetObjectId(oss_result_column(i, 4, NULL));
		lane->key.origin = DatumGetInt64(oss_result_column(i, 5, NULL));
		lane->rank = DatumGetInt32(oss_result_column(i, 6, NULL));
		lane->role = DatumGetObjectId(oss_result_column(i, 7, NULL));
		lane->server = oss_server_of(lane->key.origin, lane->key.server_id,
									 lane->key.server);
		lanes = lappend(lanes, lane);
	}
	return lanes;
}

List *
oss_job_lanes(const OssLaneKey *after, int n)
{
	Datum		values[] = {
		CStringGetTextDatum(after ? after->server : ""),
		ObjectIdGetDatum(after ? after->server_id : InvalidOid),
		CStringGetTextDatum(after ? after->bucket : ""),
		ObjectIdGetDatum(after ? after->requester : InvalidOid),
		Int64GetDatum(after ? after->origin : PG_INT64_MIN), Int32GetDatum(n)
	};
	List	   *lanes;

	oss_statement_execute(&list_lanes, values, NULL, SPI_OK_SELECT);
	lanes = make_heads();
	SPI_freetuptable(SPI_tuptable);
	return lanes;
}

List *
oss_job_new_lanes(int64 *newest, int n)
{
	Datum		values[] = {Int64GetDatum(*newest), Int32GetDatum(n)};
	List	   *lanes;

	oss_statement_execute(&list_new_lanes, values, NULL, SPI_OK_SELECT);
	lanes = make_heads();
	for (uint64 i = 0; i < SPI_processed; i++)
		*newest = Max(*newest, DatumGetInt64(oss_result_column(i, 8, NULL)));
	SPI_freetuptable(SPI_tuptable);
	return lanes;
}

OssSeen *
oss_job_look(const OssLaneKey *lane, const OssPlace *after, int32 most_rank,
			 int n, bool alone, bool with_names, int *nseen)
{
	Datum		values[] = {
		CStringGetTextDatum(lane->server), CStringGetTextDatum(lane->bucket),
		ObjectIdGetDatum(lane->requester), Int32GetDatum(after->rank),
		TimestampTzGetDatum(after->due), Int64GetDatum(after->id),
		Int32GetDatum(most_rank), TimestampTzGetDatum(GetCurrentTimestamp()),
		Int32GetDatum(n), BoolGetDatum(!alone), BoolGetDatum(with_names),
		Int64GetDatum(oss_lease_token()), Int64GetDatum(lane->origin),
		ObjectIdGetDatum(lane->server_id)
	};
	OssSeen    *seen;

	oss_statement_execute(&look_at_jobs, values, NULL, SPI_OK_SELECT);
	*nseen = (int) SPI_processed;
	seen = palloc0(sizeof(OssSeen) * Max(*nseen, 1));
	for (int i = 0; i < *nseen; i++)
	{
		seen[i].tid = *(ItemPointer) DatumGetPointer(oss_result_column(i, 1, NULL));
		seen[i].place.rank = DatumGetInt32(oss_result_column(i, 2, NULL));
		seen[i].place.due = DatumGetTimestampTz(oss_result_column(i, 3, NULL));
		seen[i].place.id = DatumGetInt64(oss_result_column(i, 4, NULL));
		seen[i].free = DatumGetBool(oss_result_column(i, 5, NULL));
		seen[i].key = oss_result_string(i, 6);
		seen[i].version_id = oss_result_string(i, 7);
	}
	SPI_freetuptable(SPI_tuptable);
	return seen;
}

/*
 * Read the column of claim_jobs about the stored answer: null without one, negative
 * if it serves the job, else its threshold.  A new answer must not hold less than
 * the stored one, so the job is asked for with at most that threshold.
 */
static void
take_stored(OssJob *job, Datum stored, bool isnull)
{
	double		thr = isnull ? 1 : DatumGetFloat8(stored);

	job->covered = thr < 0;
	if (!job->covered)
		oss_image_lower_thr(&job->image, thr);
}

static OssJob *
make_job(uint64 row, const OssLaneKey *lane, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "oss_labels job",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OssJob	   *job = palloc0(sizeof(OssJob));
	bool		isnull;
	Datum		thr;
	Datum		stored;
	Datum		answer;

	job->context = context;
	job->place.id = DatumGetInt64(oss_result_column(row, 1, NULL));
	job->attempts = DatumGetInt32(oss_result_column(row, 2, NULL));
	job->enqueued_at = DatumGetTimestampTz(oss_result_column(row, 3, NULL));
	job->place.due = DatumGetTimestampTz(oss_result_column(row, 4, NULL));
	thr = oss_result_column(row, 5, &isnull);
	job->image.has_thr = !isnull;
	job->image.thr = isnull ? 0 : DatumGetFloat8(thr);
	job->requester = DatumGetObjectId(oss_result_column(row, 6, NULL));
	job->source_gone = DatumGetBool(oss_result_column(row, 7, NULL));
	job->image.bucket = pstrdup(lane->bucket);
	job->image.key = oss_result_string(row, 8);
	job->image.version_id = oss_result_string(row, 9);
	job->image.etag = oss_result_string(row, 18);
	job->place.rank = DatumGetInt32(oss_result_column(row, 10, NULL));
	job->throttles = DatumGetInt32(oss_result_column(row, 11, NULL));
	stored = oss_result_column(row, 12, &isnull);
	take_stored(job, stored, isnull);
	job->fresh_since = DatumGetTimestampTz(oss_result_column(row, 16, &isnull));
	if (isnull)
		job->fresh_since = DT_NOBEGIN;
	job->fails_again = DatumGetBool(oss_result_column(row, 17, &isnull));
	job->has_failed = !isnull;
	job->once = DatumGetBool(oss_result_column(row, 19, NULL));
	job->sync_id = DatumGetInt64(oss_result_column(row, 20, NULL));
	job->facts.size = DatumGetInt64(oss_result_column(row, 21, NULL));
	job->facts.last_modified = DatumGetTimestampTz(oss_result_column(row, 22, NULL));
	answer = oss_result_column(row, 13, &isnull);
	if (!isnull)
	{
		job->answer = DatumGetJsonbPCopy(answer);
		job->started_at = DatumGetTimestampTz(oss_result_column(row, 14, NULL));
		job->asked_id = oss_result_string(row, 15);
	}
	job->utf8 = job->image;
	job->in_utf8 = oss_utf8_try(job->image.bucket, &job->utf8.bucket) &&
		oss_utf8_try(job->image.key, &job->utf8.key) &&
		oss_utf8_try(job->image.version_id, &job->utf8.version_id);
	MemoryContextSwitchTo(old);
	return job;
}

static int
compare_jobs(const ListCell *a, const ListCell *b)
{
	return oss_place_compare(&((const OssJob *) lfirst(a))->place,
							 &((const OssJob *) lfirst(b))->place);
}

/* May failed_job have rows?  Looking for each job's failures takes long. */
static bool
may_have_failures(void)
{
	Oid			schema = get_namespace_oid("oss_labels", false);
	Relation	table = table_open(get_relname_relid("failed_job", schema), AccessShareLock);
	bool		any = RelationGetNumberOfBlocks(table) > 0;

	table_close(table, AccessShareLock);
	return any;
}

List *
oss_job_claim(const OssLaneKey *lane, const OssSeen *seen, int n, int64 token,
			  TimestampTz leased_until, MemoryContext parent)
{
	Datum		values[5];
	OssColumn	tids;
	List	   *jobs = NIL;

	oss_column_init(&tids, TIDOID, n);
	for (int i = 0; i < n; i++)
		oss_column_add(&tids, PointerGetDatum(&seen[i].tid), false);
	values[0] = Int64GetDatum(token);
	values[1] = TimestampTzGetDatum(leased_until);
	values[2] = oss_column_array(&tids);
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[4] = BoolGetDatum(may_have_failures());
	oss_statement_execute(&claim_jobs, values, NULL, SPI_OK_UPDATE_RETURNING);
	for (uint64 i = 0; i < SPI_processed; i++)
		jobs = lappend(jobs, make_job(i, lane, parent));
	SPI_freetuptable(SPI_tuptable);
	list_sort(jobs, compare_jobs);
	return jobs;
}

void
oss_job_charge(int64 id, int most_attempts, int64 token, const ErrorData *error)
{
	Datum		values[] = {
		Int64GetDatum(id), CStringGetTextDatum(error->message),
		Int32GetDatum(most_attempts)
	};
	OssJob		job = {
		.place.id = id,
		.reason = {
			.sqlerrcode = error->sqlerrcode,
			.code = "NotClaimed",
			.message = error->message,
			.detail = error->detail,
			.hint = error->hint
		}
	};
	OssJob	   *jobs = &job;

	oss_statement_execute(&put_off_job, values, NULL, SPI_OK_UPDATE);
	if (SPI_processed > 0)
		return;
	values[1] = Int64GetDatum(token);
	oss_statement_execute(&take_job, values, NULL, SPI_OK_UPDATE);
	oss_job_fail(&jobs, 1, token);
}
