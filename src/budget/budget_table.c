/*-------------------------------------------------------------------------
 * budget_table.c
 *	  The tables of budgets: read for the counters, and written from them.
 *
 * A process that finds the budgets changed reads them with a new snapshot: the
 * transaction's own may show an old cap.  A transaction that has changed them
 * itself does not read them, since it would see uncommitted rows.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "budget/budget_table.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "client/budget.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "queue/worker_slot.h"
#include "spi/result_rows.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_budget_changed);
PG_FUNCTION_INFO_V1(oss_labels_budget_created);
PG_FUNCTION_INFO_V1(oss_labels_budget_counts);
PG_FUNCTION_INFO_V1(oss_labels_budget_restored);
PG_FUNCTION_INFO_V1(oss_labels_budget_room);
PG_FUNCTION_INFO_V1(oss_labels_budget_used_up);

#define COUNT_COLUMNS 5

static OssPlan read_budgets = {
	"SELECT b.budget_id, b.counted_since,"
	" oss_labels.server_of(b.origin, b.server_id, b.server), b.requester IS NOT NULL,"
	" to_regrole(quote_ident(b.requester::text))::oid, b.bucket, b.period, b.max_requests,"
	" s.period_start, s.period_end, s.spent"
	" FROM oss_labels.budget b LEFT JOIN oss_labels.budget_spent s"
	" ON s.budget_id = b.budget_id AND s.counted_since = b.counted_since",
	0, {0}, OSS_PLAN_READ
};

static OssPlan write_spent = {
	"INSERT INTO oss_labels.budget_spent"
	" (budget_id, counted_since, period_start, period_end, spent)"
	" VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT (budget_id) DO UPDATE SET counted_since = $2, period_start = $3,"
	" period_end = $4, spent = $5",
	5, {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
};

static OssPlan delete_spent = {
	"DELETE FROM oss_labels.budget_spent s WHERE NOT EXISTS ("
	"SELECT FROM oss_labels.budget b WHERE b.budget_id = s.budget_id)",
	0, {0}
};

/* The transaction in progress has created the tables. */
static bool created = false;

/*
 * This transaction writes budget_spent: as a flush of the counters, or otherwise.
 */
static bool flushing = false;
static bool restored = false;

/* Return a period from its name. */
static OssPeriod
period_of(const char *name)
{
	return strcmp(name, "day") == 0 ? OSS_PERIOD_DAY :
		strcmp(name, "month") == 0 ? OSS_PERIOD_MONTH : OSS_PERIOD_EVER;
}

/* Make a budget of a row of read_budgets. */
static OssBudget
budget_of_row(uint64 row)
{
	OssBudget	budget = {0};
	const char *server = oss_result_string(row, 3);
	const char *bucket = oss_result_string(row, 6);
	bool		unspent;

	budget.id = DatumGetInt64(oss_result_column(row, 1, NULL));
	budget.since = DatumGetTimestampTz(oss_result_column(row, 2, NULL));
	if (server != NULL)
	{
		budget.scope |= OSS_BUDGET_OF_SERVER;
		namestrcpy(&budget.server, server);
		budget.serverid = get_foreign_server_oid(server, true);
	}
	if (DatumGetBool(oss_result_column(row, 4, NULL)))
	{
		budget.scope |= OSS_BUDGET_OF_REQUESTER;
		budget.requester = DatumGetObjectId(oss_result_column(row, 5, NULL));
	}
	if (bucket != NULL)
	{
		budget.scope |= OSS_BUDGET_OF_BUCKET;
		strlcpy(budget.bucket, bucket, sizeof(budget.bucket));
	}
	budget.period = period_of(oss_result_string(row, 7));
	budget.most = DatumGetInt64(oss_result_column(row, 8, NULL));
	budget.spent = DatumGetInt64(oss_result_column(row, 11, &unspent));
	if (!unspent)
	{
		budget.starts = DatumGetTimestampTz(oss_result_column(row, 9, NULL));
		budget.ends = DatumGetTimestampTz(oss_result_column(row, 10, NULL));
	}
	return budget;
}

/* Read and publish the budgets, in a transaction. */
static OssBudgetAnswer
read_in_transaction(bool wait)
{
	uint64		generation = oss_budget_generation();
	Oid			table = get_relname_relid("budget", get_namespace_oid("oss_labels", true));
	OssStatementState state;
	OssBudget  *budgets;
	uint64		n;

	/* as when the extension is being dropped by the transaction */
	if (!OidIsValid(table))
		return OSS_BUDGET_OPEN;
	if (wait)
		LockRelationOid(table, AccessShareLock);
	else if (!ConditionalLockRelationOid(table, AccessShareLock))
		return OSS_BUDGET_LATER;
	PushActiveSnapshot(IsInParallelMode() ? GetTransactionSnapshot() : GetLatestSnapshot());
	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	n = oss_statement_execute_in(GetActiveSnapshot(), &read_budgets, NULL, NULL, SPI_OK_SELECT);
	budgets = palloc(sizeof(OssBudget) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		budgets[i] = budget_of_row(i);
	(void) oss_budget_publish(generation, budgets, (int) n);
	pfree(budgets);
	oss_statement_end(&state);
	PopActiveSnapshot();
	elog(DEBUG1, "oss_labels: read " UINT64_FORMAT " budgets", n);
	return OSS_BUDGET_OPEN;
}

/*
 * Hook: read the budgets.  The worker, which is in no transaction while it sends
 * requests, makes one, and waits for no lock.
 */
static OssBudgetAnswer
load_budgets(void)
{
	MemoryContext caller = CurrentMemoryContext;
	OssBudgetAnswer answer;

	if (oss_budget_changing)
		return OSS_BUDGET_LATER;
	if (IsTransactionState())
		return read_in_transaction(MyBgworkerEntry == NULL);
	if (MyBgworkerEntry == NULL || IsTransactionOrTransactionBlock())
		return OSS_BUDGET_LATER;
	StartTransactionCommand();
	answer = read_in_transaction(false);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return answer;
}

/*
 * Transaction callback: budgets apply once they are committed.  It runs before the
 * callback of worker_slot.c, which wakes the worker.
 */
static void
on_budget_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (oss_budget_changing || created)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot prepare a transaction that has changed budgets"),
						 errhint("Change budgets in a transaction that ends with COMMIT.")));
			break;
		case XACT_EVENT_COMMIT:
			/* the counts belong to tables that were dropped */
			if (created)
				oss_budget_drop(MyDatabaseId);
			if (oss_budget_changing)
				oss_budget_changed(restored);
			oss_budget_changing = created = flushing = restored = false;
			break;
		case XACT_EVENT_ABORT:
			/* it may have read its own tables */
			if (created)
				oss_budget_changed(false);
			oss_budget_changing = created = flushing = restored = false;
			break;
		default:
			break;
	}
}

