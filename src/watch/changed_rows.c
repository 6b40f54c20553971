/*-------------------------------------------------------------------------
 * changed_rows.c
 *	  Enqueuing and cancelling jobs for the rows of a statement.
 *
 * Old and new rows of an UPDATE are read in parallel, and most unchanged ones
 * are found by comparing them pairwise.  The rest is compared as two multisets,
 * some thousand rows at a time, so that rows that swap their keys enqueue
 * nothing.  Whether both transition tables have the same order affects only the
 * size of the rest.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "client/image.h"
#include "client/server.h"
#include "common/hashfn.h"
#include "compat.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "queue/job_cancel.h"
#include "queue/job_insert.h"
#include "queue/priority.h"
#include "queue/worker_slot.h"
#include "spi/subtransaction.h"
#include "store/rights.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "watch/changed_rows.h"
#include "watch/watch_condition.h"

/* Rows per comparison of multisets. */
#define WINDOW 5000

/* Rows of a partition that are read at most, which takes some seconds. */
#define MAX_ROWS_READ 1000000

/* The image of a row. */
typedef struct Pair
{
	uint32		hash;
	OssJobObject object;
} Pair;

/* A multiset of pairs. */
typedef struct Bag
{
	int			n;
	Pair		pairs[WINDOW];
} Bag;

/* The old or the new rows of a call. */
typedef struct Side
{
	Tuplestorestate *store;		/* NULL: slot is the only row, or NULL */
	TupleTableSlot *slot;
	int64		n;				/* rows read */
	uint8	   *verdicts;		/* of the condition; NULL: all rows meet it */
	OssRowVerdict verdict;		/* of the present row */
	bool		present;		/* the row has a bucket and a key */
	Pair		pair;
} Side;

/* State of a call. */
typedef struct Work
{
	OssWatch   *watch;
	TriggerData *call;
	OssConditionCall condition;
	bool		broken;			/* the condition cannot be prepared */
	OssJobCommon common;
	OssJobInsert *insert;		/* opened on first use */
	OssJobCancel *cancel;		/* the same */
	const char *why;			/* why jobs cannot be inserted */
	uint64		refused;		/* rows whose condition failed */
	MemoryContext window;
	Side		old;
	Side		new;
	Bag		   *removed;
	Bag		   *added;
} Work;

/* Warn that a statement's rows are not queued, once per statement. */
static void
warn_of_rows(TriggerData *call, const char *why, const char *hint)
{
	static Oid	last_trigger = InvalidOid;
	static TimestampTz last_statement = 0;

	/* row triggers and loops in functions would repeat the warning */
	if (last_trigger == call->tg_trigger->tgoid &&
		last_statement == GetCurrentStatementStartTimestamp())
		return;
	last_trigger = call->tg_trigger->tgoid;
	last_statement = GetCurrentStatementStartTimestamp();
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("images of table \"%s\" were not queued: %s",
					RelationGetRelationName(call->tg_relation), why),
			 hint ? errhint("%s", hint) : 0));
}

/* Convert a value of a string type to text. */
Datum
oss_watch_text(Datum value, Oid type)
{
	switch (getBaseType(type))
	{
		case NAMEOID:
			return DirectFunctionCall1(name_text, value);
		case BPCHAROID:
			return DirectFunctionCall1(rtrim1, value);
		default:
			return PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
	}
}

/* Read a column as text.  Returns false if it is null. */
static bool
read_text(TupleTableSlot *slot, AttrNumber column, Datum *result)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	if (!isnull)
		*result = oss_watch_text(value, TupleDescAttr(slot->tts_tupleDescriptor,
													  column - 1)->atttypid);
	return !isnull;
}

/* Is a column bytewise the same in both rows? */
static bool
column_is_same(const Side *old, const Side *new, AttrNumber column)
{
	const FormData_pg_attribute *attribute =
	TupleDescAttr(old->slot->tts_tupleDescriptor, column - 1);
	bool		old_null;
	bool		new_null;
	Datum		old_value = slot_getattr(old->slot, column, &old_null);
	Datum		new_value = slot_getattr(new->slot, column, &new_null);

	if (old_null || new_null)
		return old_null && new_null;
	return datumIsEqual(old_value, new_value, attribute->attbyval,
						attribute->attlen);
}

