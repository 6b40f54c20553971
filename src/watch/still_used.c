/*-------------------------------------------------------------------------
 * still_used.c
 *	  Whether a row of a watched table has the name of an image.
 *
 * Tables are read by their indexes and without the executor: no code of a user
 * runs as the extension's owner, no row security hides a row, and no other table
 * is read, such as a foreign one.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "spi/statement.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "watch/changed_rows.h"
#include "watch/still_used.h"
#include "watch/trigger_columns.h"

/* The names to look for, and the columns of one table. */
typedef struct Search
{
	const OssJobObject *object;
	const OssWatch *watch;
	Oid			watched;		/* whose columns these are */
} Search;

/* Does a column of an index compare texts?  Columns of type name and char(n) do not. */
static bool
compares_text(Relation index, int column)
{
	return index->rd_opfamily[column] == TEXT_BTREE_FAM_OID &&
		index->rd_opcintype[column] == TEXTOID;
}

/* Is an index of these columns, in any order, before others? */
static bool
index_fits(Relation index, AttrNumber key_column, AttrNumber bucket_column)
{
	const FormData_pg_index *form = index->rd_index;
	int			n = bucket_column == 0 ? 1 : 2;
	bool		key = false;

	if (!form->indisvalid || form->indcheckxmin || form->indnkeyatts < 1 ||
		index->rd_rel->relam != BTREE_AM_OID ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	for (int i = 0; i < Min(n, form->indnkeyatts); i++)
	{
		AttrNumber	column = form->indkey.values[i];

		if (!compares_text(index, i) || (column != key_column && column != bucket_column))
			return key;
		key |= column == key_column;
	}
	return key;
}

Oid
oss_watch_index(Relation relation, AttrNumber key_column, AttrNumber bucket_column)
{
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (!OidIsValid(found) && index_fits(index, key_column, bucket_column))
			found = lfirst_oid(cell);
		index_close(index, NoLock);
	}
	return found;
}

List *
oss_watched_tables(void)
{
	static OssPlan list_tables = {
		"SELECT DISTINCT tgrelid FROM pg_catalog.pg_trigger WHERE tgparentid = 0"
		" AND tgfoid = 'oss_labels.enqueue_trigger()'::pg_catalog.regprocedure",
		0, {0}
	};
	List	   *tables = NIL;

	oss_statement_execute(&list_tables, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
		tables = lappend_oid(tables, DatumGetObjectId(oss_result_column(i, 1, NULL)));
	SPI_freetuptable(SPI_tuptable);
	return tables;
}

/* Lock a table for reading if nobody has locked it.  Errors: 55P03. */
static Relation
open_unlocked(Oid relid)
{
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a watched table is locked"),
				 errhint("It is tried again when the lock is released.")));
	return try_relation_open(relid, NoLock);
}

/* Does the index of a table show a row with these names? */
static bool
has_row(Relation table, const Search *search, AttrNumber key_column,
		AttrNumber bucket_column)
{
	Oid			oid = oss_watch_index(table, key_column, bucket_column);
	TupleDesc	desc = RelationGetDescr(table);
	Relation	index;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	SnapshotData dirty;
	bool		found = false;
	int			n = 0;

	if (!OidIsValid(oid) || table->rd_rel->relam != HEAP_TABLE_AM_OID)
		return true;
	index = index_open(oid, AccessShareLock);
	for (int i = 0; i < index->rd_index->indnkeyatts && n < lengthof(keys); i++)
	{
		AttrNumber	column = index->rd_index->indkey.values[i];

		if (!compares_text(index, i) ||
			(column != key_column && (column != bucket_column || bucket_column == 0)))
			break;
		ScanKeyEntryInitialize(&keys[n++], 0, column, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[i], F_TEXTEQ,
							   column == key_column ? search->object->key :
							   search->object->bucket);
	}
	index_close(index, NoLock);

	/* a row that is being inserted keeps its image if it is committed */
	InitDirtySnapshot(dirty);
	scan = systable_beginscan(table, oid, true, &dirty, n, keys);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull = false;
		Datum		bucket;

		CHECK_FOR_INTERRUPTS();
		found = true;
		if (bucket_column == 0)
			continue;
		bucket = heap_getattr(tuple, bucket_column, desc, &isnull);
		if (!isnull)
			bucket = oss_watch_text(bucket, TupleDescAttr(desc, bucket_column - 1)->atttypid);
		found = !isnull && DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, bucket,
																search->object->bucket));
	}
	if (found && TransactionIdIsValid(dirty.xmin))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("another transaction is inserting a row of the image"),
				 errhint("The worker tries again when it has ended.")));
	systable_endscan(scan);
	return found;
}