void
oss_budget_table_init(void)
{
	oss_budget_load = load_budgets;
	RegisterXactCallback(on_budget_transaction_end, NULL);
}

/* Trigger on budget, for each statement that changes it. */
Datum
oss_labels_budget_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("budget_changed() must be called as a trigger")));
	oss_budget_changing = true;
	oss_wake_at_commit();
	PG_RETURN_POINTER(NULL);
}

/* Trigger on budget_spent: a dump is being restored, perhaps after it was read. */
Datum
oss_labels_budget_restored(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("budget_restored() must be called as a trigger")));
	if (!flushing)
		oss_budget_changing = restored = true;
	PG_RETURN_POINTER(NULL);
}

/* oss_labels.budget_created() */
Datum
oss_labels_budget_created(PG_FUNCTION_ARGS)
{
	created = true;
	PG_RETURN_VOID();
}

/* May the caller see what a budget counts?  Not if it is another role's. */
static bool
concerns_caller(const OssBudget *budget, bool sees_all)
{
	return sees_all || !(budget->scope & OSS_BUDGET_OF_REQUESTER) ||
		(OidIsValid(budget->requester) && has_privs_of_role(GetUserId(), budget->requester));
}

/* oss_labels.budget_counts() */
Datum
oss_labels_budget_counts(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	bool		sees_all = oss_sees_all(GetUserId());
	OssBudget  *budgets = palloc(sizeof(OssBudget) * OSS_MOST_BUDGETS);
	int			n = oss_budget_copy(budgets, OSS_MOST_BUDGETS);

	for (int i = 0; i < n; i++)
	{
		const OssBudget *budget = &budgets[i];
		Datum		values[COUNT_COLUMNS];
		bool		nulls[COUNT_COLUMNS] = {false};

		if (!concerns_caller(budget, sees_all))
			continue;
		values[0] = Int64GetDatum(budget->id);
		values[1] = TimestampTzGetDatum(budget->starts);
		values[2] = TimestampTzGetDatum(budget->ends);
		values[3] = Int64GetDatum(budget->spent);
		values[4] = Int32GetDatum(budget->in_flight);
		oss_result_add(&result, values, nulls);
	}
	return (Datum) 0;
}

/* oss_labels.budget_room() */
Datum
oss_labels_budget_room(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(oss_budget_room());
}

/* oss_labels.budget_used_up(budget_id) */
Datum
oss_labels_budget_used_up(PG_FUNCTION_ARGS)
{
	OssBudget  *budgets = palloc(sizeof(OssBudget) * OSS_MOST_BUDGETS);
	int			n = oss_budget_copy(budgets, OSS_MOST_BUDGETS);

	for (int i = 0; i < n; i++)
	{
		if (budgets[i].id == PG_GETARG_INT64(0))
			PG_RETURN_BOOL(budgets[i].spent >= budgets[i].most);
	}
	PG_RETURN_BOOL(false);
}

/* Write a budget's counters. */
static void
write_budget(const OssBudget *budget)
{
	Datum		values[] = {
		Int64GetDatum(budget->id), TimestampTzGetDatum(budget->since),
		TimestampTzGetDatum(budget->starts), TimestampTzGetDatum(budget->ends),
		Int64GetDatum(budget->spent)
	};

	(void) oss_statement_execute(&write_spent, values, NULL, SPI_OK_INSERT);
}

void
oss_budget_flush(void)
{
	static OssBudget *written = NULL;
	static int	nwritten = 0;
	OssBudget  *budgets;
	int			n;

	budgets = palloc(sizeof(OssBudget) * OSS_MOST_BUDGETS);
	n = oss_budget_copy(budgets, OSS_MOST_BUDGETS);
	flushing = true;
	for (int i = 0; i < n; i++)
	{
		/* a row without counts could conflict with a dump's */
		if (i >= nwritten && budgets[i].spent == 0)
			continue;
		if (i >= nwritten || written[i].id != budgets[i].id ||
			written[i].since != budgets[i].since || written[i].starts != budgets[i].starts ||
			written[i].spent != budgets[i].spent)
			write_budget(&budgets[i]);
	}
	if (n >= 0 && n < nwritten)
		(void) oss_statement_execute(&delete_spent, NULL, NULL, SPI_OK_DELETE);
	if (written == NULL)
		written = MemoryContextAlloc(TopMemoryContext, sizeof(OssBudget) * OSS_MOST_BUDGETS);
	nwritten = Max(n, 0);
	memcpy(written, budgets, sizeof(OssBudget) * nwritten);
	pfree(budgets);
}
