/*-------------------------------------------------------------------------
 * forgotten.c
 *	  forget(), and answers that were requested before it.
 *
 * An answer may be stored long after its request: it may be in the spool, in a job,
 * or delayed by a lock.  forget() therefore writes a note with the time, and a
 * process that stores an answer looks for a note younger than the request.
 *
 * Both write before they look, and both see uncommitted rows, so that at least one
 * sees the other.  forget() then waits for the storing transaction, which takes some
 * milliseconds.  The storing process does not wait, but tries again later.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "client/utf8.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "spi/column_array.h"
#include "spi/dirty_scan.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "store/forgotten.h"
#include "store/image_id.h"
#include "store/rights.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(oss_labels_forget);
PG_FUNCTION_INFO_V1(oss_labels_drop_image_labels);

static OssPlan leave_note = {
	"INSERT INTO oss_labels.forgotten (image_id, forgotten_at) "
	"VALUES ($1, pg_catalog.clock_timestamp()) "
	"ON CONFLICT (image_id) DO UPDATE SET forgotten_at = excluded.forgotten_at",
	1, {INT8OID}
};

static OssPlan delete_image = {
	"DELETE FROM oss_labels.image WHERE image_id OPERATOR(pg_catalog.=) $1 "
	"AND bucket OPERATOR(pg_catalog.=) $2 AND key OPERATOR(pg_catalog.=) $3",
	3, {INT8OID, TEXTOID, TEXTOID}
};

static OssPlan delete_labels = {
	"DELETE FROM oss_labels.image_label WHERE image_id OPERATOR(pg_catalog.=) ANY ($1)",
	1, {INT8ARRAYOID}
};
static OssPlan delete_corrections = {
	"DELETE FROM oss_labels.label_correction WHERE image_id OPERATOR(pg_catalog.=) ANY ($1)",
	1, {INT8ARRAYOID}
};
static OssPlan truncate_labels = {
	"TRUNCATE oss_labels.image_label, oss_labels.label_correction", 0, {0}
};
static OssPlan delete_all = {
	"WITH labels AS (DELETE FROM oss_labels.image_label) "
	"DELETE FROM oss_labels.label_correction", 0, {0}
};

/*
 * No answer is stored so long after its request, unless files were moved by hand.
 */
static OssPlan expire_notes = {
	"DELETE FROM oss_labels.forgotten WHERE ctid = ANY (ARRAY("
	"SELECT ctid FROM oss_labels.forgotten "
	"WHERE forgotten_at < clock_timestamp() - interval '7 days' LIMIT $1))",
	1, {INT4OID}
};

Relation
oss_forgotten_open(void)
{
	Relation	notes = oss_own_table_open("forgotten", AccessShareLock);

	if (RelationGetNumberOfBlocks(notes) > 0)
		return notes;
	table_close(notes, AccessShareLock);
	return NULL;
}

void
oss_forgotten_close(Relation notes)
{
	table_close(notes, AccessShareLock);
}

OssForgotten
oss_forgotten_look(Relation notes, const OssImage *image, TimestampTz asked_at)
{
	AttrNumber	column = get_attnum(RelationGetRelid(notes), "forgotten_at");
	OssForgotten state = OSS_NOT_FORGOTTEN;
	SnapshotData dirty;
	SysScanDesc scan = oss_dirty_scan(notes, "image_id", "forgotten_pkey",
									  oss_image_id(image), &dirty);
	HeapTuple	tuple;

	while (state != OSS_FORGOTTEN && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		at = heap_getattr(tuple, column, RelationGetDescr(notes), &isnull);

		/* ignore notes from the future: the clock was set back */
		if (!isnull && DatumGetTimestampTz(at) >= asked_at &&
			DatumGetTimestampTz(at) <= GetCurrentTimestamp())
			state = TransactionIdIsValid(dirty.xmin) ? OSS_BEING_FORGOTTEN : OSS_FORGOTTEN;
	}
	systable_endscan(scan);
	return state;
}

void
oss_forgotten_check(const OssStoreRow *rows, int n)
{
	Relation	notes = oss_forgotten_open();

	if (notes == NULL)
		return;
	for (int i = 0; i < n; i++)
	{
		if (oss_forgotten_look(notes, &rows[i].image, rows[i].tagged_at) != OSS_NOT_FORGOTTEN)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("another transaction is forgetting the labels of \"%s\"",
							rows[i].image.key),
					 errhint("Try again when that transaction has ended.")));
	}
	oss_forgotten_close(notes);
}

