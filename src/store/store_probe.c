/*-------------------------------------------------------------------------
 * store_probe.c
 *	  Finding out whether storing answers would wait for another transaction.
 *
 * INSERT ... ON CONFLICT has no SKIP LOCKED, and no statement sees rows that
 * another transaction has inserted without committing.  So the unique index is
 * scanned with a snapshot that shows them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "store/image_id.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* The images to probe, and the objects needed for each of them. */
typedef struct Probe
{
	const OssImage *images;
	int			n;
	bool	   *blocked;
	Relation	image;
	Oid			index;
	TupleTableSlot *slot;
	AttrNumber	image_id;
	Relation	label;
	Oid			label_index;
	TupleTableSlot *label_slot;
} Probe;

/* Has another transaction locked a committed row? */
static bool
is_locked(Relation relation, HeapTuple tuple, TupleTableSlot *slot,
		  LockTupleMode mode)
{
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(relation, &tuple->t_self,
										  GetActiveSnapshot(), slot,
										  GetCurrentCommandId(true),
										  mode, LockWaitSkip, 0, &failure);

	ExecClearTuple(slot);
	return result == TM_WouldBlock;
}

/* Has another transaction locked one of the labels to be replaced? */
static bool
labels_are_locked(const Probe *probe, Datum image_id)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		locked = false;

	if (!OidIsValid(probe->label_index))
		return false;
	ScanKeyInit(&key, get_attnum(RelationGetRelid(probe->label), "image_id"),
				BTEqualStrategyNumber, F_INT8EQ, image_id);
	scan = systable_beginscan(probe->label, probe->label_index, true,
							  GetActiveSnapshot(), 1, &key);
	while (!locked && HeapTupleIsValid(tuple = systable_getnext(scan)))
		locked = is_locked(probe->label, tuple, probe->label_slot,
						   LockTupleExclusive);
	systable_endscan(scan);
	return locked;
}

/* Would writing an answer wait for another transaction? */
static bool
is_blocked(const Probe *probe, const OssImage *image)
{
	Datum		image_id = Int64GetDatum(oss_image_id(image));
	ScanKeyData key;
	SnapshotData dirty;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		blocked = false;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, probe->image_id, BTEqualStrategyNumber, F_INT8EQ, image_id);
	scan = systable_beginscan(probe->image, probe->index, true, &dirty, 1, &key);
	while (!blocked && HeapTupleIsValid(tuple = systable_getnext(scan)))
		blocked = TransactionIdIsValid(dirty.xmin) ||
			TransactionIdIsValid(dirty.xmax) ||
			is_locked(probe->image, tuple, probe->slot,
					  LockTupleNoKeyExclusive) ||
			labels_are_locked(probe, image_id);
	systable_endscan(scan);
	return blocked;
}

/* Probe all images, in a subtransaction. */
static void
probe_images(void *arg)
{
	Probe	   *probe = arg;
	Oid			schema;

	probe->image = oss_own_table_open("image", RowExclusiveLock);
	probe->label = oss_own_table_open("image_label", RowExclusiveLock);
	schema = RelationGetNamespace(probe->image);
	probe->index = get_relname_relid("image_pkey", schema);
	probe->slot = table_slot_create(probe->image, NULL);
	probe->image_id = get_attnum(RelationGetRelid(probe->image), "image_id");
	probe->label_index = get_relname_relid("image_label_image_id_idx", schema);
	probe->label_slot = table_slot_create(probe->label, NULL);

	/* a procedure has no active snapshot between its statements */
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < probe->n && OidIsValid(probe->index); i++)
		probe->blocked[i] = is_blocked(probe, &probe->images[i]);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(probe->label_slot);
	ExecDropSingleTupleTableSlot(probe->slot);
	table_close(probe->label, NoLock);
	table_close(probe->image, NoLock);
}

/*
 * Set blocked[i] if storing the answer to image i would wait for another open
 * transaction, which has inserted, deleted or locked the image's row, or
 * deleted or locked one of its labels.  Locks the rows of the other images.
 * Within oss_statement_begin().  Returns NULL, or an error, after which
 * blocked is undefined.
 */
ErrorData *
oss_store_probe(const OssImage *images, int n, bool *blocked)
{
	Probe		probe = {.images = images,.n = n,.blocked = blocked};

	memset(blocked, 0, sizeof(bool) * n);
	return oss_subtransaction(probe_images, &probe);
}
