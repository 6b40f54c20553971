/*-------------------------------------------------------------------------
 * sync_row.c
 *	  The statements on syncs.
 *
 * A locked row is skipped: whoever has locked it holds up his sync alone.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "spi/column_array.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "sync/page_columns.h"
#include "sync/sync_row.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define DUE \
	"s.origin = oss_labels.origin() AND s.state NOT IN ('paused', 'done')"

/*
 * Is the time of its next step there?  What is on waits for ten minutes at most: later
 * it is only after the clock was set back.
 */
#define DUE_NOW \
	"(s.due <= clock_timestamp() OR s.state IN ('listing', 'forgetting', 'tagging')" \
	" AND (s.failures = 0 OR s.due > clock_timestamp() + interval '11 min'))"

static OssPlan list_due = {
	"SELECT s.sync_id, s.due, " DUE_NOW " FROM oss_labels.sync s"
	" WHERE " DUE " AND s.due < 'infinity'"
	" AND ($1 IS NULL OR oss_labels.server_of(s.origin, s.server_id, s.server) = $1)"
	" ORDER BY 3 DESC, s.due, s.sync_id",
	1, {TEXTOID}
};

/* Does a pause hold all jobs of a sync s? */
#define ITS_PAUSE \
	"EXISTS (SELECT FROM oss_labels.active_pause p WHERE p.directory IS NULL" \
	" AND (p.server IS NULL OR oss_labels.server_of(p.origin, p.server_id, p.server)" \
	" = oss_labels.server_of(s.origin, s.server_id, s.server))" \
	" AND (p.requester IS NULL OR p.requester = s.requester)" \
	" AND (p.bucket IS NULL OR p.bucket = s.bucket))"

#define ITS_JOBS "(SELECT count(*) FROM oss_labels.job j WHERE j.sync_id = s.sync_id)"

static OssPlan read_sync = {
	"SELECT s.state, s.round, s.cursor_key,"
	" oss_labels.role_of(s.origin, s.requester, s.requester_name),"
	" oss_labels.server_of(s.origin, s.server_id, s.server),"
	" coalesce(has_server_privilege(r.oid, f.oid, 'USAGE'), true)"
	" AND has_function_privilege(r.oid, 'oss_labels.sync_bucket'::regproc, 'EXECUTE'),"
	" s.bucket, s.prefix, " ITS_JOBS ","
	" greatest(s.max_requests - s.spent - (SELECT coalesce(sum(t.spent), 0)"
	" FROM oss_labels.sync_tally t WHERE t.sync_id = s.sync_id)::bigint, 0),"
	" " ITS_PAUSE ","
	" s.lease <> $2 AND oss_labels.lease_holder(s.lease) = 'busy',"
	" EXISTS (SELECT FROM oss_labels.sync_tally t WHERE t.sync_id = s.sync_id),"
	" coalesce(s.forget, true), s.listed > 0"
	" FROM oss_labels.sync s"
	" LEFT JOIN pg_roles r ON r.oid = oss_labels.role_of(s.origin, s.requester, s.requester_name)"
	" LEFT JOIN pg_foreign_server f ON f.srvname = oss_labels.server_of(s.origin, s.server_id, s.server)"
	" WHERE s.sync_id = $1 AND " DUE_NOW " AND " DUE
	" FOR UPDATE OF s SKIP LOCKED",
	2, {INT8OID, INT8OID}
};

static OssPlan add_tallies = {
	"WITH gone AS (DELETE FROM oss_labels.sync_tally WHERE sync_id = $1 RETURNING *)"
	" UPDATE oss_labels.sync s SET stored = s.stored + g.stored,"
	" failed = s.failed + g.failed, spent = s.spent + g.spent"
	" FROM (SELECT sum(stored) AS stored, sum(failed) AS failed, sum(spent) AS spent FROM gone) g"
	" WHERE s.sync_id = $1 AND g.spent IS NOT NULL",
	1, {INT8OID}
};

