/*-------------------------------------------------------------------------
 * partition_gone.c
 *	  Cancelling jobs of partitions that are truncated or dropped.
 *
 * A TRUNCATE or DROP TABLE that names a partition fires no trigger of the
 * watched table above it, whose jobs do not say which partition they come from.
 * So the partition is read before the command, if the watched table has jobs.
 * The lock taken for that is released again, since a weaker lock held when the
 * command takes its own could cause deadlocks.  Rows that are written in between
 * keep their jobs.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "spi/subtransaction.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "watch/changed_rows.h"
#include "watch/partition_gone.h"
#include "watch/trigger_columns.h"

/* A partition, the argument of leaf_step(). */
typedef struct Leaf
{
	Oid			relid;
	bool		truncated;		/* not dropped */
} Leaf;

/* Cancel the jobs of a partition's rows by the clone of an ancestor's trigger. */
static void
cancel_by_clone(Relation relation, Trigger *trigger, bool truncated)
{
	TriggerData call = {
		.type = T_TriggerData,
		.tg_event = TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW,
		.tg_relation = relation,
		.tg_trigger = trigger
	};
	OssWatch   *watch = oss_watch_enter(&call);

	PG_TRY();
	{
		/*
		 * A condition is code of the table's owner.  TRUNCATE runs the
		 * owner's triggers as well, but DROP TABLE, perhaps by a superuser,
		 * does not.
		 */
		if (watch->problem == NULL && (truncated || watch->condition == NULL))
			oss_watch_cancel_relation(watch, &call);
	}
	PG_FINALLY();
	{
		oss_watch_leave(watch);
	}
	PG_END_TRY();
}

/* Subtransaction: cancel the jobs of a partition's rows. */
static void
leaf_step(void *arg)
{
	const Leaf *leaf = arg;
	Relation	relation;
	TriggerDesc *all = NULL;

	/* do not wait: the holder of the lock may still write rows */
	if (!ConditionalLockRelationOid(leaf->relid, AccessShareLock))
		return;
	relation = try_relation_open(leaf->relid, NoLock);

	/* a copy, since an invalidation frees the relation's */
	if (relation && relation->rd_rel->relkind == RELKIND_RELATION)
		all = CopyTriggerDesc(relation->trigdesc);
	for (int i = 0; all && i < all->numtriggers; i++)
	{
		Trigger    *trigger = &all->triggers[i];

		if (trigger->tgisclone && trigger->tgenabled != TRIGGER_DISABLED &&
			TRIGGER_FOR_DELETE(trigger->tgtype) &&
			oss_watch_is_enqueue_trigger(trigger->tgfoid))
			cancel_by_clone(relation, trigger, leaf->truncated);
	}
	if (relation)
		relation_close(relation, NoLock);
	UnlockRelationOid(leaf->relid, AccessShareLock);
}

/* May the user truncate or drop a table? */
static bool
may_leave(Oid relid, bool truncated)
{
	if (oss_class_ownercheck(relid, GetUserId()))
		return true;
	if (truncated)
		return pg_class_aclcheck(relid, GetUserId(), ACL_TRUNCATE) == ACLCHECK_OK;
	return oss_schema_ownercheck(get_rel_namespace(relid), GetUserId());
}

/* Cancel the jobs of a partition, if the user may truncate or drop it. */
static void
leave_partition(const RangeVar *name, bool truncated)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);
	ListCell   *cell;

	if (!OidIsValid(relid) || !get_rel_relispartition(relid) ||
		!may_leave(relid, truncated))
		return;
	foreach(cell, find_all_inheritors(relid, NoLock, NULL))
	{
		Leaf		leaf = {.relid = lfirst_oid(cell),.truncated = truncated};
		ErrorData  *error = oss_subtransaction(leaf_step, &leaf);

		if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		if (error)
			elog(DEBUG1, "jobs of a partition were not cancelled: %s", error->message);
	}
}

void
oss_watch_partitions_gone(Node *statement)
{
	ListCell   *cell;

	/* a restore or a bulk load cancels nothing; see enqueue_trigger.c */
	if (!IsTransactionState() || XactReadOnly ||
		SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return;
	if (IsA(statement, TruncateStmt))
	{
		foreach(cell, ((TruncateStmt *) statement)->relations)
			leave_partition(lfirst_node(RangeVar, cell), true);
	}
	else if (((DropStmt *) statement)->removeType == OBJECT_TABLE)
	{
		foreach(cell, ((DropStmt *) statement)->objects)
			leave_partition(makeRangeVarFromNameList(lfirst_node(List, cell)), false);
	}
}
