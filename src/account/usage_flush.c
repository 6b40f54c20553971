/*-------------------------------------------------------------------------
 * usage_flush.c
 *	  Writing accounts to the table usage_day, and reading what is not written
 *	  yet.
 *
 * The worker writes those in shared memory.  Without it a session writes its own
 * in its transactions that can write, just before they commit; the counts of a
 * transaction that is rolled back are written by the next one.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "account/usage_flush.h"
#include "catalog/pg_type.h"
#include "client/budget.h"
#include "client/http.h"
#include "client/usage.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "spi/column_array.h"
#include "spi/result_rows.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "utils/acl.h"
#include "utils/date.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_usage_now);

/* How often old rows are deleted, and how many at once. */
#define TIDY_US (INT64CONST(600) * USECS_PER_SEC)
#define MOST_DELETED 10000

/* How often an error is logged. */
#define TELL_US (INT64CONST(60) * USECS_PER_SEC)

/* How long a commit may wait for a row that another one writes. */
#define LOCK_TIMEOUT "20ms"

/* Columns before the counts. */
#define NAMES 4

int			oss_usage_retention = 400 * 24 * 60;

/* Begin a flush, if no other process does one. */
static OssPlan read_written = {
	"SELECT flush, counted_to, shared_since FROM oss_labels.usage_written"
	" FOR UPDATE SKIP LOCKED",
	0, {}
};

static OssPlan write_written = {
	"UPDATE oss_labels.usage_written SET flush = $1, counted_to = $2, shared_since = $3",
	3, {INT8OID, INT8OID, INT8OID}
};

#define ADD(column) column " = u." column " + excluded." column

static OssPlan write_usage = {
	"INSERT INTO oss_labels.usage_day AS u (day, server, requester, bucket, requests,"
	" billed, ambiguous, throttled, refused, failed, over_budget, stored_hits,"
	" shared, listings, heads, bytes) "
	"SELECT n.day, n.server, oss_labels.role_value(n.requester), n.bucket, n.requests,"
	" n.billed, n.ambiguous, n.throttled, n.refused, n.failed, n.over_budget,"
	" n.stored_hits, n.shared, n.listings, n.heads, n.bytes "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
	" n (day, server, requester, bucket, requests, billed, ambiguous, throttled,"
	" refused, failed, over_budget, stored_hits, shared, listings, heads, bytes) "
	"ORDER BY 1, 2, n.requester, 4 "
	"ON CONFLICT (day, server, (requester::bytea), bucket) DO UPDATE SET "
	ADD("requests") ", " ADD("billed") ", " ADD("ambiguous") ", " ADD("throttled") ", "
	ADD("refused") ", " ADD("failed") ", " ADD("over_budget") ", " ADD("stored_hits") ", "
	ADD("shared") ", " ADD("listings") ", " ADD("heads") ", " ADD("bytes"),
	16, {DATEARRAYOID, TEXTARRAYOID, OIDARRAYOID, TEXTARRAYOID, INT8ARRAYOID,
		INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
	INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}
};

static OssPlan delete_old = {
	"DELETE FROM oss_labels.usage_day WHERE ctid = ANY (ARRAY("
	"SELECT ctid FROM oss_labels.usage_day WHERE day < $1 LIMIT $2))",
	2, {DATEOID, INT4OID}
};

/* The number of the last flush of a process without shared memory. */
static int64 own_flush = 0;

/*
 * Does this process have counts of its own to write, and has it just written them?
 */
static bool own_waits = false;
static bool own_written = false;

/* Columns of usage_day to write. */
typedef struct Rows
{
	OssColumn	columns[NAMES + OSS_USAGE_COUNTS];
	int64		requests;
} Rows;

static void
init_rows(Rows *rows)
{
	static const Oid types[NAMES] = {DATEOID, TEXTOID, OIDOID, TEXTOID};

	rows->requests = 0;
	for (int i = 0; i < NAMES + OSS_USAGE_COUNTS; i++)
		oss_column_init(&rows->columns[i], i < NAMES ? types[i] : INT8OID, 64);
}

