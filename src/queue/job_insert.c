/*-------------------------------------------------------------------------
 * job_insert.c
 *	  Inserting jobs for rows of a watched table.
 *
 * An INSERT in a subtransaction would catch all errors, but each takes a
 * transaction ID, and more than 64 in a transaction overflow the subtransaction
 * cache of other sessions' snapshots, which slows down everybody.  So this code
 * fails only for lack of memory or disk space.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "client/image.h"
#include "commands/sequence.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "queue/identity.h"
#include "queue/job_insert.h"
#include "rewrite/rewriteHandler.h"
#include "spi/bulk_insert.h"
#include "spi/role.h"
#include "storage/lmgr.h"
#include "store/coverage.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Rows per bulk insert. */
#define ROWS 500

/* How long a transaction waits for locks on the queue in total. */
#define LOCK_TRIES 50
#define LOCK_SLEEP_US 10000

/*
 * Limits on bytes of key and bucket, for the indexes of job: twice what OSS
 * allows, whose limits count bytes of UTF-8, while the database may use
 * another encoding.  The worker refuses names longer than OSS allows.
 */
#define MAX_KEY 2046
#define MAX_BUCKET 255

/* A table that is inserted into. */
typedef struct Target
{
	Relation	relation;
	OssBulkRow *pattern;		/* values common to all rows */
	OssBulkRow *rows;
	int			n;
	int			room;
	int			job_id;			/* column indexes, or -1 */
	int			bucket;
	int			key;
	int			etag;
} Target;

struct OssJobInsert
{
	MemoryContext context;		/* of pending rows */
	const OssJobCommon *common;
	Oid			sequence;
	Target		job;
	Target		failed;			/* opened on first use, these two */
	Target		deleted;
	uint64		inserted;
};

typedef struct Value
{
	const char *column;
	Datum		value;
	bool		isnull;
} Value;

/* Lock a relation of the queue, waiting within LOCK_TRIES. */
static bool
lock_soon(Oid relid)
{
	static TimestampTz transaction = 0;
	static int	tries = 0;

	if (transaction != GetCurrentTransactionStartTimestamp())
	{
		transaction = GetCurrentTransactionStartTimestamp();
		tries = 0;
	}
	for (;;)
	{
		if (ConditionalLockRelationOid(relid, RowExclusiveLock))
			return true;
		if (tries == LOCK_TRIES)
			return false;
		tries++;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_SLEEP_US);
	}
}

Relation
oss_queue_open(const char *name, const char **why)
{
	Oid			schema = get_namespace_oid("oss_labels", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(name, schema) :
	InvalidOid;
	Relation	relation;

	*why = NULL;
	if (XactReadOnly)
		*why = "the transaction is read-only";
	else if (!OidIsValid(relid))
		*why = "the queue is not there";
	else if (!lock_soon(relid))
		*why = "another session has locked the queue";
	if (*why)
		return NULL;
	relation = try_relation_open(relid, NoLock);
	if (relation && relation->rd_rel->relkind == RELKIND_RELATION)
		return relation;
	if (relation)
		relation_close(relation, NoLock);
	*why = "the queue is not there";
	return NULL;
}

/* Return the index of a column, -1 if there is none. */
static int
column_index(Relation relation, const char *name)
{
	TupleDesc	desc = RelationGetDescr(relation);

	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i;
	}
	return -1;
}

/* Set a column of the pattern to its default, if that is constant. */
static void
take_default(Target *target, int i)
{
	Node	   *node = build_column_default(target->relation, i + 1);

	if (node)
		node = eval_const_expressions(NULL, node);
	if (node == NULL || !IsA(node, Const))
		return;
	target->pattern->values[i] = ((Const *) node)->constvalue;
	target->pattern->nulls[i] = ((Const *) node)->constisnull;
}

/* Set columns of a row, ignoring those that the table lacks. */
static void
set_values(Relation relation, OssBulkRow *row, const Value *values, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			column = column_index(relation, values[i].column);

		if (column < 0)
			continue;
		row->values[column] = values[i].value;
		row->nulls[column] = values[i].isnull;
	}
}

static Value
text_value(const char *column, const char *string)
{
	Value		value = {column, (Datum) 0, string == NULL};

	if (string)
		value.value = CStringGetTextDatum(string);
	return value;
}

