/*-------------------------------------------------------------------------
 * watch_ddl.c
 *	  DDL that the queue follows, by an event trigger.
 *
 * ALTER SERVER ... RENAME: jobs, failed jobs, pauses and watched tables have the
 * server's OID, which keeps them in this database.  Their names are for dumps.
 * ALTER TABLE ... ENABLE TRIGGER: it has the trigger for logical
 * replication fire for everybody but logical replication.
 * What drops, retypes or renames a thing that a watch needs: see watch_check.c.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "queue/worker_slot.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "watch/trigger_columns.h"
#include "watch/watch_check.h"

PG_FUNCTION_INFO_V1(oss_labels_follow_ddl);

/*
 * Old name and new one.  What somebody has locked keeps the name that it has,
 * as what was locked when the server was renamed before did.
 */
#define OURS(table) \
	"WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM oss_labels." table " t" \
	" WHERE t.server <> $2" \
	" AND oss_labels.server_of(t.origin, t.server_id, t.server) IN ($1, $2)" \
	" FOR UPDATE SKIP LOCKED))"
#define RENAME(table) \
	{"UPDATE oss_labels." table " SET server = $2 " OURS(table), \
	2, {TEXTOID, TEXTOID}}

static OssPlan rename_server[] = {
	/* a pause of a server that is gone must not become another's */
	{"DELETE FROM oss_labels.pause WHERE ctid = ANY (ARRAY("
		"SELECT h.ctid FROM oss_labels.pause h WHERE h.server = $2"
		" AND $1 IS NOT NULL AND NOT EXISTS (SELECT FROM pg_foreign_server s"
		" WHERE s.oid = h.server_id AND h.origin = oss_labels.origin())"
		" FOR UPDATE OF h SKIP LOCKED))",
	2, {TEXTOID, TEXTOID}},
	RENAME("pause"),
	RENAME("watched"),
	RENAME("failed_job"),
	RENAME("job")
};

/* Step: rename a server where it is named. */
static void
rename_step(void *arg)
{
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	for (int i = 0; i < lengthof(rename_server); i++)
		oss_statement_execute_in(GetLatestSnapshot(), &rename_server[i], arg, NULL,
								 i == 0 ? SPI_OK_DELETE : SPI_OK_UPDATE);
	oss_statement_end(&state);
}

/*
 * Follow a server's new name.  The worker has changed rows since a REPEATABLE
 * READ transaction's snapshot, and may do so now: that is not to fail the DDL.
 */
static void
follow_server(const char *old, const char *new)
{
	Datum		values[] = {CStringGetTextDatum(old), CStringGetTextDatum(new)};
	ErrorData  *error = oss_subtransaction(rename_step, values);

	if (error && error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE)
		ReThrowError(error);
	oss_wake_at_commit();
}

/* Does a command of ALTER TABLE enable triggers? */
static bool
enables_triggers(const AlterTableStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		const AlterTableCmd *command = lfirst(cell);

		if (command->subtype == AT_EnableTrig ||
			command->subtype == AT_EnableTrigAll ||
			command->subtype == AT_EnableTrigUser)
			return true;
	}
	return false;
}

/*
 * How is a trigger to be enabled that is so as others are?  One of watch()'s
 * serves logical replication, and one TRUNCATE here and there.
 */
static char
firing(Form_pg_trigger form)
{
	Trigger		trigger = {.tgname = NameStr(form->tgname)};
	char	   *function;

	function = get_func_name(form->tgfoid);
	if (form->tgenabled != TRIGGER_FIRES_ON_ORIGIN ||
		function == NULL || strcmp(function, "enqueue_trigger") != 0 ||
		get_func_namespace(form->tgfoid) != get_namespace_oid("oss_labels", true))
		return form->tgenabled;
	if (oss_watch_is_replica(&trigger))
		return TRIGGER_FIRES_ON_REPLICA;
	return strcmp(trigger.tgname, "oss_labels_truncate") == 0 ?
		TRIGGER_FIRES_ALWAYS : form->tgenabled;
}