static void
add_usage_row(Rows *rows, const OssUsage *usage, const int64 *counts)
{
	oss_column_add(&rows->columns[0], DateADTGetDatum(usage->day), false);
	oss_column_add_string(&rows->columns[1], usage->server[0] ? usage->server : NULL);
	oss_column_add(&rows->columns[2], ObjectIdGetDatum(usage->userid),
				   !OidIsValid(usage->userid));
	oss_column_add_string(&rows->columns[3], usage->bucket[0] ? usage->bucket : NULL);
	for (int i = 0; i < OSS_USAGE_COUNTS; i++)
		oss_column_add(&rows->columns[NAMES + i], Int64GetDatum(counts[i]), false);
	rows->requests += counts[OSS_USAGE_REQUESTS];
}

/* Take all counts since that flush. */
static void
take_usages(Rows *rows, int64 flush)
{
	OssUsage   *usages = palloc(sizeof(OssUsage) * OSS_USAGE_WAYS);

	for (int set = 0; set < OSS_USAGE_SETS; set++)
	{
		int			n = oss_usage_take(set, flush, usages);

		for (int i = 0; i < n; i++)
			add_usage_row(rows, &usages[i], usages[i].written);
	}
	pfree(usages);
}

static void
write_usages(const Rows *rows)
{
	Datum		values[NAMES + OSS_USAGE_COUNTS];

	if (rows->columns[0].n == 0)
		return;
	for (int i = 0; i < NAMES + OSS_USAGE_COUNTS; i++)
		values[i] = oss_column_array(&rows->columns[i]);
	oss_statement_execute(&write_usage, values, NULL, SPI_OK_INSERT);
}

/* Delete rows that are older than usage_retention, from time to time. */
static void
delete_old_rows(void)
{
	static int64 next_at = 0;
	Datum		values[2];

	if (oss_usage_retention == 0 || oss_clock_us() < next_at)
		return;
	next_at = oss_clock_us() + TIDY_US;
	values[0] = DateADTGetDatum(oss_billing_day(GetCurrentTimestamp() -
												oss_usage_retention * USECS_PER_MINUTE));
	values[1] = Int32GetDatum(MOST_DELETED);
	oss_statement_execute(&delete_old, values, NULL, SPI_OK_DELETE);
}

/*
 * At the first flush since the server started, add the attempts that a crash left
 * unwritten.
 */
static void
add_unknown(Rows *rows, int64 unknown)
{
	OssUsage	usage = {.day = oss_billing_day(GetCurrentTimestamp())};

	if (unknown <= 0)
		return;
	usage.counts[OSS_USAGE_REQUESTS] = usage.counts[OSS_USAGE_AMBIGUOUS] = unknown;
	add_usage_row(rows, &usage, usage.counts);
}

/* Begin statements that do not wait for others' locks. */
static void
begin_statements(OssStatementState *state)
{
	oss_statement_begin(state, OSS_STATEMENT_WORK);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Write the shared counts, if no other process does it. */
static void
write_shared(void *written)
{
	OssStatementState state;
	Rows		rows;
	Datum		values[3];

	init_rows(&rows);
	begin_statements(&state);
	if (oss_statement_execute(&read_written, NULL, NULL, SPI_OK_SELECT) == 1)
	{
		int64		flush = DatumGetInt64(oss_result_column(0, 1, NULL));
		int64		counted_to = DatumGetInt64(oss_result_column(0, 2, NULL));

		if (DatumGetInt64(oss_result_column(0, 3, NULL)) != oss_usage_shared())
		{
			int64		before = oss_budget_attempts_before();

			add_unknown(&rows, before - counted_to);
			counted_to = before - rows.requests;
		}
		take_usages(&rows, flush);
		write_usages(&rows);
		values[0] = Int64GetDatum(flush + 1);
		values[1] = Int64GetDatum(counted_to + rows.requests);
		values[2] = Int64GetDatum(oss_usage_shared());
		oss_statement_execute(&write_written, values, NULL, SPI_OK_UPDATE);
		delete_old_rows();
		*(bool *) written = true;
	}
	oss_statement_end(&state);
}

/* Write this process's own counts. */
static void
write_own(void *written)
{
	OssStatementState state;
	Rows		rows;

	init_rows(&rows);
	begin_statements(&state);
	take_usages(&rows, own_flush);
	write_usages(&rows);
	delete_old_rows();
	oss_statement_end(&state);
	*(bool *) written = true;
}

/*
 * Write counts in a subtransaction, so that an error does not roll back the rest of
 * the transaction.  Errors are logged at intervals.
 */
static bool
try_to_write(void (*write) (void *written))
{
	static int64 tell_at = 0;
	bool		written = false;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "oss_labels usage",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ErrorData  *error = oss_subtransaction(write, &written);

	if (error != NULL && oss_error_is_interrupt(error))
		ReThrowError(error);
	if (error != NULL && oss_clock_us() >= tell_at)
	{
		tell_at = oss_clock_us() + TELL_US;
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("oss_labels could not write accounts: %s", error->message),
				 errdetail("They are kept in memory and written later.")));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return error == NULL && written;
}