/* Set the values common to all rows; other columns have their default. */
static void
fill_pattern(Target *target, const OssJobCommon *common)
{
	Relation	relation = target->relation;
	TupleDesc	desc = RelationGetDescr(relation);
	Datum		now = TimestampTzGetDatum(GetCurrentTimestamp());
	Value		values[] = {
		{"enqueued_at", now}, {"due", now}, {"failed_at", now},
		{"fresh_since", common->max_age ?
			TimestampTzGetDatum(oss_fresh_since(common->max_age)) : (Datum) 0,
		common->max_age == NULL},
		{"attempts", Int32GetDatum(0)},
		{"thr", Float8GetDatum(common->thr), !common->has_thr},
		{"priority", Int32GetDatum(common->priority)},
		{"requester", ObjectIdGetDatum(GetUserId())},
		{"source", ObjectIdGetDatum(common->source)},
		{"origin", Int64GetDatum(oss_origin())},
		text_value("requester_name", oss_role_name(GetUserId())),
		text_value("source_name", oss_table_name(common->source)),
		text_value("server", common->server),
		{"server_id", ObjectIdGetDatum(get_foreign_server_oid(common->server, true))}
	};

	target->pattern = oss_bulk_rows(1, desc->natts);
	set_values(relation, target->pattern, values, lengthof(values));
	target->job_id = column_index(relation, "job_id");
	target->bucket = column_index(relation, "bucket");
	target->key = column_index(relation, "key");
	target->etag = column_index(relation, "etag");
	for (int i = 0; i < desc->natts; i++)
	{
		const FormData_pg_attribute *column = TupleDescAttr(desc, i);

		if (column->attnotnull && target->pattern->nulls[i] &&
			i != target->job_id && i != target->bucket && i != target->key)
			take_default(target, i);
	}
}

static bool
open_target(OssJobInsert *insert, Target *target, const char *name,
			const char **why)
{
	target->relation = oss_queue_open(name, why);
	if (target->relation == NULL)
		return false;
	fill_pattern(target, insert->common);
	if (target->job_id >= 0 && target->bucket >= 0 && target->key >= 0)
		return true;
	relation_close(target->relation, NoLock);
	target->relation = NULL;
	*why = "the queue is of another version";
	return false;
}

OssJobInsert *
oss_job_insert_begin(const OssJobCommon *common, const char **why)
{
	OssJobInsert *insert = palloc0(sizeof(OssJobInsert));

	insert->common = common;
	insert->sequence = get_relname_relid("job_job_id_seq",
										 get_namespace_oid("oss_labels", true));
	if (!OidIsValid(insert->sequence))
	{
		*why = "the queue is not there";
		return NULL;
	}
	if (!open_target(insert, &insert->job, "job", why))
		return NULL;
	insert->context = AllocSetContextCreate(CurrentMemoryContext,
											"oss_labels new jobs",
											ALLOCSET_DEFAULT_SIZES);
	return insert;
}

