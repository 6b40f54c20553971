/*-------------------------------------------------------------------------
 * watch_check.c
 *	  Warnings about watches that DDL has broken.
 *
 * A trigger detects that its column or condition is not valid any more when
 * rows are written, often by a program whose warnings nobody reads.  So the
 * role that runs the DDL is warned at once.  Conditions are parsed but not
 * evaluated: they are code of the table's owner, and the DDL may be a
 * superuser's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "parser/scansup.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "watch/trigger_columns.h"
#include "watch/watch_check.h"
#include "watch/watch_condition.h"

/* State of a check. */
typedef struct Check
{
	Relation	relation;
	const Trigger *trigger;
	List	   *names;			/* names of which a condition must mention
								 * one; NIL: any condition */
	char	   *problem;		/* of a column, or NULL */
	MemoryContext context;		/* of the problem and of lists */
	OssPlan    *plan;			/* of list_step() */
	List	   *relids;
} Check;

/* The watched tables; few. */
static OssPlan list_watched = {
	"SELECT DISTINCT t FROM oss_labels.watched w,"
	" oss_labels.watched_table(w.columns) t WHERE t IS NOT NULL",
	0, {0}
};

/*
 * Objects dropped by a command: the tables of dropped columns, and the names
 * of others.
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

/* Does a text contain a name, in any case? */
static bool
mentions_name(const char *text, const char *name)
{
	char	   *lower_text = downcase_identifier(text, strlen(text), false, false);
	char	   *lower_name = downcase_identifier(name, strlen(name), false, false);

	return strstr(lower_text, lower_name) != NULL;
}

/* Does a condition mention one of the names? */
static bool
is_concerned(const Check *check, const char *condition)
{
	ListCell   *cell;

	if (check->names == NIL)
		return true;
	foreach(cell, check->names)
	{
		if (condition && mentions_name(condition, lfirst(cell)))
			return true;
	}
	return false;
}

/* Subtransaction: resolve a trigger as a call of it would. */
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

/*
 * Warn of a trigger's problem, if any.  Returns whether it has one.  The
 * problem begins in lower case, since the trigger's own warning includes it
 * in a sentence.
 */
static bool
warn_of_trigger(Check *check)
{
	ErrorData  *error = oss_subtransaction(check_step, check);
	const char *table = RelationGetRelationName(check->relation);

	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	/* the role that runs the DDL may lack privileges that writers have */
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

/* Check the triggers of a table, with one warning at most. */
static void
check_table(Oid relid, List *names)
{
	Check		check = {.names = names,.context = CurrentMemoryContext};
	TriggerDesc *all;

	/* do not wait: the trigger will warn later */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return;
	check.relation = try_relation_open(relid, NoLock);
	if (check.relation == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return;
	}

	/* a copy, since an invalidation frees the relation's */
	all = CopyTriggerDesc(check.relation->trigdesc);
	for (int i = 0; all && i < all->numtriggers; i++)
	{
		check.trigger = &all->triggers[i];
		if (!check.trigger->tgisclone &&
			oss_watch_is_enqueue_trigger(check.trigger->tgfoid) &&
			warn_of_trigger(&check))
			break;
	}
	relation_close(check.relation, AccessShareLock);
}

/* Subtransaction: run the plan and add the rows of its result. */
static void
list_step(void *arg)
{
	Check	   *check = arg;
	MemoryContext old = MemoryContextSwitchTo(check->context);
	OssStatementState state;
	uint64		n;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	n = oss_statement_execute(check->plan, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		Oid			relid = DatumGetObjectId(oss_result_column(i, 1, NULL));
		char	   *name = check->plan == &list_dropped ? oss_result_string(i, 2) : NULL;

		if (OidIsValid(relid))
			check->relids = list_append_unique_oid(check->relids, relid);
		if (name)
			check->names = lappend(check->names, name);
	}
	oss_statement_end(&state);
	MemoryContextSwitchTo(old);
}

/* List watched tables or dropped objects, ignoring an error. */
static void
list_objects(Check *check, OssPlan *plan)
{
	ErrorData  *error;

	check->plan = plan;
	error = oss_subtransaction(list_step, check);
	if (error == NULL)
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	elog(DEBUG1, "watches were not checked: %s", error->message);
}

/* Check these tables, then all conditions that mention one of the names. */
static void
check_all(List *relids, List *names)
{
	Check		check = {.context = CurrentMemoryContext};
	ListCell   *cell;

	foreach(cell, relids)
		check_table(lfirst_oid(cell), NIL);
	if (names == NIL)
		return;
	list_objects(&check, &list_watched);
	foreach(cell, list_difference_oid(check.relids, relids))
		check_table(lfirst_oid(cell), names);
}

void
oss_watch_check(Oid relid, List *names)
{
	check_all(OidIsValid(relid) ? find_all_inheritors(relid, NoLock, NULL) : NIL,
			  names);
}

void
oss_watch_check_dropped(void)
{
	Check		check = {.context = CurrentMemoryContext};

	list_objects(&check, &list_dropped);
	check_all(check.relids, check.names);
}