bool
oss_usage_flush(void)
{
	Assert(oss_usage_shared() != 0);
	return try_to_write(write_shared);
}

/*
 * Can a transaction that commits write accounts?  At SERIALIZABLE the rows that
 * others write could make it fail.
 */
static bool
can_write(void)
{
	return own_waits && !XactReadOnly && !RecoveryInProgress() &&
		!IsInParallelMode() && XactIsoLevel != XACT_SERIALIZABLE &&
		OidIsValid(oss_extension_owner());
}

/* Transaction callback of a process without shared memory. */
static void
on_usage_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			own_written = false;
			if (can_write())
			{
				PushActiveSnapshot(GetTransactionSnapshot());
				own_written = try_to_write(write_own);
				own_waits = !own_written;
				PopActiveSnapshot();
			}
			break;
		case XACT_EVENT_COMMIT:
			own_flush += own_written;
			own_written = false;
			break;
		case XACT_EVENT_ABORT:
			own_waits |= own_written;
			own_written = false;
			break;
		default:
			break;
	}
}

/* This process has counted something. */
static void
note_own(void)
{
	own_waits = true;
}

void
oss_usage_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		return;
	oss_usage_wake = note_own;
	RegisterXactCallback(on_usage_transaction_end, NULL);
}

/*
 * usage_now(flush): the counts of the caller's roles that this flush does not
 * include; all for pg_monitor and the extension's owner.
 */
Datum
oss_labels_usage_now(PG_FUNCTION_ARGS)
{
	int64		flush = oss_usage_shared() != 0 ? PG_GETARG_INT64(0) : own_flush;
	bool		all = oss_sees_all(GetUserId());
	OssUsage   *usages = palloc(sizeof(OssUsage) * OSS_USAGE_WAYS);
	OssResult	result = oss_result_begin(fcinfo);

	for (int set = 0; set < OSS_USAGE_SETS; set++)
	{
		int			n = oss_usage_read(set, flush, usages);

		for (int i = 0; i < n; i++)
		{
			Datum		values[NAMES + OSS_USAGE_COUNTS];
			bool		nulls[NAMES + OSS_USAGE_COUNTS] = {false};
			Oid			userid = usages[i].userid;

			if (!all && !(OidIsValid(userid) && has_privs_of_role(GetUserId(), userid)))
				continue;
			values[0] = DateADTGetDatum(usages[i].day);
			values[1] = oss_text_or_null(usages[i].server[0] ? usages[i].server : NULL,
										 &nulls[1]);
			values[2] = oss_text_or_null(OidIsValid(userid) ? oss_role_name(userid) : NULL,
										 &nulls[2]);
			values[3] = oss_text_or_null(usages[i].bucket[0] ? usages[i].bucket : NULL,
										 &nulls[3]);
			for (int j = 0; j < OSS_USAGE_COUNTS; j++)
				values[NAMES + j] = Int64GetDatum(usages[i].counts[j]);
			oss_result_add(&result, values, nulls);
		}
	}
	return (Datum) 0;
}
