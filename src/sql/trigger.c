/*-------------------------------------------------------------------------
 * trigger.c
 *	  oss_labels.enqueue_trigger(): the images that changed rows name go into
 *	  the queue, those of deleted rows leave it.
 *
 * For a statement, one INSERT ... SELECT reads the transition table.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "client/request.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "sql/identity.h"
#include "sql/shared.h"
#include "sql/statement.h"
#include "sql/watch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(oss_enqueue_trigger);
PG_FUNCTION_INFO_V1(oss_check_watch);

/* Rows of a condition's result that are enqueued by one statement. */
#define CHUNK 10000

/* Buckets and keys that a find gave. */
typedef struct Pairs
{
	int			n;
	Datum	   *buckets;
	Datum	   *keys;
} Pairs;

/* Raise 39P01. */
static void
protocol_error(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("%s", message),
			 errhint("%s", hint)));
}

/* Raise 39P01 unless it is called by a trigger that it can serve. */
static void
check_call(FunctionCallInfo fcinfo)
{
	TriggerData *call = (TriggerData *) fcinfo->context;
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		protocol_error("oss_labels.enqueue_trigger() must be called by a trigger",
					   "Use oss_labels.enqueue() elsewhere.");
	event = call->tg_event;
	if (!TRIGGER_FIRED_AFTER(event))
		protocol_error("oss_labels.enqueue_trigger() must be called by an AFTER trigger",
					   "Use CREATE TRIGGER ... AFTER.");
	if (TRIGGER_FIRED_FOR_ROW(event) || TRIGGER_FIRED_BY_TRUNCATE(event))
		return;
	if ((!TRIGGER_FIRED_BY_DELETE(event) && call->tg_newtable == NULL) ||
		(!TRIGGER_FIRED_BY_INSERT(event) && call->tg_oldtable == NULL))
		protocol_error("oss_labels.enqueue_trigger() needs the transition tables of a statement trigger",
					   "Use REFERENCING NEW TABLE for INSERT, OLD TABLE for DELETE, both for UPDATE, or FOR EACH ROW.");
}

/* Return whether there is nothing to do. */
static bool
nothing_happened(TriggerData *call)
{
	/*
	 * The trigger that serves logical replication must not enqueue what a
	 * restore or a bulk load with session_replication_role = replica brings.
	 */
	if (call->tg_trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA &&
		!IsLogicalWorker())
		return true;
	if (TRIGGER_FIRED_FOR_ROW(call->tg_event) ||
		TRIGGER_FIRED_BY_TRUNCATE(call->tg_event))
		return false;
	return (call->tg_newtable == NULL ||
			tuplestore_tuple_count(call->tg_newtable) == 0) &&
		(call->tg_oldtable == NULL ||
		 tuplestore_tuple_count(call->tg_oldtable) == 0);
}

/* Return the server that a trigger names, or the one that NULL stands for. */
static Datum
server_of(const OssWatch *watch)
{
	if (watch->server)
		return CStringGetTextDatum(watch->server);
	return CStringGetTextDatum(GetForeignServer(oss_server_oid(NULL,
															   GetUserId()))->servername);
}