/* Write the pending rows of all tables. */
static void
flush_jobs(OssJobInsert *insert)
{
	Target	   *targets[] = {&insert->job, &insert->failed, &insert->deleted};
	MemoryContext old = MemoryContextSwitchTo(insert->context);

	for (int i = 0; i < lengthof(targets); i++)
	{
		if (targets[i]->n > 0)
			oss_bulk_insert(targets[i]->relation, targets[i]->rows, targets[i]->n);
		targets[i]->n = 0;
		targets[i]->room = 0;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(insert->context);
}

/* Truncate a text to max bytes at a character boundary. */
static Datum
clip_text(Datum value, int max)
{
	char	   *data = VARDATA_ANY(DatumGetPointer(value));
	int			length = VARSIZE_ANY_EXHDR(DatumGetPointer(value));

	if (length > max)
		length = pg_mbcliplen(data, length, max);
	return PointerGetDatum(cstring_to_text_with_len(data, length));
}

/* Append a pending row, in insert->context. */
static OssBulkRow *
add_pending_row(OssJobInsert *insert, Target *target, const OssJobObject *object)
{
	int			natts = RelationGetDescr(target->relation)->natts;
	OssBulkRow *row;

	if (target->n == target->room)
	{
		/* most statements insert one row */
		OssBulkRow *rows = oss_bulk_rows(target->room == 0 ? 1 : ROWS, natts);

		for (int i = 0; i < target->n; i++)
			rows[i] = target->rows[i];
		target->rows = rows;
		target->room = target->room == 0 ? 1 : ROWS;
	}
	row = &target->rows[target->n++];
	memcpy(row->values, target->pattern->values, sizeof(Datum) * natts);
	memcpy(row->nulls, target->pattern->nulls, sizeof(bool) * natts);
	row->values[target->job_id] =
		Int64GetDatum(nextval_internal(insert->sequence, false));
	row->nulls[target->job_id] = false;
	row->values[target->bucket] = clip_text(object->bucket, MAX_BUCKET);
	row->nulls[target->bucket] = false;
	row->values[target->key] = clip_text(object->key, MAX_KEY);
	row->nulls[target->key] = false;
	if (target->etag >= 0 && object->etag != 0)
	{
		row->values[target->etag] = clip_text(object->etag, OSS_ETAG_MAX);
		row->nulls[target->etag] = false;
	}
	return row;
}

/* Insert a row with a name too long into failed_job. */
static void
insert_too_long(OssJobInsert *insert, const OssJobObject *object)
{
	bool		key_fits = VARSIZE_ANY_EXHDR(DatumGetPointer(object->key)) <= MAX_KEY;
	OssRefusal	refusal = {
		.sqlerrcode = ERRCODE_INVALID_PARAMETER_VALUE,
		.code = key_fits ? "InvalidBucketName" : "InvalidObjectName",
		.message = key_fits ? "the name of the bucket is too long" :
		"the object's key is too long",
		.detail = key_fits ? "Buckets have names of 3 to 63 characters." :
		"Keys have at most 1023 bytes; only the beginning of this one is kept."
	};

	oss_job_insert_failed(insert, object, &refusal);
}

void
oss_job_insert(OssJobInsert *insert, const OssJobObject *object)
{
	MemoryContext old;

	if (VARSIZE_ANY_EXHDR(DatumGetPointer(object->key)) > MAX_KEY ||
		VARSIZE_ANY_EXHDR(DatumGetPointer(object->bucket)) > MAX_BUCKET)
	{
		insert_too_long(insert, object);
		return;
	}
	old = MemoryContextSwitchTo(insert->context);
	(void) add_pending_row(insert, &insert->job, object);
	MemoryContextSwitchTo(old);
	insert->inserted++;
	if (insert->job.n == ROWS)
		flush_jobs(insert);
}

void
oss_job_insert_failed(OssJobInsert *insert, const OssJobObject *object,
					  const OssRefusal *refusal)
{
	Target	   *target = &insert->failed;
	MemoryContext old;
	const char *why;

	if (target->relation == NULL &&
		!open_target(insert, target, "failed_job", &why))
		return;
	old = MemoryContextSwitchTo(insert->context);
	{
		Value		values[] = {
			text_value("sqlstate", unpack_sql_state(refusal->sqlerrcode)),
			text_value("code", refusal->code),
			text_value("message", refusal->message),
			text_value("detail", refusal->detail),
			text_value("hint", refusal->hint)
		};

		set_values(target->relation, add_pending_row(insert, target, object),
				   values, lengthof(values));
	}
	MemoryContextSwitchTo(old);
	if (target->n == ROWS)
		flush_jobs(insert);
}

void
oss_job_insert_deleted(OssJobInsert *insert, const OssJobObject *object)
{
	Target	   *target = &insert->deleted;
	MemoryContext old;
	const char *why;

	if (VARSIZE_ANY_EXHDR(DatumGetPointer(object->key)) > MAX_KEY ||
		VARSIZE_ANY_EXHDR(DatumGetPointer(object->bucket)) > MAX_BUCKET ||
		(target->relation == NULL &&
		 !open_target(insert, target, "deleted_row", &why)))
		return;
	old = MemoryContextSwitchTo(insert->context);
	(void) add_pending_row(insert, target, object);
	MemoryContextSwitchTo(old);
	insert->inserted++;
	if (target->n == ROWS)
		flush_jobs(insert);
}

uint64
oss_job_insert_end(OssJobInsert *insert)
{
	uint64		inserted = insert->inserted;

	flush_jobs(insert);
	CommandCounterIncrement();
	relation_close(insert->job.relation, NoLock);
	if (insert->failed.relation)
		relation_close(insert->failed.relation, NoLock);
	if (insert->deleted.relation)
		relation_close(insert->deleted.relation, NoLock);
	MemoryContextDelete(insert->context);
	pfree(insert);
	return inserted;
}
