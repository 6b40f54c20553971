/*-------------------------------------------------------------------------
 * watch_check.c
 *	  Warnings about watches that DDL has ended.
 *
 * A trigger notices that its column or its condition is gone when rows are
 * written, often by a program that nobody reads the warnings of.  The role that
 * runs the DDL is told at once.  Conditions are parsed and not run: they are
 * code of the table's owner, and the DDL may be a superuser's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "parser/scansup.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "watch/trigger_columns.h"
#include "watch/watch_check.h"
#include "watch/watch_condition.h"

/* What a check works on. */
typedef struct Check
{
	Relation	relation;
	const Trigger *trigger;
	List	   *names;			/* that a condition must mention; NIL: any */
	char	   *problem;		/* of a column; NULL: none */
	MemoryContext context;		/* of the problem and of lists */
	List	   *relids;
} Check;

/* Tables with watches, as the worker knows them; a handful. */
static OssPlan list_watched = {
	"SELECT DISTINCT t FROM oss_labels.watched w,"
	" oss_labels.watched_table(w.columns) t WHERE t IS NOT NULL",
	0, {0}
};

/*
 * What a command dropped: the tables that columns were dropped from, and the
 * names of the rest.
 */
static OssPlan list_dropped = {
	"SELECT CASE WHEN d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
	" AND d.objsubid > 0 THEN d.objid ELSE 0::pg_catalog.oid END,"
	" d.address_names[pg_catalog.cardinality(d.address_names)]"
	" FROM pg_catalog.pg_event_trigger_dropped_objects() d"
	" WHERE NOT d.is_temporary AND pg_catalog.cardinality(d.address_names) > 0"
	" AND EXISTS (SELECT FROM oss_labels.watched)",
	0, {0}
};

/* Does a text mention a name, in whatever case? */
static bool
mentions(const char *text, const char *name)
{
	char	   *lower_text = downcase_identifier(text, strlen(text), false, false);
	char	   *lower_name = downcase_identifier(name, strlen(name), false, false);

	return strstr(lower_text, lower_name) != NULL;
}

/* Does a condition mention one of the names that are looked for? */
static bool
is_concerned(const Check *check, const char *condition)
{
	ListCell   *cell;

	if (check->names == NIL)
		return true;
	foreach(cell, check->names)
	{
		if (condition && mentions(condition, lfirst(cell)))
			return true;
	}
	return false;
}

/* Step: resolve a trigger as it will when it is called. */
static void
check_step(void *arg)
{
	Check	   *check = arg;
	TriggerData call = {
		.type = T_TriggerData,
		.tg_relation = check->relation,
		.tg_trigger = unconstify(Trigger *, check->trigger)
	};
	OssWatch   *watch = oss_watch_enter(&call);

	PG_TRY();
	{
		bool		concerned = !watch->shadowed &&
		is_concerned(check, watch->condition);

		if (concerned && watch->problem)
			check->problem = MemoryContextStrdup(check->context, watch->problem);
		else if (concerned && watch->condition)
			oss_condition_check(check->relation, watch->watched,
								watch->condition);
	}
	PG_FINALLY();
	{
		oss_watch_leave(watch);
	}
	PG_END_TRY();
}

/* Is a trigger one of ours that was made on this table? */
static bool
is_ours(const Trigger *trigger)
{
	char	   *function;

	if (trigger->tgisclone)
		return false;
	function = get_func_name(trigger->tgfoid);
	return function && strcmp(function, "enqueue_trigger") == 0 &&
		get_func_namespace(trigger->tgfoid) == get_namespace_oid("oss_labels", true);
}

/*
 * Say what is wrong with a trigger; returns whether something is.  The problem
 * begins in lower case, as the trigger's own warning has it inside a sentence.
 */
static bool
warn_of_trigger(Check *check)
{
	ErrorData  *error = oss_subtransaction(check_step, check);
	const char *table = RelationGetRelationName(check->relation);

	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	/* the role that runs the DDL may see less than those that write rows */
	if (error && error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		error = NULL;
	if (error)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("images of table \"%s\" cannot be queued any more", table),
				 errdetail("Its condition fails: %s.", error->message),
				 errhint("Rows can be written; their images go into oss_labels.failed_job. Call oss_labels.watch() with a condition that works, or oss_labels.unwatch().")));
	else if (check->problem)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("images of table \"%s\" cannot be queued any more", table),
				 errdetail("%c%s.", pg_toupper((unsigned char) check->problem[0]),
						   check->problem + 1),
				 errhint("Rows can be written. Call oss_labels.watch() with columns that the table has, or oss_labels.unwatch(); drop a trigger that was made by hand.")));
	return error != NULL || check->problem != NULL;
}

/* Check the triggers of a table; one warning is enough. */
static void
check_table(Oid relid, List *names)
{
	Check		check = {.names = names,.context = CurrentMemoryContext};

	/* somebody who locks it will be told by the trigger */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return;
	check.relation = try_relation_open(relid, NoLock);
	if (check.relation == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return;
	}
	for (int i = 0; check.relation->trigdesc &&
		 i < check.relation->trigdesc->numtriggers; i++)
	{
		check.trigger = &check.relation->trigdesc->triggers[i];
		if (is_ours(check.trigger) && warn_of_trigger(&check))
			break;
	}
	relation_close(check.relation, AccessShareLock);
}

/* Run one of the plans and add the rows of its result. */
static void
run_plan(Check *check, OssPlan *plan, bool has_names)
{
	MemoryContext old = MemoryContextSwitchTo(check->context);
	OssStatementState state;
	uint64		n;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	n = oss_statement_execute(plan, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		Oid			relid = DatumGetObjectId(oss_result_column(i, 1, NULL));

		if (OidIsValid(relid))
			check->relids = list_append_unique_oid(check->relids, relid);
		if (has_names)
			check->names = lappend(check->names, oss_result_string(i, 2));
	}
	oss_statement_end(&state);
	MemoryContextSwitchTo(old);
}

/* Step: list the tables that are watched. */
static void
watched_step(void *arg)
{
	run_plan(arg, &list_watched, false);
}

/* Step: list what was dropped. */
static void
dropped_step(void *arg)
{
	run_plan(arg, &list_dropped, true);
}

/* Run a step that lists something; an error of it is nobody's trouble. */
static void
list_something(void (*step) (void *), Check *check)
{
	ErrorData  *error = oss_subtransaction(step, check);

	if (error == NULL)
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	elog(DEBUG1, "watches were not checked: %s", error->message);
}

/* Check some tables, then the others' conditions that mention names. */
static void
check_all(List *relids, List *names)
{
	Check		check = {.context = CurrentMemoryContext};
	ListCell   *cell;

	foreach(cell, relids)
		check_table(lfirst_oid(cell), NIL);
	if (names == NIL)
		return;
	list_something(watched_step, &check);
	foreach(cell, list_difference_oid(check.relids, relids))
		check_table(lfirst_oid(cell), names);
}

/* Check watches after something was changed. */
void
oss_watch_check(Oid relid, List *names)
{
	check_all(OidIsValid(relid) ? find_all_inheritors(relid, NoLock, NULL) : NIL,
			  names);
}

/* Check watches after something was dropped. */
void
oss_watch_check_dropped(void)
{
	Check		check = {.context = CurrentMemoryContext};

	list_something(dropped_step, &check);
	check_all(check.relids, check.names);
}
