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
#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "spi/bulk_insert.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* Rows per heap_multi_insert(), as in COPY. */
#define ROWS_AT_ONCE 1000

/* Are all indexes on plain columns, and checked at once if they are unique? */
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

		plain &= !form->indisexclusion && form->indisready && form->indimmediate &&
			RelationGetIndexExpressions(index) == NIL;
		index_close(index, NoLock);
	}
	list_free(oids);
	return plain;
}

/* Are these the table's columns, and is "kept" its only CHECK constraint? */
static bool
has_columns(TupleDesc desc, const OssBulkColumn *columns, int n, const char *kept)
{
	if (desc->natts != n)
		return false;
	for (int i = 0; desc->constr != NULL && i < desc->constr->num_check; i++)
	{
		if (kept == NULL || strcmp(desc->constr->check[i].ccname, kept) != 0)
			return false;
	}
	for (int i = 0; i < n; i++)
	{
		const FormData_pg_attribute *column = TupleDescAttr(desc, i);

		if (column->atttypid != columns[i].type || column->atttypmod != -1 ||
			(column->attnotnull && !columns[i].given))
			return false;
	}
	return true;
}

/* Does a trigger fire on INSERT? */
static bool
has_insert_trigger(const TriggerDesc *triggers)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];
		char		idle = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ?
		TRIGGER_FIRES_ON_ORIGIN : TRIGGER_FIRES_ON_REPLICA;

		if (TRIGGER_FOR_INSERT(trigger->tgtype) && trigger->tgenabled != idle &&
			trigger->tgenabled != TRIGGER_DISABLED)
			return true;
	}
	return false;
}

bool
oss_bulk_possible(Relation relation, const OssBulkColumn *columns, int ncolumns,
				  const char *kept)
{
	return relation->rd_rel->relkind == RELKIND_RELATION &&
		!relation->rd_rel->relispartition &&
		!relation->rd_rel->relforcerowsecurity &&
		!relation->rd_rel->relhasrules &&
		!has_insert_trigger(relation->trigdesc) &&
		has_columns(RelationGetDescr(relation), columns, ncolumns, kept) &&
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

/* Is a row one of a partial index? */
static bool
fits_predicate(ExprState *predicate, EState *estate, TupleTableSlot *slot)
{
	if (predicate == NULL)
		return true;
	GetPerTupleExprContext(estate)->ecxt_scantuple = slot;
	return ExecQual(predicate, GetPerTupleExprContext(estate));
}

/* Insert the entries of rows into an index. */
static void
insert_entries(Relation relation, Oid oid, TupleTableSlot **slots,
			   const OssBulkRow *rows, int n)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	IndexInfo  *info = BuildIndexInfo(index);
	bool		plain = info->ii_Expressions == NIL;
	EState	   *estate = plain && info->ii_Predicate == NIL ? NULL : CreateExecutorState();
	ExprState  *predicate = info->ii_Predicate == NIL ? NULL :
	ExecPrepareQual(info->ii_Predicate, estate);

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

		if (estate)
			ResetPerTupleExprContext(estate);
		if (!fits_predicate(predicate, estate, slots[i]))
			continue;
		if (!plain)
		{
			GetPerTupleExprContext(estate)->ecxt_scantuple = slots[i];
			FormIndexDatum(info, slots[i], estate, values, nulls);
		}
		for (int k = 0; plain && k < info->ii_NumIndexAttrs; k++)
		{
			int			column = info->ii_IndexAttrNumbers[k] - 1;

			values[k] = rows[i].values[column];
			nulls[k] = rows[i].nulls[column];
		}
		index_insert(index, values, nulls, &slots[i]->tts_tid, relation,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
	}
	oss_index_insert_cleanup(index, info);
	if (estate)
		FreeExecutorState(estate);
	index_close(index, NoLock);
}

/*
 * Make inserted rows visible to all sessions.  Only now, when all indexes have
 * them: after an error or a crash before this they are as if never inserted.
 * A row with values in a TOAST table remains one of the transaction.
 */
static void
freeze_rows(Relation relation, TupleTableSlot **slots, int n)
{
	int			i = 0;

	while (i < n)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&slots[i]->tts_tid);
		Buffer		buffer = ReadBuffer(relation, block);
		GenericXLogState *state;
		Page		page;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		state = GenericXLogStart(relation);
		page = GenericXLogRegisterBuffer(state, buffer, 0);
		for (; i < n && ItemPointerGetBlockNumber(&slots[i]->tts_tid) == block; i++)
		{
			OffsetNumber offset = ItemPointerGetOffsetNumber(&slots[i]->tts_tid);
			HeapTupleHeader row = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offset));

			if ((row->t_infomask & HEAP_HASEXTERNAL) == 0)
				HeapTupleHeaderSetXminFrozen(row);
		}
		GenericXLogFinish(state);
		UnlockReleaseBuffer(buffer);
	}
}

static void
insert_all(Relation relation, const OssBulkRow *rows, int n, bool lasting)
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
		if (lasting && relation->rd_rel->relam == HEAP_TABLE_AM_OID)
			freeze_rows(relation, slots, some);
	}
	for (int i = 0; i < room; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	FreeBulkInsertState(state);
	table_finish_bulk_insert(relation, 0);
	list_free(indexes);
}

void
oss_bulk_insert(Relation relation, const OssBulkRow *rows, int n)
{
	insert_all(relation, rows, n, false);
}

void
oss_bulk_insert_lasting(Relation relation, const OssBulkRow *rows, int n)
{
	insert_all(relation, rows, n, true);
}
