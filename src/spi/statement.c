/*-------------------------------------------------------------------------
 * statement.c
 *	  Running SQL statements.
 *
 * The tables belong to the extension's owner; callers need no privilege on
 * them.  The statements qualify every relation.  The search path is fixed for
 * operators, and because kept plans depend on it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "client/budget.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "spi/statement.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Rows fetched at once by oss_query_read(). */
#define ROWS_AT_ONCE 10000

/*
 * Settings of our statements; the first STORE_SETTINGS are those of all uses
 * but INSERT.  Paid answers must be stored whatever temp_file_limit of the
 * session is.  Statistics of the queue are always stale (it is empty one
 * moment and full the next), so the planner is told to use the indexes; jit
 * would only cost time.
 */
#define STORE_SETTINGS 2
static const char *const statement_settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"temp_file_limit", "-1"},
	{"enable_seqscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"jit", "off"},
};

Oid
oss_table_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

Oid
oss_extension_owner(void)
{
	return oss_table_owner(get_relname_relid("job",
											 get_namespace_oid("oss_labels", true)));
}

HeapTuple
oss_catalog_row(Oid catalog, Oid index, AttrNumber column, Oid oid)
{
	Relation	relation = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(relation, index, true, NULL, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		row = heap_copytuple(row);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return row;
}

char *
oss_extension_version(void)
{
	Oid			extension = get_extension_oid("oss_labels", true);
	HeapTuple	row = oss_catalog_row(ExtensionRelationId, ExtensionOidIndexId,
									  Anum_pg_extension_oid, extension);
	Relation	relation;
	bool		isnull;
	Datum		value;

	if (!HeapTupleIsValid(row))
		return NULL;
	relation = table_open(ExtensionRelationId, AccessShareLock);
	value = heap_getattr(row, Anum_pg_extension_extversion,
						 RelationGetDescr(relation), &isnull);
	table_close(relation, AccessShareLock);
	return TextDatumGetCString(value);
}

static void
raise_not_installed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"oss_labels\" is not installed in this database"),
			 errhint("Use CREATE EXTENSION oss_labels.")));
}

Relation
oss_own_table_open(const char *name, LOCKMODE mode)
{
	Relation	relation = NULL;

	/* while we wait for the lock, the table may be dropped, and another made */
	while (relation == NULL)
	{
		Oid			schema = get_namespace_oid("oss_labels", true);
		Oid			relid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

		if (!OidIsValid(relid))
			raise_not_installed();
		relation = try_table_open(relid, mode);
	}
	return relation;
}

const char *
oss_own_tables_lock(const char *const *names, int n)
{
	Oid			schema = get_namespace_oid("oss_labels", true);

	for (int i = 0; i < n; i++)
	{
		Oid			table = get_relname_relid(names[i], schema);

		if (!OidIsValid(table) || !ConditionalLockRelationOid(table, RowExclusiveLock))
			return names[i];
	}
	return NULL;
}