/* A listing that did not come to its end is made again with the same number. */
static OssPlan begin_round = {
	"UPDATE oss_labels.sync SET state = 'listing', reason = NULL, failures = 0,"
	" round = round + (listed_at IS NOT NULL)::integer, cursor_key = NULL,"
	" started_at = clock_timestamp(), due = clock_timestamp(), listed_at = NULL, finished_at = NULL,"
	" listed = 0, bytes = 0, new = 0, changed = 0, unchanged = 0, queued_already = 0,"
	" skipped_suffix = 0, skipped_folder = 0, skipped_size = 0, skipped_class = 0,"
	" skipped_invalid = 0, skipped_failed = 0, forgotten = 0, stored = 0, failed = 0"
	" WHERE sync_id = $1",
	1, {INT8OID}
};

/* Where max_requests ends within a page: how many objects are before that. */
static OssPlan take_objects = {
	"SELECT count(*) FILTER (WHERE o.first IS NULL OR o.n < o.first)"
	" FROM (SELECT n, min(n) FILTER (WHERE verdict = 'limit') OVER () AS first"
	" FROM oss_labels.take_objects($1, $2, $3, $4, $5, $6, $7, true)) o",
	7, {INT8OID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, BOOLARRAYOID}
};

static OssPlan note_missing = {
	"SELECT oss_labels.note_missing($1, $2, $3)",
	3, {INT8OID, TEXTARRAYOID, TEXTOID}
};

static OssPlan advance = {
	"UPDATE oss_labels.sync SET cursor_key = coalesce($2, cursor_key),"
	" list_requests = list_requests + $3, listed = listed + $4,"
	" skipped_invalid = skipped_invalid + $4, failures = 0, reason = NULL,"
	" state = CASE WHEN $5 THEN 'forgetting' ELSE state END,"
	" listed_at = CASE WHEN $5 THEN clock_timestamp() ELSE listed_at END,"
	" lease = CASE WHEN $5 THEN NULL ELSE lease END"
	" WHERE sync_id = $1",
	5, {INT8OID, TEXTOID, INT8OID, INT8OID, BOOLOID}
};

static OssPlan lease_sync = {
	"UPDATE oss_labels.sync SET lease = $2 WHERE sync_id = $1 AND lease IS DISTINCT FROM $2",
	2, {INT8OID, INT8OID}
};

static OssPlan put_off = {
	"UPDATE oss_labels.sync SET failures = failures + 1, reason = $3, lease = NULL,"
	" list_requests = list_requests + $4,"
	" due = clock_timestamp() + make_interval(secs => least($2 * 2 ^ least(failures, 20), 600))"
	" WHERE sync_id = $1",
	4, {INT8OID, INT4OID, TEXTOID, INT8OID}
};

static OssPlan stop_sync = {
	"UPDATE oss_labels.sync SET state = 'stopped', reason = $2, lease = NULL,"
	" list_requests = list_requests + $4, due = CASE WHEN $3 OR every IS NULL THEN 'infinity'"
	" ELSE greatest(started_at + every, clock_timestamp() + interval '1 min') END"
	" WHERE sync_id = $1",
	4, {INT8OID, TEXTOID, BOOLOID, INT8OID}
};

/* Images that this round and an earlier one missed, and nobody has since. */
static OssPlan list_missing = {
	"SELECT m.image_id, i.bucket, i.key FROM oss_labels.sync s"
	" JOIN oss_labels.sync_missing m ON m.sync_id = s.sync_id"
	" LEFT JOIN oss_labels.image i ON i.image_id = m.image_id"
	" AND i.version_id IS NULL AND i.tagged_at < s.started_at"
	" AND NOT EXISTS (SELECT FROM oss_labels.job j WHERE j.key = i.key AND j.bucket = i.bucket)"
	" AND NOT (s.keep_corrected AND EXISTS (SELECT FROM oss_labels.label_correction c"
	" WHERE c.image_id = i.image_id))"
	" WHERE s.sync_id = $1 AND m.first_round < s.round AND m.last_round = s.round"
	" ORDER BY m.image_id LIMIT $2",
	2, {INT8OID, INT4OID}
};

