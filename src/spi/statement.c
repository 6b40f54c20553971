/*-------------------------------------------------------------------------
 * statement.c
 *	  How statements on the extension's tables are run.
 *
 * The tables belong to the extension's owner and callers need no right on
 * them.  The statements name every relation with its schema; the search path
 * is pinned for the operators, and because kept plans depend on it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "spi/statement.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/*
 * Settings that our statements run under, first those of all but INSERT.  What is
 * paid for must be stored, whatever a session may write to temporary files.  The
 * queue's statistics are always stale (it is empty one moment and full the next)
 * so that the planner is told to use the indexes, and jit would only cost.
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

/* Return the OID of oss_labels.job, or InvalidOid. */
static Oid
job_table(void)
{
	Oid			schema = get_namespace_oid("oss_labels", true);

	return OidIsValid(schema) ? get_relname_relid("job", schema) : InvalidOid;
}

/* Return the owner of a table, InvalidOid when there is none. */
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

/* Return the extension's owner: that of its tables. */
Oid
oss_extension_owner(void)
{
	return oss_table_owner(job_table());
}

/* Become the extension's owner with our settings. */
void
oss_statement_begin(OssStatementState *state, OssStatementUse use)
{
	Oid			owner = oss_extension_owner();
	int			settings = use == OSS_STATEMENT_STORE ? STORE_SETTINGS :
	lengthof(statement_settings);

	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"oss_labels\" is not installed in this database"),
				 errhint("Use CREATE EXTENSION oss_labels.")));
	GetUserIdAndSecContext(&state->userid, &state->seccontext);
	SetUserIdAndSecContext(owner, state->seccontext |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
	state->guc_level = 0;
	if (use == OSS_STATEMENT_INSERT)
		return;
	state->guc_level = NewGUCNestLevel();
	for (int i = 0; i < settings; i++)
		(void) set_config_option(statement_settings[i][0], statement_settings[i][1],
								 PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Become the caller again. */
void
oss_statement_end(const OssStatementState *state)
{
	if (state->guc_level != 0)
		AtEOXact_GUC(false, state->guc_level);
	SetUserIdAndSecContext(state->userid, state->seccontext);
}

/* Prepare a plan to be kept. */
static void
prepare_statement(OssPlan *plan)
{
	SPIPlanPtr	made;

	made = SPI_prepare_cursor(plan->sql, plan->nargs, plan->types,
							  CURSOR_OPT_GENERIC_PLAN);
	if (made == NULL || SPI_keepplan(made) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", plan->sql,
			 SPI_result_code_string(SPI_result));
	plan->plan = made;
}

/*
 * Execute a plan, preparing it when it is its first time.  SPI leaves its own
 * memory context as the current one: that is undone.
 */
static void
execute(OssPlan *plan, Datum *values, const char *nulls, Snapshot snapshot,
		int expect)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	if (plan->plan == NULL)
		prepare_statement(plan);
	result = SPI_execute_snapshot(plan->plan, values, nulls, snapshot,
								  InvalidSnapshot, false, true, 0);
	MemoryContextSwitchTo(caller);
	if (result != expect)
		elog(ERROR, "unexpected result of \"%s\": %s", plan->sql,
			 SPI_result_code_string(result));
}

/* Execute a plan. */
void
oss_statement_execute(OssPlan *plan, Datum *values, const char *nulls, int expect)
{
	execute(plan, values, nulls, InvalidSnapshot, expect);
}

/* Execute a plan on what is committed now. */
void
oss_statement_execute_latest(OssPlan *plan, Datum *values, int expect)
{
	execute(plan, values, NULL, GetLatestSnapshot(), expect);
}

/* Return a column of a row of the result. */
Datum
oss_result_column(uint64 row, int i, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i,
						 isnull);
}

/* Return a text column as a string in CurrentMemoryContext, or NULL. */
char *
oss_result_string(uint64 row, int i)
{
	bool		isnull;
	Datum		value = oss_result_column(row, i, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