static void
become_owner(const OssStatementState *state)
{
	Oid			owner = oss_extension_owner();

	if (!OidIsValid(owner))
		raise_not_installed();
	SetUserIdAndSecContext(owner, state->seccontext |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
}

void
oss_statement_begin(OssStatementState *state, OssStatementUse use)
{
	MemoryContext caller = CurrentMemoryContext;
	int			settings = use == OSS_STATEMENT_PINNED ? 1 :
	use == OSS_STATEMENT_STORE ? STORE_SETTINGS : lengthof(statement_settings);

	SPI_connect();
	MemoryContextSwitchTo(caller);
	GetUserIdAndSecContext(&state->userid, &state->seccontext);
	if (use != OSS_STATEMENT_CALLER && use != OSS_STATEMENT_PINNED)
		become_owner(state);
	state->guc_level = 0;
	if (use == OSS_STATEMENT_CALLER || use == OSS_STATEMENT_INSERT)
		return;
	state->guc_level = NewGUCNestLevel();
	for (int i = 0; i < settings; i++)
		(void) set_config_option(statement_settings[i][0], statement_settings[i][1],
								 PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

void
oss_statement_end(const OssStatementState *state)
{
	MemoryContext caller = CurrentMemoryContext;

	if (state->guc_level != 0)
		AtEOXact_GUC(false, state->guc_level);
	SetUserIdAndSecContext(state->userid, state->seccontext);
	SPI_finish();
	MemoryContextSwitchTo(caller);
}

/* Prepare a statement with cursor options. */
static SPIPlanPtr
prepare_plan(const char *sql, int nargs, Oid *types, int options)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, options);

	MemoryContextSwitchTo(caller);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

SPIPlanPtr
oss_query_prepare(const char *sql, int nargs, Oid *types)
{
	return prepare_plan(sql, nargs, types, 0);
}

void
oss_query_keep(SPIPlanPtr plan)
{
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a plan");
}

/* Restores CurrentMemoryContext, which SPI changes. */
uint64
oss_statement_execute_in(Snapshot snapshot, OssPlan *plan, Datum *values,
						 const char *nulls, int expect)
{
	static const int options[] = {
		[OSS_PLAN_GENERIC] = CURSOR_OPT_GENERIC_PLAN,
		[OSS_PLAN_READ_MANY] = CURSOR_OPT_CUSTOM_PLAN
	};
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	if (plan->plan == NULL)
	{
		SPIPlanPtr	made = prepare_plan(plan->sql, plan->nargs, plan->types,
										options[plan->kind]);

		oss_query_keep(made);
		plan->plan = made;
	}
	result = SPI_execute_snapshot(plan->plan, values, nulls, snapshot,
								  InvalidSnapshot,
								  plan->kind != OSS_PLAN_GENERIC, true, 0);
	MemoryContextSwitchTo(caller);
	if (result != expect)
		elog(ERROR, "unexpected result of \"%s\": %s", plan->sql,
			 SPI_result_code_string(result));
	return SPI_processed;
}

uint64
oss_statement_execute(OssPlan *plan, Datum *values, const char *nulls, int expect)
{
	return oss_statement_execute_in(InvalidSnapshot, plan, values, nulls, expect);
}

uint64
oss_statement_run(OssStatementUse use, OssPlan *plan, Datum *values,
				  const char *nulls, int expect)
{
	OssStatementState state;
	uint64		rows;

	oss_statement_begin(&state, use);
	rows = oss_statement_execute(plan, values, nulls, expect);
	oss_statement_end(&state);
	return rows;
}

uint64
oss_query_read(SPIPlanPtr plan, Datum *values, bool read_only,
			   void (*take) (uint64 row, void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	Portal		portal = SPI_cursor_open(NULL, plan, values, NULL, read_only);
	uint64		rows = 0;

	for (;;)
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_ONCE);
		MemoryContextSwitchTo(caller);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			take(i, arg);
		rows += SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextSwitchTo(caller);
	return rows;
}

void
oss_query_read_guarded(SPIPlanPtr plan, Datum *values, bool read_only,
					   void (*take) (uint64 row, void *arg), void *arg)
{
	bool		before = XactReadOnly;

	XactReadOnly = true;
	oss_requests_forbidden++;
	PG_TRY();
	{
		(void) oss_query_read(plan, values, read_only, take, arg);
	}
	PG_FINALLY();
	{
		oss_requests_forbidden--;
		XactReadOnly = before;
	}
	PG_END_TRY();
}

void
oss_procedure_begin(void)
{
	SPI_connect_ext(SPI_OPT_NONATOMIC);
}

void
oss_procedure_end(void)
{
	SPI_finish();
}

Datum
oss_result_column(uint64 row, int i, bool *isnull)
{
	bool		ignored;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i,
						 isnull ? isnull : &ignored);
}

char *
oss_result_string(uint64 row, int i)
{
	bool		isnull;
	Datum		value = oss_result_column(row, i, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