/* The number of a column in a table that inherits it. */
static AttrNumber
inherited_column(const Search *search, Oid relid, AttrNumber column)
{
	if (column == 0 || relid == search->watched)
		return column;
	return get_attnum(relid, get_attname(search->watched, column, false));
}

/*
 * Does a row of a watched table, or of one that inherits from it, have these names?
 */
static bool
any_has_row(const Search *search)
{
	bool		found = false;
	ListCell   *cell;

	foreach(cell, find_all_inheritors(search->watched, NoLock, NULL))
	{
		Oid			relid = lfirst_oid(cell);
		Relation	table = open_unlocked(relid);

		if (table == NULL)
			continue;
		if (table->rd_rel->relkind == RELKIND_RELATION)
			found = has_row(table, search,
							inherited_column(search, relid, search->watch->key_column),
							inherited_column(search, relid, search->watch->bucket_column));
		else
			found = table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE;
		relation_close(table, NoLock);
		if (found)
			break;
	}
	return found;
}

/* The same for the columns that one of its triggers names. */
static bool
trigger_uses(Relation table, Trigger *trigger, const OssJobObject *object)
{
	TriggerData call = {
		.type = T_TriggerData,
		.tg_event = TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW,
		.tg_relation = table,
		.tg_trigger = trigger
	};
	Search		search = {object, NULL, RelationGetRelid(table)};
	OssWatch   *watch = oss_watch_enter(&call);
	bool		used = true;

	PG_TRY();
	{
		search.watch = watch;
		if (watch->problem == NULL)
			used = (watch->bucket == NULL ||
					strcmp(watch->bucket, TextDatumGetCString(object->bucket)) == 0) &&
				any_has_row(&search);
	}
	PG_FINALLY();
	{
		oss_watch_leave(watch);
	}
	PG_END_TRY();
	return used;
}

/* Does another trigger before this one have the same arguments? */
static bool
is_repeated_trigger(const TriggerDesc *all, int i)
{
	const Trigger *trigger = &all->triggers[i];

	for (int j = 0; j < i; j++)
	{
		const Trigger *other = &all->triggers[j];

		if (other->tgfoid == trigger->tgfoid && other->tgnargs == 1 &&
			trigger->tgnargs == 1 && strcmp(other->tgargs[0], trigger->tgargs[0]) == 0)
			return true;
	}
	return false;
}

bool
oss_watch_uses(List *tables, const OssJobObject *object)
{
	ListCell   *cell;
	bool		used = false;

	foreach(cell, tables)
	{
		Relation	table = open_unlocked(lfirst_oid(cell));
		TriggerDesc *all;

		if (table == NULL)
			continue;

		/* a copy, since an invalidation frees the relation's */
		all = CopyTriggerDesc(table->trigdesc);
		for (int i = 0; all != NULL && !used && i < all->numtriggers; i++)
		{
			if (oss_watch_is_enqueue_trigger(all->triggers[i].tgfoid) &&
				!is_repeated_trigger(all, i))
				used = trigger_uses(table, &all->triggers[i], object);
		}
		relation_close(table, NoLock);
		if (used)
			break;
	}
	return used;
}