/* Read the next row into the slot.  Returns false at the end. */
static bool
next_row(Side *side)
{
	if (side->store == NULL && side->n > 0)
		return false;
	if (side->store &&
		!tuplestore_gettupleslot(side->store, true, false, side->slot))
		return false;
	side->verdict = side->verdicts ? side->verdicts[side->n] : OSS_ROW_YES;
	side->n++;
	return side->slot != NULL;
}

/* Return a row's ETag as in job, 0 for none. */
static Datum
read_etag(TupleTableSlot *slot, AttrNumber column)
{
	char		etag[OSS_ETAG_MAX + 1];
	Datum		value;

	if (column == 0 || !read_text(slot, column, &value) ||
		!oss_etag_read(etag, VARDATA_ANY(DatumGetPointer(value)),
					   VARSIZE_ANY_EXHDR(DatumGetPointer(value))))
		return (Datum) 0;
	return CStringGetTextDatum(etag);
}

/* Set the pair of the present row, in the window's memory. */
static void
read_pair(const Work *work, Side *side)
{
	const OssWatch *watch = work->watch;
	MemoryContext old = MemoryContextSwitchTo(work->window);
	OssJobObject *object = &side->pair.object;

	if (watch->bucket)
		object->bucket = CStringGetTextDatum(watch->bucket);
	side->present = (watch->bucket != NULL ||
					 read_text(side->slot, watch->bucket_column, &object->bucket)) &&
		read_text(side->slot, watch->key_column, &object->key);

	/* copy, since the next row overwrites the slot */
	if (side->present)
	{
		if (watch->bucket == NULL)
			object->bucket = datumCopy(object->bucket, false, -1);
		object->key = datumCopy(object->key, false, -1);
		object->etag = read_etag(side->slot, watch->etag_column);
		side->pair.hash = hash_bytes((unsigned char *) VARDATA_ANY(DatumGetPointer(object->key)),
									 VARSIZE_ANY_EXHDR(DatumGetPointer(object->key)));
	}
	MemoryContextSwitchTo(old);
}

static void
rewind_side(Side *side)
{
	side->n = 0;
	if (side->store == NULL)
		return;
	tuplestore_select_read_pointer(side->store,
								   tuplestore_alloc_read_pointer(side->store,
																 EXEC_FLAG_REWIND));
	tuplestore_rescan(side->store);
}

static int
compare_text(Datum a, Datum b)
{
	int			a_length = VARSIZE_ANY_EXHDR(DatumGetPointer(a));
	int			b_length = VARSIZE_ANY_EXHDR(DatumGetPointer(b));
	int			result = memcmp(VARDATA_ANY(DatumGetPointer(a)),
								VARDATA_ANY(DatumGetPointer(b)),
								Min(a_length, b_length));

	return result != 0 ? result : a_length - b_length;
}

/* Compare pairs for sorting, in an arbitrary order. */
static int
compare_pairs(const void *x, const void *y)
{
	const Pair *a = x;
	const Pair *b = y;
	int			result;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	result = compare_text(a->object.key, b->object.key);
	if (result == 0)
		result = compare_text(a->object.bucket, b->object.bucket);
	if (result != 0 || a->object.etag == 0 || b->object.etag == 0)
		return result != 0 ? result : (a->object.etag != 0) - (b->object.etag != 0);
	return compare_text(a->object.etag, b->object.etag);
}

/* Subtransaction: set the server that NULL stands for. */
static void
choose_server(void *arg)
{
	Work	   *work = arg;

	work->common.server =
		GetForeignServer(oss_server_oid(NULL, GetUserId()))->servername;
}

/* Can jobs be inserted?  If not, warns once per call. */
static bool
can_insert(Work *work)
{
	if (work->insert == NULL && work->why == NULL)
	{
		ErrorData  *error = NULL;

		work->common.server = work->watch->server;
		work->common.priority = oss_table_priority(work->watch->priority,
												   work->watch->source);
		if (work->common.server == NULL)
			error = oss_subtransaction(choose_server, work);
		if (error == NULL)
			work->insert = oss_job_insert_begin(&work->common, &work->why);
		else if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		else
			work->why = error->message;
		if (work->insert == NULL)
			warn_of_rows(work->call, work->why, NULL);
	}
	return work->insert != NULL;
}

