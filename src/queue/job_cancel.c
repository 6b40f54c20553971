/*-------------------------------------------------------------------------
 * job_cancel.c
 *	  Removing jobs whose rows were deleted from a watched table.
 *
 * An SQL DELETE would raise 40001 under REPEATABLE READ if the worker has
 * updated the job since the snapshot, and its plan would depend on statistics
 * that are always stale.  Instead, an index is scanned for committed rows, and
 * each job is locked without waiting.  SnapshotSelf takes no predicate locks,
 * so that SERIALIZABLE transactions do not conflict in the queue.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "queue/identity.h"
#include "queue/job_cancel.h"
#include "queue/job_insert.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

struct OssJobCancel
{
	Relation	job;
	TupleTableSlot *slot;
	Oid			source;
	AttrNumber	key;
	AttrNumber	bucket;
	AttrNumber	source_column;
	AttrNumber	origin;
	AttrNumber	source_name;
	AttrNumber	etag;
	Oid			objects;		/* index by key and bucket, or InvalidOid */
	Oid			known;			/* last other source that was checked */
	bool		known_related;
};

/*
 * Return the index of that name if its first columns are these, or
 * InvalidOid.
 */
static Oid
index_on(Relation relation, const char *name, AttrNumber first,
		 AttrNumber second)
{
	Oid			oid = get_relname_relid(name, RelationGetNamespace(relation));
	Relation	index;
	bool		fits = false;

	if (!OidIsValid(oid) || !list_member_oid(RelationGetIndexList(relation), oid))
		return InvalidOid;
	index = index_open(oid, AccessShareLock);
	if (index->rd_index->indisvalid &&
		index->rd_index->indnkeyatts >= (second == 0 ? 1 : 2))
		fits = index->rd_index->indkey.values[0] == first &&
			(second == 0 || index->rd_index->indkey.values[1] == second);
	index_close(index, NoLock);
	return fits ? oid : InvalidOid;
}

OssJobCancel *
oss_job_cancel_begin(Oid source)
{
	const char *why;
	Relation	job = oss_queue_open("job", &why);
	OssJobCancel *cancel;
	Oid			relid;

	if (job == NULL)
		return NULL;
	relid = RelationGetRelid(job);
	cancel = palloc0(sizeof(OssJobCancel));
	cancel->job = job;
	cancel->source = source;
	cancel->slot = table_slot_create(job, NULL);
	cancel->key = get_attnum(relid, "key");
	cancel->bucket = get_attnum(relid, "bucket");
	cancel->source_column = get_attnum(relid, "source");
	cancel->origin = get_attnum(relid, "origin");
	cancel->source_name = get_attnum(relid, "source_name");
	cancel->etag = get_attnum(relid, "etag");
	cancel->objects = index_on(job, "job_object_idx", cancel->key,
							   cancel->bucket);
	return cancel;
}

static Oid
source_of_job(const OssJobCancel *cancel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(cancel->job);
	bool		no_source;
	bool		no_origin;
	bool		no_name;
	Datum		source = heap_getattr(tuple, cancel->source_column, desc, &no_source);
	Datum		origin = heap_getattr(tuple, cancel->origin, desc, &no_origin);
	Datum		name = heap_getattr(tuple, cancel->source_name, desc, &no_name);

	if (no_source || no_origin)
		return InvalidOid;
	return oss_table_of(DatumGetInt64(origin), DatumGetObjectId(source),
						no_name ? NULL : TextDatumGetCString(name));
}

/* Is a table our source, its ancestor or its descendant? */
static bool
is_related(OssJobCancel *cancel, Oid source)
{
	if (source == cancel->source)
		return true;
	if (!OidIsValid(source))
		return false;
	if (source != cancel->known)
	{
		cancel->known = source;
		cancel->known_related =
			list_member_oid(find_all_inheritors(cancel->source, NoLock, NULL),
							source) ||
			list_member_oid(find_all_inheritors(source, NoLock, NULL),
							cancel->source);
	}
	return cancel->known_related;
}

/*
 * Delete a job unless another transaction has locked, updated or deleted it.
 */
static bool
delete_job(OssJobCancel *cancel, ItemPointer tid)
{
	TM_FailureData failure;
	ItemPointerData place = *tid;
	TM_Result	result = table_tuple_lock(cancel->job, &place, SnapshotSelf,
										  cancel->slot, GetCurrentCommandId(false),
										  LockTupleExclusive, LockWaitSkip, 0,
										  &failure);

	ExecClearTuple(cancel->slot);
	if (result != TM_Ok)
		return false;
	simple_heap_delete(cancel->job, &place);
	return true;
}

/* Is a job for the ETag of a deleted row, or does one of them have none? */
static bool
etag_matches(const OssJobCancel *cancel, HeapTuple tuple, Datum etag)
{
	bool		isnull;
	Datum		value;

	if (etag == 0)
		return true;
	value = heap_getattr(tuple, cancel->etag, RelationGetDescr(cancel->job), &isnull);
	return isnull || strcmp(TextDatumGetCString(value), TextDatumGetCString(etag)) == 0;
}

void
oss_job_cancel(OssJobCancel *cancel, const OssJobObject *object)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(cancel->objects))
		return;
	ScanKeyEntryInitialize(&keys[0], 0, cancel->key, BTEqualStrategyNumber,
						   InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ, object->key);
	ScanKeyEntryInitialize(&keys[1], 0, cancel->bucket, BTEqualStrategyNumber,
						   InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ, object->bucket);
	scan = systable_beginscan(cancel->job, cancel->objects, true, SnapshotSelf,
							  2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_related(cancel, source_of_job(cancel, tuple)) &&
			etag_matches(cancel, tuple, object->etag) &&
			delete_job(cancel, &tuple->t_self))
			break;
	}
	systable_endscan(scan);
}

/*
 * Walk over the jobs that came from the table: delete all, or stop at the first.
 * Returns whether there is one.  The walk is along the primary key, whose
 * entries of dead rows go away, while the table's empty pages stay.
 */
static bool
walk_jobs(OssJobCancel *cancel, bool delete)
{
	Oid			index = index_on(cancel->job, "job_pkey",
								 get_attnum(RelationGetRelid(cancel->job), "job_id"), 0);
	SysScanDesc scan = systable_beginscan(cancel->job, index, OidIsValid(index),
										  SnapshotSelf, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!(found && !delete) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		if (source_of_job(cancel, tuple) != cancel->source)
			continue;
		found = true;
		if (delete)
			(void) delete_job(cancel, &tuple->t_self);
	}
	systable_endscan(scan);
	return found;
}

/* Delete all jobs that came from the table. */
void
oss_job_cancel_all(OssJobCancel *cancel)
{
	(void) walk_jobs(cancel, true);
}

/* Is there a job that came from the table? */
bool
oss_job_cancel_any(OssJobCancel *cancel)
{
	return walk_jobs(cancel, false);
}

void
oss_job_cancel_end(OssJobCancel *cancel)
{
	ExecDropSingleTupleTableSlot(cancel->slot);
	relation_close(cancel->job, NoLock);
	pfree(cancel);
}