/* Execute enqueue or cancel as the extension's owner; returns the rows. */
static uint64
run_as_owner(const OssWatch *watch, SPIPlanPtr plan, const Pairs *pairs)
{
	Datum		values[OSS_WATCH_PARAMETERS];
	char		nulls[OSS_WATCH_PARAMETERS];
	OssStatementState state;
	bool		arrays = pairs != NULL;
	char	   *source = oss_table_name(watch->source);

	oss_arg(values, nulls, 0, ObjectIdGetDatum(GetUserId()), false);
	oss_arg(values, nulls, 1, server_of(watch), false);
	oss_arg(values, nulls, 2, Float8GetDatum(watch->thr), !watch->has_thr);
	oss_arg(values, nulls, 3, Int32GetDatum(watch->priority), false);
	oss_arg(values, nulls, 4, ObjectIdGetDatum(watch->source), false);
	oss_arg(values, nulls, 5, TimestampTzGetDatum(GetCurrentTimestamp()), false);
	oss_arg(values, nulls, 6, arrays ?
			PointerGetDatum(construct_array(pairs->buckets, pairs->n, TEXTOID,
											-1, false, TYPALIGN_INT)) : (Datum) 0, !arrays);
	oss_arg(values, nulls, 7, arrays ?
			PointerGetDatum(construct_array(pairs->keys, pairs->n, TEXTOID,
											-1, false, TYPALIGN_INT)) : (Datum) 0, !arrays);
	oss_arg(values, nulls, 8, Int64GetDatum(oss_origin()), false);
	oss_arg(values, nulls, 9, CStringGetTextDatum(oss_role_name(GetUserId())),
			false);
	oss_arg(values, nulls, 10, source ? CStringGetTextDatum(source) : (Datum) 0,
			source == NULL);
	oss_statement_begin(&state, OSS_STATEMENT_INSERT);
	if (SPI_execute_plan(plan, values, nulls, false, 0) < 0)
		elog(ERROR, "could not run the plan of a watched table");
	oss_statement_end(&state);
	return SPI_processed;
}

/* Enqueue, and have the worker woken. */
static void
enqueue(const OssWatch *watch, const Pairs *pairs)
{
	if (run_as_owner(watch, watch->enqueue, pairs) == 0)
		return;
	oss_wake_at_commit();
	oss_notice_no_worker();
}

/* Cancel. */
static void
cancel(const OssWatch *watch, const Pairs *pairs)
{
	(void) run_as_owner(watch, watch->cancel, pairs);
}

/* Collect the rows of a result that have a bucket and a key. */
static Pairs
collect(SPITupleTable *table, uint64 rows)
{
	Pairs		pairs;

	pairs.n = 0;
	pairs.buckets = palloc(sizeof(Datum) * Max(rows, 1));
	pairs.keys = palloc(sizeof(Datum) * Max(rows, 1));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		no_bucket;
		bool		no_key;

		pairs.buckets[pairs.n] = SPI_getbinval(table->vals[i], table->tupdesc,
											   1, &no_bucket);
		pairs.keys[pairs.n] = SPI_getbinval(table->vals[i], table->tupdesc,
											2, &no_key);
		if (!no_bucket && !no_key)
			pairs.n++;
	}
	return pairs;
}

/*
 * Hand what a find over the transition tables gives to action, in chunks whose
 * memory is given back: there may be millions of rows.
 */
static void
for_found(const OssWatch *watch, SPIPlanPtr find,
		  void (*action) (const OssWatch *, const Pairs *))
{
	Portal		portal = SPI_cursor_open(NULL, find, NULL, NULL, false);
	MemoryContext chunk = AllocSetContextCreate(CurrentMemoryContext,
												"oss_labels chunk",
												ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		Pairs		pairs;
		SPITupleTable *table;
		MemoryContext old;

		SPI_cursor_fetch(portal, true, CHUNK);
		table = SPI_tuptable;
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(chunk);
		pairs = collect(table, SPI_processed);
		if (pairs.n > 0)
			action(watch, &pairs);
		MemoryContextSwitchTo(old);
		MemoryContextReset(chunk);
		SPI_freetuptable(table);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(chunk);
}

/* Find bucket and key of one row. */
static Pairs
find_in_row(const OssWatch *watch, Relation relation, HeapTuple tuple)
{
	Datum		row = heap_copy_tuple_as_datum(tuple,
											   RelationGetDescr(relation));

	if (SPI_execute_plan(watch->find, &row, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run the plan of a watched table");
	return collect(SPI_tuptable, SPI_processed);
}

/* Return whether two rows name the same. */
static bool
same(const Pairs *a, const Pairs *b)
{
	return a->n == 1 && b->n == 1 &&
		DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID,
											 a->buckets[0], b->buckets[0])) &&
		DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID,
											 a->keys[0], b->keys[0]));
}