static void
enqueue_rows(Work *work, const Pair *pair)
{
	if (can_insert(work))
		oss_job_insert(work->insert, &pair->object);
}

/* Insert a row whose condition failed into failed_job. */
static void
refuse_row(Work *work, const Pair *pair)
{
	const ErrorData *error = work->condition.error;
	OssRefusal	refusal = {
		.sqlerrcode = error->sqlerrcode,
		.code = "ConditionFailed",
		.message = "the condition of the watched table could not be evaluated",
		.detail = error->message,
		.hint = "Call oss_labels.watch() with a condition that works; oss_labels.retry_failed(code => 'ConditionFailed') queues the images whatever it says."
	};

	work->refused++;
	if (can_insert(work))
		oss_job_insert_failed(work->insert, &pair->object, &refusal);
}

static void
cancel_rows(Work *work, const Pair *pair)
{
	if (work->cancel == NULL)
		work->cancel = oss_job_cancel_begin(work->watch->source);
	if (work->cancel)
		oss_job_cancel(work->cancel, &pair->object);
	if (work->watch->forget_deleted && oss_rights_writes_all() && can_insert(work))
		oss_job_insert_deleted(work->insert, &pair->object);
}

/* Process the pairs that are in only one of the multisets. */
static void
end_window(Work *work)
{
	Bag		   *removed = work->removed;
	Bag		   *added = work->added;
	int			i = 0;
	int			j = 0;

	qsort(removed->pairs, removed->n, sizeof(Pair), compare_pairs);
	qsort(added->pairs, added->n, sizeof(Pair), compare_pairs);
	while (i < removed->n || j < added->n)
	{
		int			order = i == removed->n ? 1 : j == added->n ? -1 :
		compare_pairs(&removed->pairs[i], &added->pairs[j]);

		if (order < 0)
			cancel_rows(work, &removed->pairs[i]);
		else if (order > 0)
			enqueue_rows(work, &added->pairs[j]);
		if (order <= 0)
			i++;
		if (order >= 0)
			j++;
	}
	removed->n = added->n = 0;
}

/*
 * Add the pairs of the present old and new row to the multisets, unless they
 * are equal.
 */
static void
take_both(Work *work)
{
	Side	   *old = &work->old;
	Side	   *new = &work->new;
	bool		same = old->present && new->present &&
	compare_pairs(&old->pair, &new->pair) == 0;
	bool		was = old->present && old->verdict == OSS_ROW_YES;
	bool		is = new->present && new->verdict == OSS_ROW_YES;

	if (same && old->verdict == new->verdict)
		return;
	if (new->present && new->verdict == OSS_ROW_ERROR && !(same && was))
		refuse_row(work, &new->pair);
	if (same && (was == is || new->verdict == OSS_ROW_ERROR))
		return;
	if (was)
		work->removed->pairs[work->removed->n++] = old->pair;
	if (is)
		work->added->pairs[work->added->n++] = new->pair;
}

/* Are all columns that matter the same in the old and the new row? */
static bool
row_is_same(const Work *work, const Bitmapset *read)
{
	int			column = -1;
	const OssWatch *watch = work->watch;
	const AttrNumber columns[] = {watch->key_column, watch->bucket_column,
	watch->etag_column};

	for (int i = 0; i < lengthof(columns); i++)
	{
		if (columns[i] != 0 && !column_is_same(&work->old, &work->new, columns[i]))
			return false;
	}
	while ((column = bms_next_member(read, column)) >= 0)
	{
		if (!column_is_same(&work->old, &work->new, column))
			return false;
	}
	return true;
}

/* Are all columns that matter unchanged in all rows of the statement? */
static bool
rows_are_same(Work *work)
{
	bool		same = true;

	rewind_side(&work->old);
	rewind_side(&work->new);
	while (same)
	{
		bool		old = next_row(&work->old);

		CHECK_FOR_INTERRUPTS();
		if (next_row(&work->new) != old)
			return false;
		if (!old)
			break;
		same = row_is_same(work, work->watch->read);
	}
	return same;
}

