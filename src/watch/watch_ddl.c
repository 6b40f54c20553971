/*-------------------------------------------------------------------------
 * watch_ddl.c
 *	  The event trigger for DDL that concerns the queue.
 *
 * ALTER SERVER ... RENAME: rows of the queue have the server's OID, which counts
 * in this database, and its name for dumps; the name is updated.
 * ALTER TABLE ... ENABLE TRIGGER, as by pg_restore --disable-triggers, would make
 * triggers for logical replication fire in sessions and not in replication; their
 * state is restored.
 * DDL that drops, renames or changes the type of objects used by a watch: see
 * watch_check.c.
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
#include "compat.h"
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
 * Parameters: old and new name.  Locked rows keep their name, as did rows
 * that were locked at an earlier rename.
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
	/* a pause of a dropped server must not become the new one's */
	{"DELETE FROM oss_labels.active_pause WHERE ctid = ANY (ARRAY("
		"SELECT h.ctid FROM oss_labels.active_pause h WHERE h.server = $2"
		" AND $1 IS NOT NULL AND NOT EXISTS (SELECT FROM pg_foreign_server s"
		" WHERE s.oid = h.server_id AND h.origin = oss_labels.origin())"
		" FOR UPDATE OF h SKIP LOCKED))",
	2, {TEXTOID, TEXTOID}},
	RENAME("active_pause"),

	/* counts by its OID anyway */
	{"UPDATE oss_labels.budget SET server = $2 " OURS("budget")
		" AND NOT EXISTS (SELECT FROM oss_labels.budget o WHERE o.server = $2)",
	2, {TEXTOID, TEXTOID}},
	RENAME("watched"),
	RENAME("failed_job"),
	RENAME("job")
};

/* Subtransaction: update the name of a server. */
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
 * Update a server's name in the queue.  The worker may have changed rows
 * since the snapshot of a REPEATABLE READ transaction, which must not fail
 * the DDL.
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

static bool
enables_triggers(const AlterTableStmt *statement)
{
	foreach_ptr(const AlterTableCmd, command, statement->cmds)
	{
		if (command->subtype == AT_EnableTrig ||
			command->subtype == AT_EnableTrigAll ||
			command->subtype == AT_EnableTrigUser)
			return true;
	}
	return false;
}

/* Functions whose triggers fire always, but image_learn. */
static const char *const always[] = {
	"refresh_vocabulary", "settle_vocabulary", "complete_label", "learn_labels",
	"enforce_bucket_grants", "budget_changed"
};

/*
 * Return the right tgenabled of a trigger: one trigger of watch() is for
 * logical replication only, and the one for TRUNCATE fires always.
 */
static char
right_firing(Form_pg_trigger form)
{
	Trigger		trigger = {.tgname = NameStr(form->tgname)};

	if (form->tgenabled != TRIGGER_FIRES_ON_ORIGIN ||
		get_func_namespace(form->tgfoid) != get_namespace_oid("oss_labels", true))
		return form->tgenabled;
	if (oss_watch_is_enqueue_trigger(form->tgfoid))
		return oss_watch_is_replica(&trigger) ? TRIGGER_FIRES_ON_REPLICA :
			strcmp(trigger.tgname, "oss_labels_truncate") == 0 ? TRIGGER_FIRES_ALWAYS :
			form->tgenabled;
	if (strcmp(trigger.tgname, "image_learn") == 0)
		return TRIGGER_FIRES_ON_REPLICA;
	for (int i = 0; i < lengthof(always); i++)
	{
		if (strcmp(get_func_name(form->tgfoid), always[i]) == 0)
			return TRIGGER_FIRES_ALWAYS;
	}
	return form->tgenabled;
}

/* Restore tgenabled of a table's triggers. */
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
		char		enabled = right_firing((Form_pg_trigger) GETSTRUCT(tuple));

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

/*
 * Handle ALTER TABLE: ENABLE TRIGGER, which also applies to partitions, and
 * new types of columns, which may break a watch.  Dropped columns: see
 * oss_watch_check_dropped().
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
	foreach_ptr(AlterTableCmd, command, statement->cmds)
	{
		if (command->subtype == AT_AlterColumnType)
			retyped = lappend(retyped, command->name);
	}
	if (retyped != NIL)
		oss_watch_check(relid, retyped);
}

/* Return the unqualified name of a relation, or of another object. */
static List *
last_name(const RangeVar *relation, Node *object)
{
	List	   *names = NIL;

	if (relation)
		return list_make1(relation->relname);
	if (object && IsA(object, ObjectWithArgs))
		names = ((ObjectWithArgs *) object)->objname;
	else if (object && IsA(object, List))
		names = (List *) object;
	else if (object && IsA(object, TypeName))
		names = ((TypeName *) object)->names;
	return names == NIL ? NIL : list_make1(strVal(llast(names)));
}

/*
 * Check watches after a rename.  A trigger of watch() tracks its own table's
 * columns; other triggers and conditions refer to objects by name.
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
		oss_watch_check(InvalidOid, last_name(statement->relation, statement->object));
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
		oss_watch_check(InvalidOid,
						last_name(((AlterObjectSchemaStmt *) statement)->relation,
								  ((AlterObjectSchemaStmt *) statement)->object));
	else if (statement && IsA(statement, AlterTableStmt))
		follow_table((AlterTableStmt *) statement);
	return PointerGetDatum(NULL);
}