/* Have triggers fire where they are to. */
static void
mend_triggers(Oid relid)
{
	Relation	catalog = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		mended = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		HeapTuple	copy;
		char		enabled = firing((Form_pg_trigger) GETSTRUCT(tuple));

		if (enabled == ((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled)
			continue;
		copy = heap_copytuple(tuple);
		((Form_pg_trigger) GETSTRUCT(copy))->tgenabled = enabled;
		CatalogTupleUpdate(catalog, &copy->t_self, copy);
		heap_freetuple(copy);
		mended = true;
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
	if (mended)
		CacheInvalidateRelcacheByRelid(relid);
}

/* Add the column that a command gives a new type, if it is one. */
static List *
add_retyped(List *names, const AlterTableCmd *command)
{
	return command->subtype == AT_AlterColumnType ?
		lappend(names, command->name) : names;
}

/*
 * Follow ALTER TABLE ... ENABLE TRIGGER, which reaches partitions, too.  A new
 * type can end a watch.  So can a dropped column: oss_watch_check_dropped().
 */
static void
follow_table(const AlterTableStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);
	List	   *retyped = NIL;
	ListCell   *cell;

	if (!OidIsValid(relid))
		return;
	if (enables_triggers(statement))
	{
		foreach(cell, find_all_inheritors(relid, NoLock, NULL))
			mend_triggers(lfirst_oid(cell));
	}
	foreach(cell, statement->cmds)
		retyped = add_retyped(retyped, lfirst(cell));
	if (retyped != NIL)
		oss_watch_check(relid, retyped);
}

/* Return the last name of an object that has several. */
static List *
last_name(Node *object)
{
	List	   *names = NIL;

	if (object && IsA(object, ObjectWithArgs))
		names = ((ObjectWithArgs *) object)->objname;
	else if (object && IsA(object, List))
		names = (List *) object;
	else if (object && IsA(object, TypeName))
		names = ((TypeName *) object)->names;
	return names == NIL ? NIL : list_make1(strVal(llast(names)));
}

/*
 * Check watches after an object got another name.  A trigger follows its own
 * table's columns unless it was made by hand, and a condition has everything
 * else by its name.
 */
static void
follow_rename(const RenameStmt *statement)
{
	if (statement->renameType == OBJECT_FOREIGN_SERVER)
		follow_server(strVal(statement->object), statement->newname);
	else if (statement->renameType == OBJECT_COLUMN && statement->relation)
		oss_watch_check(RangeVarGetRelid(statement->relation, NoLock, true),
						list_make1(statement->subname));
	else if (statement->renameType == OBJECT_SCHEMA)
		oss_watch_check(InvalidOid, list_make1(statement->subname));
	else
		oss_watch_check(InvalidOid, statement->relation ?
						list_make1(statement->relation->relname) :
						last_name(statement->object));
}

/* Check watches after an object got into another schema. */
static void
follow_schema(const AlterObjectSchemaStmt *statement)
{
	oss_watch_check(InvalidOid, statement->relation ?
					list_make1(statement->relation->relname) :
					last_name(statement->object));
}

/* oss_labels.follow_ddl() */
Datum
oss_labels_follow_ddl(PG_FUNCTION_ARGS)
{
	EventTriggerData *data;
	Node	   *statement;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("oss_labels.follow_ddl() must be called by an event trigger")));
	data = (EventTriggerData *) fcinfo->context;
	statement = data->parsetree;
	if (strcmp(data->event, "sql_drop") == 0)
		oss_watch_check_dropped();
	else if (statement && IsA(statement, RenameStmt))
		follow_rename((RenameStmt *) statement);
	else if (statement && IsA(statement, AlterObjectSchemaStmt))
		follow_schema((AlterObjectSchemaStmt *) statement);
	else if (statement && IsA(statement, AlterTableStmt))
		follow_table((AlterTableStmt *) statement);
	return PointerGetDatum(NULL);
}