static void
serve_update(Work *work)
{
	bool		old = true;
	bool		new = true;
	bool		compare = work->old.verdicts == NULL && work->new.verdicts == NULL;

	work->removed = palloc(sizeof(Bag));
	work->added = palloc(sizeof(Bag));
	work->removed->n = work->added->n = 0;
	rewind_side(&work->old);
	rewind_side(&work->new);
	while (old || new)
	{
		CHECK_FOR_INTERRUPTS();
		old = old && next_row(&work->old);
		new = new && next_row(&work->new);
		if (compare && old && new && row_is_same(work, NULL))
			continue;
		work->old.present = work->new.present = false;
		if (old)
			read_pair(work, &work->old);
		if (new)
			read_pair(work, &work->new);
		take_both(work);
		if (work->removed->n == WINDOW || work->added->n == WINDOW)
		{
			end_window(work);
			MemoryContextReset(work->window);
		}
	}
	end_window(work);
}

static void
serve_one_side(Work *work, Side *side)
{
	rewind_side(side);
	while (next_row(side))
	{
		CHECK_FOR_INTERRUPTS();
		if (side->verdict == OSS_ROW_NO)
			continue;
		read_pair(work, side);
		if (side->present)
		{
			if (side == &work->old)
			{
				if (side->verdict == OSS_ROW_YES)
					cancel_rows(work, &side->pair);
			}
			else if (side->verdict == OSS_ROW_YES)
				enqueue_rows(work, &side->pair);
			else
				refuse_row(work, &side->pair);
		}
		if (side->n % WINDOW == 0)
			MemoryContextReset(work->window);
	}
}

static void
evaluate_rows(Work *work, Side *side)
{
	int64		n;

	if (work->watch->condition == NULL || (side->store == NULL && side->slot == NULL))
		return;
	n = side->store ? tuplestore_tuple_count(side->store) : 1;
	if (work->broken)
	{
		side->verdicts = palloc_extended(Max(n, 1), MCXT_ALLOC_HUGE);
		memset(side->verdicts, OSS_ROW_ERROR, n);
	}
	else if (side->store)
		side->verdicts = oss_condition_rows(&work->condition, side->store, n);
	else
	{
		side->verdicts = palloc(1);
		side->verdicts[0] = oss_condition_row(&work->condition, side->slot);
	}
}

/*
 * Can the UPDATE not have changed any column that matters?  None is in its
 * SET list, and there is no BEFORE trigger on the table or a child that could
 * have changed one.
 */
static bool
update_misses(const Work *work)
{
	const OssWatch *watch = work->watch;
	Relation	relation = work->call->tg_relation;
	Bitmapset  *decides = bms_copy(watch->read);
	int			column = -1;

	if (relation->rd_rel->relkind != RELKIND_RELATION ||
		relation->rd_rel->relhassubclass ||
		relation->trigdesc->trig_update_before_row)
		return false;
	decides = bms_add_member(decides, watch->key_column);
	if (watch->bucket_column != 0)
		decides = bms_add_member(decides, watch->bucket_column);
	if (watch->etag_column != 0)
		decides = bms_add_member(decides, watch->etag_column);
	while ((column = bms_next_member(decides, column)) >= 0)
	{
		if (bms_is_member(column - FirstLowInvalidHeapAttributeNumber,
						  work->call->tg_updatedcols))
			return false;
	}
	return true;
}

