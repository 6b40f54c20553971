/*-------------------------------------------------------------------------
 * bulk_insert.c
 *	  Inserting many rows into a plain table without the executor.
 *
 * As COPY does: inserting a page of rows at a time takes half the time of an
 * INSERT.  Indexes are filled one after the other, so that the upper pages of
 * each stay in the processor's cache.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "spi/bulk_insert.h"

/* Rows per heap_multi_insert(), as in COPY. */
#define ROWS_AT_ONCE 1000

/* Is there a trigger of another function? */
static bool
has_other_trigger(const TriggerDesc *triggers, Oid function)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgfoid != function ||
			trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN)
			return true;
	}
	return false;
}

/* Are all indexes on plain columns of all rows, and not unique? */
static bool
indexes_are_plain(Relation relation)
{
	List	   *oids = RelationGetIndexList(relation);
	ListCell   *cell;
	bool		plain = true;

	foreach(cell, oids)
	{
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);
		const FormData_pg_index *form = index->rd_index;

		plain &= !form->indisunique && !form->indisexclusion &&
			form->indisready &&
			RelationGetIndexExpressions(index) == NIL &&
			RelationGetIndexPredicate(index) == NIL;
		index_close(index, NoLock);
	}
	list_free(oids);
	return plain;
}

/* Are these the table's columns, of which only the first may be NOT NULL? */
static bool
has_columns(TupleDesc desc, const Oid *types, int ntypes)
{
	if (desc->natts != ntypes ||
		(desc->constr != NULL && desc->constr->num_check > 0))
		return false;
	for (int i = 0; i < ntypes; i++)
	{
		const FormData_pg_attribute *column = TupleDescAttr(desc, i);

		if (column->atttypid != types[i] || column->atttypmod != -1 ||
			(column->attnotnull && i > 0))
			return false;
	}
	return true;
}

bool
oss_bulk_possible(Relation relation, const Oid *types, int ntypes, Oid trigger)
{
	return relation->rd_rel->relkind == RELKIND_RELATION &&
		!relation->rd_rel->relispartition &&
		!relation->rd_rel->relforcerowsecurity &&
		!relation->rd_rel->relhasrules &&
		has_columns(RelationGetDescr(relation), types, ntypes) &&
		!has_other_trigger(relation->trigdesc, trigger) &&
		indexes_are_plain(relation);
}

OssBulkRow *
oss_bulk_rows(int n, int ncolumns)
{
	OssBulkRow *rows = palloc_extended(sizeof(OssBulkRow) * n, MCXT_ALLOC_HUGE);
	Datum	   *values = palloc_extended(sizeof(Datum) * n * ncolumns,
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	bool	   *nulls = palloc_extended(sizeof(bool) * n * ncolumns,
										MCXT_ALLOC_HUGE);

	memset(nulls, true, sizeof(bool) * n * ncolumns);
	for (int i = 0; i < n; i++)
	{
		rows[i].values = values + (Size) i * ncolumns;
		rows[i].nulls = nulls + (Size) i * ncolumns;
	}
	return rows;
}

/* Insert rows into the heap; sets the TIDs of their slots. */
static void
insert_rows(Relation relation, TupleTableSlot **slots, const OssBulkRow *rows,
			int n, BulkInsertState state)
{
	int			natts = RelationGetDescr(relation)->natts;

	for (int i = 0; i < n; i++)
	{
		ExecClearTuple(slots[i]);
		memcpy(slots[i]->tts_values, rows[i].values, sizeof(Datum) * natts);
		memcpy(slots[i]->tts_isnull, rows[i].nulls, sizeof(bool) * natts);
		ExecStoreVirtualTuple(slots[i]);
	}
	table_multi_insert(relation, slots, n, GetCurrentCommandId(true), 0, state);
}

/* Insert the entries of rows into an index. */
static void
insert_entries(Relation relation, Oid oid, TupleTableSlot **slots,
			   const OssBulkRow *rows, int n)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	IndexInfo  *info = BuildIndexInfo(index);
	EState	   *estate = info->ii_Expressions == NIL ? NULL : CreateExecutorState();

	/*
	 * being built by CREATE INDEX CONCURRENTLY, which waits for our
	 * transaction
	 */
	if (!info->ii_ReadyForInserts)
		n = 0;
	for (int i = 0; i < n; i++)
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (info->ii_Expressions != NIL)
		{
			ResetPerTupleExprContext(estate);
			GetPerTupleExprContext(estate)->ecxt_scantuple = slots[i];
			FormIndexDatum(info, slots[i], estate, values, nulls);
		}
		for (int k = 0; info->ii_Expressions == NIL && k < info->ii_NumIndexAttrs; k++)
		{
			int			column = info->ii_IndexAttrNumbers[k] - 1;

			values[k] = rows[i].values[column];
			nulls[k] = rows[i].nulls[column];
		}
		index_insert(index, values, nulls, &slots[i]->tts_tid, relation,
					 UNIQUE_CHECK_NO, false, info);
	}
	oss_index_insert_cleanup(index, info);
	if (estate)
		FreeExecutorState(estate);
	index_close(index, NoLock);
}

void
oss_bulk_insert(Relation relation, const OssBulkRow *rows, int n)
{
	int			room = Min(n, ROWS_AT_ONCE);
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * room);
	BulkInsertState state = GetBulkInsertState();
	List	   *indexes = RelationGetIndexList(relation);
	ListCell   *cell;

	/* a copy is not reference-counted, which would be slow */
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(relation));

	for (int i = 0; i < room; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, table_slot_callbacks(relation));
	for (int done = 0; done < n; done += room)
	{
		int			some = Min(room, n - done);

		insert_rows(relation, slots, rows + done, some, state);
		foreach(cell, indexes)
			insert_entries(relation, lfirst_oid(cell), slots, rows + done, some);
	}
	for (int i = 0; i < room; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	FreeBulkInsertState(state);
	table_finish_bulk_insert(relation, 0);
	list_free(indexes);
}