uint64
oss_forgotten_expire(int n)
{
	Datum		value = Int32GetDatum(n);

	return oss_statement_execute(&expire_notes, &value, NULL, SPI_OK_DELETE);
}

/* Wait until no transaction is inserting the image. */
static void
wait_for_storing(int64 image_id)
{
	Relation	image = oss_own_table_open("image", AccessShareLock);
	TransactionId other;

	do
	{
		SnapshotData dirty;
		SysScanDesc scan = oss_dirty_scan(image, "image_id", "image_pkey", image_id, &dirty);

		other = InvalidTransactionId;
		while (!TransactionIdIsValid(other) && HeapTupleIsValid(systable_getnext(scan)))
			other = dirty.xmin;
		systable_endscan(scan);
		if (TransactionIdIsValid(other))
			XactLockTableWait(other, NULL, NULL, XLTW_None);
	} while (TransactionIdIsValid(other));
	table_close(image, NoLock);
}

/*
 * forget(bucket, key, version_id).  Also deletes what was committed since the
 * transaction's snapshot was taken.
 */
Datum
oss_labels_forget(PG_FUNCTION_ARGS)
{
	OssStatementState state;
	const char *parts[3];
	OssImage	image;
	Datum		values[3];
	bool		deleted;

	for (int i = 0; i < 3; i++)
	{
		const char *utf8;

		parts[i] = PG_ARGISNULL(i) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(i));

		/* no image has such a name */
		if ((i < 2 && parts[i] == NULL) || !oss_utf8_try(parts[i], &utf8))
			PG_RETURN_BOOL(false);
	}
	image = (OssImage)
	{
		.bucket = parts[0],.key = parts[1],.version_id = parts[2]
	};
	if (!oss_rights_check_write(&image))
		PG_RETURN_BOOL(false);
	values[0] = Int64GetDatum(oss_image_id(&image));
	values[1] = PG_GETARG_DATUM(0);
	values[2] = PG_GETARG_DATUM(1);
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	oss_statement_execute(&leave_note, values, NULL, SPI_OK_INSERT);
	CommandCounterIncrement();
	wait_for_storing(DatumGetInt64(values[0]));
	deleted = oss_statement_execute_in(GetLatestSnapshot(), &delete_image, values, NULL,
									   SPI_OK_DELETE) > 0;
	oss_statement_end(&state);
	PG_RETURN_BOOL(deleted);
}

/* Delete the labels of images, whatever the transaction's snapshot shows. */
static void
drop_labels(TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	AttrNumber	column = get_attnum(RelationGetRelid(trigger->tg_relation), "image_id");
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	OssColumn	ids;
	Datum		value;

	oss_column_init(&ids, INT8OID, 64);
	while (tuplestore_gettupleslot(trigger->tg_oldtable, true, false, slot))
	{
		bool		isnull;
		Datum		id = slot_getattr(slot, column, &isnull);

		oss_column_add(&ids, id, isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (ids.n == 0)
		return;
	value = oss_column_array(&ids);
	oss_statement_execute_in(GetLatestSnapshot(), &delete_labels, &value, NULL, SPI_OK_DELETE);
	oss_statement_execute_in(GetLatestSnapshot(), &delete_corrections, &value, NULL,
							 SPI_OK_DELETE);
}

/* Empty the tables that follow image, as a function for a subtransaction. */
static void
run_truncate(void *arg)
{
	oss_statement_execute(&truncate_labels, NULL, NULL, SPI_OK_UTILITY);
}

/*
 * The same, also if the TRUNCATE of image names them, or a cursor reads them.
 */
static void
empty_labels(void)
{
	ErrorData  *error = oss_subtransaction(run_truncate, NULL);

	if (error == NULL)
		return;
	if (error->sqlerrcode != ERRCODE_OBJECT_IN_USE)
		ReThrowError(error);
	oss_statement_execute(&delete_all, NULL, NULL, SPI_OK_DELETE);
}

/* drop_image_labels(): the trigger on image after DELETE and TRUNCATE */
Datum
oss_labels_drop_image_labels(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	OssStatementState state;

	if (!CALLED_AS_TRIGGER(fcinfo) || TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		(!TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) && trigger->tg_oldtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("drop_image_labels() is a trigger for statements"),
				 errhint("The extension's script has its triggers.")));
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		empty_labels();
	else
		drop_labels(trigger);
	oss_statement_end(&state);
	return PointerGetDatum(NULL);
}