/* Serve one row. */
static void
serve_row(const OssWatch *watch, TriggerData *call)
{
	Pairs		added = {0};
	Pairs		removed = {0};
	TriggerEvent event = call->tg_event;

	if (TRIGGER_FIRED_BY_UPDATE(event))
		added = find_in_row(watch, call->tg_relation, call->tg_newtuple);
	else if (TRIGGER_FIRED_BY_INSERT(event))
		added = find_in_row(watch, call->tg_relation, call->tg_trigtuple);
	if (!TRIGGER_FIRED_BY_INSERT(event))
		removed = find_in_row(watch, call->tg_relation, call->tg_trigtuple);
	if (same(&added, &removed))
		return;
	if (removed.n > 0)
		cancel(watch, &removed);
	if (added.n > 0)
		enqueue(watch, &added);
}

/* Serve a statement. */
static void
serve_statement(const OssWatch *watch, TriggerData *call)
{
	if (watch->cancel)
	{
		if (watch->find_old)
			for_found(watch, watch->find_old, cancel);
		else
			cancel(watch, NULL);
	}
	if (watch->enqueue)
	{
		if (watch->find)
			for_found(watch, watch->find, enqueue);
		else
			enqueue(watch, NULL);
	}
}

/* oss_labels.enqueue_trigger() */
Datum
oss_enqueue_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *call;
	OssWatch   *watch;
	int			level;

	check_call(fcinfo);
	call = (TriggerData *) fcinfo->context;
	if (nothing_happened(call))
		return PointerGetDatum(NULL);

	SPI_connect();
	if (SPI_register_trigger_data(call) < 0)
		elog(ERROR, "could not register transition tables");
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	watch = oss_watch_enter(call);
	PG_TRY();
	{
		if (TRIGGER_FIRED_FOR_ROW(call->tg_event))
			serve_row(watch, call);
		else
			serve_statement(watch, call);
	}
	PG_FINALLY();
	{
		oss_watch_leave(watch);
	}
	PG_END_TRY();
	AtEOXact_GUC(false, level);
	SPI_finish();
	return PointerGetDatum(NULL);
}

/* Raise what is wrong with a relation that shall be watched. */
static void
check_relation(Oid relid, const char *key_column, const char *bucket_column)
{
	Relation	relation = try_table_open(relid, AccessShareLock);
	const char *columns[] = {key_column, bucket_column};

	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (relation->rd_rel->relkind != RELKIND_RELATION &&
		relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table",
						RelationGetRelationName(relation)),
				 errhint("Views and foreign tables have no transition tables: watch the table itself, or call oss_labels.enqueue().")));
	for (int i = 0; i < lengthof(columns); i++)
	{
		AttrNumber	column;

		if (columns[i] == NULL)
			continue;
		column = get_attnum(relid, columns[i]);
		if (column <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist",
							columns[i], RelationGetRelationName(relation))));
		oss_watch_check_column(relation, column);
	}
	table_close(relation, AccessShareLock);
}

/* Raise 22023 for a bucket or threshold that could never be asked for. */
static void
check_constants(const char *bucket, bool has_thr, double thr)
{
	OssLabelsSpec spec = {0};
	const OssFailure *failure;

	/* what belongs to a row is not known here: legal ones stand for it */
	spec.bucket = bucket ? pg_server_to_any(bucket, strlen(bucket), PG_UTF8) :
		"bucket";
	spec.key = "key";
	spec.has_thr = has_thr;
	spec.thr = thr;
	failure = oss_spec_failure(&spec);
	if (failure)
		oss_failure_throw(failure);
}

/* oss_labels.check_watch(relation, key_column, bucket_column, bucket, thr, server) */
Datum
oss_check_watch(PG_FUNCTION_ARGS)
{
	const char *server = NULL;
	Oid			serverid;
	Name		result = palloc0(sizeof(NameData));

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation and key_column must not be null")));
	check_relation(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)),
				   PG_ARGISNULL(2) ? NULL : NameStr(*PG_GETARG_NAME(2)));
	check_constants(PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)),
					!PG_ARGISNULL(4), PG_ARGISNULL(4) ? 0 : PG_GETARG_FLOAT8(4));
	if (!PG_ARGISNULL(5))
		server = NameStr(*PG_GETARG_NAME(5));
	serverid = oss_server_oid(server, GetUserId());
	namestrcpy(result, GetForeignServer(serverid)->servername);
	PG_RETURN_NAME(result);
}
