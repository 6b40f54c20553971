/*-------------------------------------------------------------------------
 * worker_settings.c
 *	  Settings that the launcher and the workers force on themselves.
 *
 * A worker connects like any session, with the settings of ALTER DATABASE and
 * ALTER ROLE.  This file overrides all that could change its results, stop it
 * or slow it down.  Logging, compression, collected statistics and memory for
 * maintenance are left to the operator.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "worker/worker.h"

/* Longest wait for a lock. */
#define LOCK_MS 200

/*
 * Names and values.  Names that this version of PostgreSQL does not have are
 * skipped.
 */
static const char *const settings[][2] = {
	/* role and name resolution */
	{"role", "none"},
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "off"},
	{"session_replication_role", "origin"},
	{"restrict_nonsystem_relation_kind", ""},

	/* reading and printing of values */
	{"standard_conforming_strings", "on"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"quote_all_identifiers", "off"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},

	/* limits on sessions, transactions and statements */
	{"exit_on_error", "off"},
	{"statement_timeout", "0"},
	{"transaction_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"client_connection_check_interval", "0"},
	{"temp_file_limit", "-1"},

	/* transactions; commits wait neither for a standby nor for the disk */
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"synchronous_commit", "off"},
	{"commit_delay", "0"},

	/* plans: the indexes are used, whatever the statistics say */
	{"enable_seqscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"enable_indexscan", "on"},
	{"enable_indexonlyscan", "on"},
	{"enable_bitmapscan", "on"},
	{"enable_tidscan", "on"},
	{"enable_nestloop", "on"},
	{"enable_sort", "on"},
	{"enable_hashagg", "on"},
	{"enable_material", "on"},
	{"enable_memoize", "on"},
	{"plan_cache_mode", "auto"},
	{"max_parallel_workers_per_gather", "0"},
	{"force_parallel_mode", "off"},
	{"debug_parallel_query", "off"},
	{"jit", "off"},
	{"geqo", "off"},
	{"from_collapse_limit", "8"},
	{"join_collapse_limit", "8"},
	{"constraint_exclusion", "partition"},
	{"cursor_tuple_fraction", "0.1"},
	{"recursive_worktable_factor", "10"},
	{"seq_page_cost", "1"},
	{"random_page_cost", "4"},
	{"cpu_tuple_cost", "0.01"},
	{"cpu_index_tuple_cost", "0.005"},
	{"cpu_operator_cost", "0.0025"},
	{"effective_cache_size", "4GB"},
	{"work_mem", "4MB"},
	{"hash_mem_multiplier", "2"},
	{"gin_fuzzy_search_limit", "0"},
};

/*
 * Time out before deadlock_timeout, so that in a deadlock the worker fails and
 * not a user's transaction.  Sessions of this database have the same
 * deadlock_timeout unless they set it.
 */
static void
set_lock_timeout(void)
{
	char		value[32];

	snprintf(value, sizeof(value), "%dms",
			 Max(Min(LOCK_MS, DeadlockTimeout / 2), 1));
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
oss_worker_settings(void)
{
	for (int i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET,
							PGC_S_OVERRIDE);
	}
	set_lock_timeout();
}

/* Find oss_labels.worker among settings, "name=value" each. */
static OssWorkerSwitch
find_switch(Datum array)
{
	static const char name[] = "oss_labels.worker=";
	Datum	   *elements;
	int			n;
	OssWorkerSwitch found = OSS_WORKER_UNSET;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *setting = TextDatumGetCString(elements[i]);
		bool		on;

		if (pg_strncasecmp(setting, name, strlen(name)) == 0 &&
			parse_bool(setting + strlen(name), &on))
			found = on ? OSS_WORKER_ON : OSS_WORKER_OFF;
	}
	return found;
}

/* Read the switch of a role in a database; InvalidOid: of any. */
static OssWorkerSwitch
read_worker_switch(Relation relation, Oid dbid, Oid roleid)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	OssWorkerSwitch found = OSS_WORKER_UNSET;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(dbid));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(roleid));
	scan = systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true,
							  NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		array = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										 RelationGetDescr(relation), &isnull);

		if (!isnull)
			found = find_switch(array);
	}
	systable_endscan(scan);
	return found;
}

/* The order is that of a session that connects. */
OssWorkerSwitch
oss_worker_switch(void)
{
	Relation	relation = table_open(DbRoleSettingRelationId, AccessShareLock);
	Oid			role = GetSessionUserId();
	OssWorkerSwitch found = read_worker_switch(relation, MyDatabaseId, role);

	if (found == OSS_WORKER_UNSET)
		found = read_worker_switch(relation, InvalidOid, role);
	if (found == OSS_WORKER_UNSET)
		found = read_worker_switch(relation, MyDatabaseId, InvalidOid);
	if (found == OSS_WORKER_UNSET)
		found = read_worker_switch(relation, InvalidOid, InvalidOid);
	table_close(relation, AccessShareLock);
	return found;
}