static OssPlan forget_image = {
	"SELECT oss_labels.forget($1, $2)",
	2, {TEXTOID, TEXTOID}
};

static OssPlan end_missing = {
	"WITH gone AS (DELETE FROM oss_labels.sync_missing WHERE sync_id = $1 AND image_id = ANY ($2))"
	" UPDATE oss_labels.sync SET forgotten = forgotten + $3, reason = coalesce($4, reason)"
	" WHERE sync_id = $1",
	4, {INT8OID, INT8ARRAYOID, INT8OID, TEXTOID}
};

/* What this round has seen again is not missing any more. */
static OssPlan end_listing = {
	"WITH seen AS (DELETE FROM oss_labels.sync_missing m USING oss_labels.sync s"
	" WHERE s.sync_id = $1 AND m.sync_id = $1 AND m.last_round < s.round AND s.listed > 0)"
	" UPDATE oss_labels.sync SET state = 'tagging' WHERE sync_id = $1",
	1, {INT8OID}
};

static OssPlan finish_sync = {
	"UPDATE oss_labels.sync SET finished_at = clock_timestamp(), lease = NULL,"
	" listed_at = coalesce(listed_at, clock_timestamp()),"
	" state = CASE WHEN every IS NULL THEN 'done' ELSE 'waiting' END,"
	" due = CASE WHEN every IS NULL THEN 'infinity'"
	" ELSE greatest(started_at + every, clock_timestamp()) END"
	" WHERE sync_id = $1",
	1, {INT8OID}
};

static OssPlan find_at_work = {
	"SELECT FROM oss_labels.sync s WHERE " DUE " AND " DUE_NOW " AND s.failures = 0"
	" AND ($2 OR pg_has_role($1, s.requester, 'USAGE'))"
	" AND NOT " ITS_PAUSE " AND (s.state IN ('listing', 'forgetting', 'waiting')"
	" OR s.state = 'tagging' AND NOT s.from_list AND " ITS_JOBS " = 0) LIMIT 1",
	2, {OIDOID, BOOLOID}
};

List *
oss_sync_due(const char *only_server, TimestampTz *next_due)
{
	Datum		value;
	char		null;
	List	   *due = NIL;

	oss_arg_string(&value, &null, 0, only_server);
	oss_statement_execute(&list_due, &value, &null, SPI_OK_SELECT);
	*next_due = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int64	   *id = palloc(sizeof(int64));

		if (!DatumGetBool(oss_result_column(i, 3, NULL)))
		{
			*next_due = DatumGetTimestampTz(oss_result_column(i, 2, NULL));
			break;
		}
		*id = DatumGetInt64(oss_result_column(i, 1, NULL));
		due = lappend(due, id);
	}
	SPI_freetuptable(SPI_tuptable);
	return due;
}

/* Return the phase that a state stands for. */
static OssSyncPhase
phase_of(const char *state)
{
	if (strcmp(state, "listing") == 0)
		return OSS_SYNC_LISTING;
	if (strcmp(state, "forgetting") == 0)
		return OSS_SYNC_FORGETTING;
	return strcmp(state, "tagging") == 0 ? OSS_SYNC_TAGGING : OSS_SYNC_TO_BEGIN;
}