static void
find_sides(Work *work)
{
	TriggerData *call = work->call;
	TriggerEvent event = call->tg_event;
	TupleDesc	desc = RelationGetDescr(call->tg_relation);

	if (TRIGGER_FIRED_FOR_ROW(event))
	{
		if (TRIGGER_FIRED_BY_UPDATE(event))
			work->new.slot = call->tg_newslot;
		else if (TRIGGER_FIRED_BY_INSERT(event))
			work->new.slot = call->tg_trigslot;
		if (!TRIGGER_FIRED_BY_INSERT(event))
			work->old.slot = call->tg_trigslot;
		return;
	}
	if (!TRIGGER_FIRED_BY_DELETE(event))
		work->new.store = call->tg_newtable;
	if (!TRIGGER_FIRED_BY_INSERT(event))
		work->old.store = call->tg_oldtable;
	if (work->new.store)
		work->new.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	if (work->old.store)
		work->old.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

static void
serve_rows(Work *work)
{
	bool		update = TRIGGER_FIRED_BY_UPDATE(work->call->tg_event);

	if (work->watch->condition)
		work->broken = !oss_condition_prepare(&work->condition);
	if (update && TRIGGER_FIRED_FOR_STATEMENT(work->call->tg_event) &&
		update_misses(work))
		return;
	find_sides(work);
	if (update && work->watch->condition && rows_are_same(work))
		return;
	evaluate_rows(work, &work->old);
	evaluate_rows(work, &work->new);
	if (update)
		serve_update(work);
	else if (TRIGGER_FIRED_BY_INSERT(work->call->tg_event))
		serve_one_side(work, &work->new);
	else
		serve_one_side(work, &work->old);
}

/* Finish inserting and cancelling. */
static void
end_work(Work *work)
{
	if (work->insert && oss_job_insert_end(work->insert) > 0)
	{
		oss_wake_at_commit();
		oss_notice_no_worker();
	}
	if (work->cancel)
		oss_job_cancel_end(work->cancel);
	if (TRIGGER_FIRED_FOR_ROW(work->call->tg_event))
		return;
	if (work->new.slot)
		ExecDropSingleTupleTableSlot(work->new.slot);
	if (work->old.slot)
		ExecDropSingleTupleTableSlot(work->old.slot);
}

/* Prepare to serve a call. */
static Work
begin_work(OssWatch *watch, TriggerData *call)
{
	Work		work = {
		.watch = watch,
		.call = call,
		.condition = {.watch = watch,.trigger = call},
		.common = {
			.has_thr = watch->has_thr,
			.thr = watch->thr,
			.max_age = watch->max_age,
			.source = watch->source
		}
	};

	work.window = AllocSetContextCreate(CurrentMemoryContext,
										"oss_labels rows",
										ALLOCSET_DEFAULT_SIZES);
	return work;
}

void
oss_watch_serve(OssWatch *watch, TriggerData *call)
{
	Work		work = begin_work(watch, call);

	if (watch->problem && !TRIGGER_FIRED_BY_TRUNCATE(call->tg_event))
	{
		warn_of_rows(call, watch->problem,
					 "Call oss_labels.watch() again, or oss_labels.unwatch(); drop a trigger that was made by hand.");
		return;
	}
	if (TRIGGER_FIRED_BY_TRUNCATE(call->tg_event))
	{
		work.cancel = oss_job_cancel_begin(watch->source);
		if (work.cancel)
			oss_job_cancel_all(work.cancel);
	}
	else
		serve_rows(&work);
	if (work.refused > 0)
		warn_of_rows(call, psprintf("its condition fails: %s",
									work.condition.error->message),
					 "The images are in oss_labels.failed_job. Call oss_labels.watch() with a condition that works.");
	end_work(&work);
	MemoryContextDelete(work.window);
}

/* Cancel the jobs of the rows that a scan returns. */
static void
cancel_scan(Work *work, TableScanDesc scan, TupleTableSlot *slot)
{
	int			n = 0;

	while (n++ < MAX_ROWS_READ &&
		   table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(work->window);

		CHECK_FOR_INTERRUPTS();
		memset(&work->old, 0, sizeof(Side));
		work->old.slot = slot;
		evaluate_rows(work, &work->old);
		serve_one_side(work, &work->old);
		MemoryContextSwitchTo(old);
		MemoryContextReset(work->window);
	}
}

void
oss_watch_cancel_relation(OssWatch *watch, TriggerData *call)
{
	Work		work = begin_work(watch, call);

	work.cancel = oss_job_cancel_begin(watch->source);
	if (work.cancel && oss_job_cancel_any(work.cancel))
	{
		TupleTableSlot *slot = table_slot_create(call->tg_relation, NULL);
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
		TableScanDesc scan = oss_table_beginscan(call->tg_relation, snapshot);

		if (watch->condition)
			work.broken = !oss_condition_prepare(&work.condition);
		cancel_scan(&work, scan, slot);
		table_endscan(scan);
		UnregisterSnapshot(snapshot);
		ExecDropSingleTupleTableSlot(slot);
	}
	if (work.cancel)
		oss_job_cancel_end(work.cancel);
	MemoryContextDelete(work.window);
}