bool
oss_sync_read(int64 id, int64 token, OssSyncRow *row)
{
	Datum		values[] = {Int64GetDatum(id), Int64GetDatum(token)};
	bool		isnull;
	Datum		room;

	if (oss_statement_execute(&read_sync, values, NULL, SPI_OK_SELECT) == 0)
		return false;
	memset(row, 0, sizeof(*row));
	row->id = id;
	row->phase = phase_of(oss_result_string(0, 1));
	row->round = DatumGetInt32(oss_result_column(0, 2, NULL));
	row->cursor = oss_result_string(0, 3);
	row->role = DatumGetObjectId(oss_result_column(0, 4, NULL));
	row->server = oss_result_string(0, 5);
	row->allowed = DatumGetBool(oss_result_column(0, 6, NULL));
	row->bucket = oss_result_string(0, 7);
	row->prefix = oss_result_string(0, 8);
	row->jobs = DatumGetInt64(oss_result_column(0, 9, NULL));
	room = oss_result_column(0, 10, &isnull);
	row->room = isnull ? -1 : Max(DatumGetInt64(room) - row->jobs, 0);
	row->paused = DatumGetBool(oss_result_column(0, 11, NULL));
	row->taken = DatumGetBool(oss_result_column(0, 12, NULL));
	row->tallied = DatumGetBool(oss_result_column(0, 13, NULL));
	row->forgets = DatumGetBool(oss_result_column(0, 14, NULL));
	row->any_listed = DatumGetBool(oss_result_column(0, 15, NULL));
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/* Execute a plan whose only parameter is the number of a sync. */
static void
execute_for(OssPlan *plan, int64 id)
{
	Datum		value = Int64GetDatum(id);

	oss_statement_execute(plan, &value, NULL, SPI_OK_UPDATE);
}

void
oss_sync_add_tallies(int64 id)
{
	execute_for(&add_tallies, id);
}

void
oss_sync_begin_round(int64 id)
{
	execute_for(&begin_round, id);
}

void
oss_sync_end_listing(int64 id)
{
	execute_for(&end_listing, id);
}

void
oss_sync_finish(int64 id)
{
	execute_for(&finish_sync, id);
}

/* Read a page to its end. */
static void
read_listed(OssListing *listing, OssPageColumns *columns, OssSyncPage *page)
{
	const OssListed *object;

	oss_page_columns_init(columns);
	while ((object = oss_listing_object(listing)) != NULL)
		page->foreign += !oss_page_columns_add(columns, object);
	page->n = columns->keys.n;
	page->last = oss_listing_is_last(listing);
}

void
oss_sync_take_page(const OssSyncRow *row, OssListing *listing, OssSyncPage *page)
{
	OssPageColumns columns;
	Datum		values[1 + OSS_PAGE_ARGS];
	char		nulls[5] = "    ";

	read_listed(listing, &columns, page);
	page->taken = 0;
	values[0] = Int64GetDatum(row->id);
	if (page->n > 0)
	{
		oss_page_columns_args(&columns, &values[1]);
		oss_statement_execute(&take_objects, values, NULL, SPI_OK_SELECT);
		page->taken = (int) DatumGetInt64(oss_result_column(0, 1, NULL));
		SPI_freetuptable(SPI_tuptable);
	}

	/* without its end, the page says what is missing up to its last object */
	page->last = page->last && page->taken == page->n;
	columns.keys.n = page->taken;
	values[1] = oss_column_array(&columns.keys);
	oss_arg(values, nulls, 2, page->taken > 0 ? columns.keys.values[page->taken - 1] : (Datum) 0,
			page->last || page->taken == 0);
	if (row->forgets && (page->last || page->taken > 0) && (row->any_listed || page->taken > 0))
		oss_statement_execute(&note_missing, values, nulls, SPI_OK_SELECT);
	oss_arg(values, nulls, 1, page->taken > 0 ? columns.keys.values[page->taken - 1] : (Datum) 0,
			page->taken == 0);
	oss_arg(values, nulls, 2, Int64GetDatum(page->requests), false);
	oss_arg(values, nulls, 3, Int64GetDatum(page->taken == page->n ? page->foreign : 0), false);
	oss_arg(values, nulls, 4, BoolGetDatum(page->last), false);
	oss_statement_execute(&advance, values, nulls, SPI_OK_UPDATE);
}

void
oss_sync_lease(int64 id, int64 token)
{
	Datum		values[] = {Int64GetDatum(id), Int64GetDatum(token)};

	oss_statement_execute(&lease_sync, values, token == 0 ? " n" : NULL, SPI_OK_UPDATE);
}

void
oss_sync_put_off(int64 id, int64 requests, int seconds, const char *reason)
{
	Datum		values[] = {Int64GetDatum(id), Int32GetDatum(seconds),
		CStringGetTextDatum(reason), Int64GetDatum(requests)
	};

	oss_statement_execute(&put_off, values, NULL, SPI_OK_UPDATE);
}

void
oss_sync_stop(int64 id, int64 requests, bool for_good, const char *reason)
{
	Datum		values[] = {Int64GetDatum(id), CStringGetTextDatum(reason),
		BoolGetDatum(for_good), Int64GetDatum(requests)
	};

	oss_statement_execute(&stop_sync, values, NULL, SPI_OK_UPDATE);
}

bool
oss_sync_forget_as(Oid role, Datum bucket, Datum key)
{
	Datum		names[] = {bucket, key};
	Oid			userid;
	int			context;
	OssStatementState state;
	bool		forgotten;

	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(role, context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	oss_statement_begin(&state, OSS_STATEMENT_PINNED);
	oss_statement_execute(&forget_image, names, NULL, SPI_OK_SELECT);
	forgotten = DatumGetBool(oss_result_column(0, 1, NULL));
	oss_statement_end(&state);
	SetUserIdAndSecContext(userid, context);
	return forgotten;
}

/* An image that is to be forgotten as a role. */
typedef struct Forgetting
{
	Oid			role;
	Datum		names[2];
} Forgetting;

/* Subtransaction: forget an image. */
static void
forget_as_role(void *arg)
{
	const Forgetting *forgetting = arg;

	(void) oss_sync_forget_as(forgetting->role, forgetting->names[0], forgetting->names[1]);
}

bool
oss_sync_forget(const OssSyncRow *row)
{
	Datum		values[4] = {Int64GetDatum(row->id), Int32GetDatum(OSS_SYNC_FORGET)};
	char		nulls[5] = "    ";
	int			n = (int) oss_statement_execute(&list_missing, values, NULL, SPI_OK_SELECT);
	SPITupleTable *table = SPI_tuptable;
	Forgetting *list = palloc0(sizeof(Forgetting) * Max(n, 1));
	OssColumn	ids;
	int64		forgotten = 0;
	char	   *reason = NULL;

	oss_column_init(&ids, INT8OID, n);
	for (int i = 0; i < n; i++)
	{
		char	   *key = oss_result_string(i, 3);

		oss_column_add(&ids, oss_result_column(i, 1, NULL), false);
		list[i].role = key ? row->role : InvalidOid;
		if (key)
		{
			list[i].names[0] = CStringGetTextDatum(oss_result_string(i, 2));
			list[i].names[1] = CStringGetTextDatum(key);
		}
	}
	SPI_freetuptable(table);
	for (int i = 0; i < n && reason == NULL; i++)
	{
		ErrorData  *error;

		if (!OidIsValid(list[i].role))
			continue;
		error = oss_subtransaction(forget_as_role, &list[i]);
		forgotten += error == NULL;
		if (error == NULL)
			continue;
		if (oss_error_is_interrupt(error))
			ReThrowError(error);

		/* what others have locked is left for the next round */
		if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
			reason = psprintf("it may not forget images: %s", error->message);
		FreeErrorData(error);
	}
	values[1] = oss_column_array(&ids);
	values[2] = Int64GetDatum(forgotten);
	oss_arg_string(values, nulls, 3, reason);
	oss_statement_execute(&end_missing, values, nulls, SPI_OK_UPDATE);
	return n < OSS_SYNC_FORGET || reason != NULL;
}

bool
oss_sync_at_work(Oid caller)
{
	Datum		values[] = {ObjectIdGetDatum(caller),
		BoolGetDatum(superuser_arg(caller))
	};

	return oss_statement_execute(&find_at_work, values, NULL, SPI_OK_SELECT) > 0;
}
