/*-------------------------------------------------------------------------
 * watch.c
 *	  The arguments, columns and statements of triggers that enqueue.
 *
 * Columns: watch() makes a row trigger whose column list PostgreSQL keeps
 * right when columns are renamed and guards when they are dropped; the other
 * triggers of watch() look there.  Triggers made by hand name theirs.
 *
 * Rights: nothing of a user's runs as the extension's owner.  Columns must be
 * of a built-in type of text, so that reading them calls nobody's function, and
 * conditions are evaluated as the role that changes the table.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "client/request.h"
#include "common/string.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "sql/statement.h"
#include "sql/watch.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#define COLUMNS_TRIGGER "oss_labels_replica"

#define NOT_LEASED \
	"(j.leased_until IS NULL OR j.leased_until < pg_catalog.clock_timestamp())"

#define FROM_SOURCE \
	"oss_labels.table_of(j.origin, j.source, j.source_name) OPERATOR(pg_catalog.=) $5"

static HTAB *watches = NULL;

/* Mark what depends on a relation; called by the relation cache. */
static void
on_relation_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	OssWatch   *watch;

	hash_seq_init(&status, watches);
	while ((watch = hash_seq_search(&status)) != NULL)
	{
		if (relid == InvalidOid || watch->relation == relid)
			watch->stale = true;
	}
}

/* Make the table of watches. */
static void
make_table(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(OssWatch);
	watches = hash_create("oss_labels watches", 16, &control,
						  HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
}

/* Free what a watch holds but itself. */
static void
forget(OssWatch *watch)
{
	SPIPlanPtr *plans[] = {&watch->find, &watch->find_old, &watch->enqueue,
	&watch->cancel};

	for (int i = 0; i < lengthof(plans); i++)
	{
		SPIPlanPtr	plan = *plans[i];

		if (plan)
			SPI_freeplan(plan);
		*plans[i] = NULL;
	}
	if (watch->context)
		MemoryContextDelete(watch->context);
	watch->context = NULL;
}

/* Drop every watch that is stale and not in use. */
static void
purge(void)
{
	HASH_SEQ_STATUS status;
	OssWatch   *watch;

	hash_seq_init(&status, watches);
	while ((watch = hash_seq_search(&status)) != NULL)
	{
		if (!watch->stale || watch->busy > 0)
			continue;
		forget(watch);
		hash_search(watches, &watch->trigger, HASH_REMOVE, NULL);
	}
}

/* Raise 42804 when a column can't name a bucket or key. */
void
oss_watch_check_column(Relation relation, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation),
												column - 1);

	switch (getBaseType(attribute->atttypid))
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of \"%s\" is of type %s, not text",
							NameStr(attribute->attname),
							RelationGetRelationName(relation),
							format_type_be(attribute->atttypid)),
					 errhint("Buckets and keys are taken from columns of type text or varchar; a generated column can make one.")));
	}
}

/* Find a column by its name. */
static AttrNumber
column_named(Relation relation, const char *name)
{
	AttrNumber	column = get_attnum(RelationGetRelid(relation), name);

	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of \"%s\" does not exist", name,
						RelationGetRelationName(relation)),
				 errdetail("A trigger that enqueues images reads it."),
				 errhint("Drop the trigger, or use oss_labels.watch(), which follows renamed columns.")));
	return column;
}

/* Return the value of an argument. */
static const char *
argument(const Trigger *trigger, const char *name)
{
	for (int i = 0; i + 1 < trigger->tgnargs; i += 2)
	{
		if (strcmp(trigger->tgargs[i], name) == 0)
			return trigger->tgargs[i + 1];
	}
	return NULL;
}

/* Do two triggers have the same argument, or both none? */
static bool
same_argument(const Trigger *a, const Trigger *b, const char *name)
{
	const char *x = argument(a, name);
	const char *y = argument(b, name);

	return x == y || (x && y && strcmp(x, y) == 0);
}

/*
 * Find the trigger of a relation that keeps the columns of watch(), or NULL.
 * In a partition it may be its parent's, about other columns.
 */
static const Trigger *
columns_trigger(Relation relation, const Trigger *trigger)
{
	TriggerDesc *all = relation->trigdesc;

	if (strncmp(trigger->tgname, "oss_labels_", strlen("oss_labels_")) != 0)
		return NULL;
	for (int i = 0; i < all->numtriggers; i++)
	{
		if (strcmp(all->triggers[i].tgname, COLUMNS_TRIGGER) == 0 &&
			all->triggers[i].tgfoid == trigger->tgfoid &&
			same_argument(&all->triggers[i], trigger, "key_column") &&
			same_argument(&all->triggers[i], trigger, "bucket_column"))
			return &all->triggers[i];
	}
	return NULL;
}

/* Raise 22023 for an argument of a trigger. */
static void
bad_argument(const Trigger *trigger, const char *name, const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("trigger \"%s\" has a bad argument: '%s', '%s'",
					trigger->tgname, name, value),
			 errhint("Arguments are pairs of name and value: key_column, bucket_column or bucket, thr, server, priority, condition.")));
}

/* Take one pair of a trigger's arguments. */
static void
take_argument(OssWatch *watch, Relation relation, const Trigger *trigger,
			  const char *name, const char *value)
{
	char	   *end;

	if (strcmp(name, "key_column") == 0)
		watch->key_column = -1;
	else if (strcmp(name, "bucket_column") == 0)
		watch->bucket_column = -1;
	else if (strcmp(name, "bucket") == 0)
		watch->bucket = value;
	else if (strcmp(name, "server") == 0)
		watch->server = value;
	else if (strcmp(name, "condition") == 0)
		watch->condition = value;
	else if (strcmp(name, "priority") == 0)
	{
		errno = 0;
		watch->priority = strtoint(value, &end, 10);
		if (*value == '\0' || *end != '\0' || errno != 0)
			bad_argument(trigger, name, value);
	}
	else if (strcmp(name, "thr") == 0)
	{
		watch->thr = strtod(value, &end);
		watch->has_thr = true;
		if (*value == '\0' || *end != '\0' ||
			!(watch->thr >= 0 && watch->thr <= 1))
			bad_argument(trigger, name, value);
	}
	else
		bad_argument(trigger, name, value);
}

/* Find the columns. */
static void
take_columns(OssWatch *watch, Relation relation, const Trigger *trigger)
{
	const Trigger *columns = columns_trigger(relation, trigger);
	bool		by_column = watch->bucket_column != 0;

	if (columns && columns->tgnattr == (by_column ? 2 : 1))
	{
		watch->key_column = columns->tgattr[0];
		watch->bucket_column = by_column ? columns->tgattr[1] : 0;
	}
	else
	{
		watch->key_column = column_named(relation,
										 argument(trigger, "key_column"));
		if (by_column)
			watch->bucket_column = column_named(relation,
												argument(trigger, "bucket_column"));
	}
	oss_watch_check_column(relation, watch->key_column);
	if (by_column)
		oss_watch_check_column(relation, watch->bucket_column);
}

/* Return the table that a trigger was made on. */
static Oid
source_of(Relation relation, const Trigger *trigger)
{
	if (!trigger->tgisclone)
		return RelationGetRelid(relation);
	return llast_oid(get_partition_ancestors(RelationGetRelid(relation)));
}

/* Read a trigger's arguments. */
static void
read_arguments(OssWatch *watch, Relation relation, const Trigger *trigger)
{
	MemoryContext old = MemoryContextSwitchTo(watch->context);

	if (trigger->tgnargs % 2 != 0)
		bad_argument(trigger, trigger->tgargs[trigger->tgnargs - 1], "");
	for (int i = 0; i < trigger->tgnargs; i += 2)
		take_argument(watch, relation, trigger, trigger->tgargs[i],
					  pstrdup(trigger->tgargs[i + 1]));
	MemoryContextSwitchTo(old);
	if (watch->key_column == 0 ||
		(watch->bucket == NULL) == (watch->bucket_column == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" needs key_column, and either bucket_column or bucket",
						trigger->tgname)));
	take_columns(watch, relation, trigger);
	watch->source = source_of(relation, trigger);
}

/*
 * Append an SQL expression for a column of an alias.  A collation of the
 * column's own would keep job's index from being used, and one that is not
 * deterministic take different keys for the same.
 */
static void
append_column(StringInfo sql, Relation relation, const char *alias,
			  AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation),
												column - 1);

	appendStringInfo(sql, "%s.%s::pg_catalog.text COLLATE pg_catalog.\"default\"",
					 alias, quote_identifier(NameStr(attribute->attname)));
}

/* Append a query for bucket and key of what a FROM item has. */
static void
append_pairs(StringInfo sql, const OssWatch *watch, Relation relation,
			 const char *from)
{
	const char *alias = quote_identifier(RelationGetRelationName(relation));

	appendStringInfoString(sql, "SELECT ");
	if (watch->bucket_column)
		append_column(sql, relation, alias, watch->bucket_column);
	else
		appendStringInfo(sql, "%s::pg_catalog.text",
						 quote_literal_cstr(watch->bucket));
	appendStringInfoString(sql, " AS b, ");
	append_column(sql, relation, alias, watch->key_column);
	appendStringInfo(sql, " AS k FROM %s AS %s", from, alias);
	if (watch->condition)
		appendStringInfo(sql, " WHERE (%s)", watch->condition);
}

/*
 * Append a query for what is in one transition table; when there are two, for
 * what is there and not in the other.
 */
static void
append_difference(StringInfo sql, const OssWatch *watch, Relation relation,
				  const char *table, const char *other)
{
	append_pairs(sql, watch, relation, quote_identifier(table));
	if (other == NULL)
		return;
	appendStringInfoString(sql, " EXCEPT ALL ");
	append_pairs(sql, watch, relation, quote_identifier(other));
}

/* Prepare a plan to be kept, as whoever we are. */
static SPIPlanPtr
keep(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

/* Parameters of the statements below, in order. */
static Oid	parameters[OSS_WATCH_PARAMETERS] = {
	OIDOID,						/* requester */
	TEXTOID,					/* server */
	FLOAT8OID,					/* thr */
	INT4OID,					/* priority */
	OIDOID,						/* source */
	TIMESTAMPTZOID,				/* now */
	TEXTARRAYOID,				/* buckets */
	TEXTARRAYOID,				/* keys */
	INT8OID,					/* origin */
	TEXTOID,					/* name of requester */
	TEXTOID						/* name of source */
};

/* Prepare a plan to be kept, as the extension's owner. */
static SPIPlanPtr
keep_as_owner(const char *sql)
{
	OssStatementState state;
	SPIPlanPtr	plan;

	oss_statement_begin(&state, OSS_STATEMENT_INSERT);
	plan = keep(sql, OSS_WATCH_PARAMETERS, parameters);
	oss_statement_end(&state);
	return plan;
}

/* Make the statement that enqueues what a query gives. */
static SPIPlanPtr
make_enqueue(const char *pairs)
{
	return keep_as_owner(psprintf("INSERT INTO oss_labels.job (requester, server, thr, "
								  "priority, source, enqueued_at, due, bucket, key, "
								  "origin, requester_name, source_name) "
								  "SELECT $1, $2, $3, $4, $5, $6, $6, p.b, p.k, $9, $10, $11 "
								  "FROM (%s) p "
								  "WHERE p.b IS NOT NULL AND p.k IS NOT NULL", pairs));
}

/*
 * Make the statement that cancels what a query gives: as many jobs as there
 * are rows, for another row may name the same object.  What another
 * transaction has locked is being worked on or cancelled already.
 */
static SPIPlanPtr
make_cancel(const char *pairs)
{
	return keep_as_owner(psprintf("DELETE FROM oss_labels.job WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
								  "SELECT c.ctid FROM (SELECT p.b, p.k, pg_catalog.count(*) AS n "
								  "FROM (%s) p GROUP BY p.b, p.k) g, LATERAL "
								  "(SELECT j.ctid FROM oss_labels.job j "
								  "WHERE j.key OPERATOR(pg_catalog.=) g.k "
								  "AND j.bucket OPERATOR(pg_catalog.=) g.b "
								  "AND " FROM_SOURCE " AND " NOT_LEASED
								  " LIMIT g.n FOR UPDATE SKIP LOCKED) c))", pairs));
}

/* Make the statement that cancels whatever came from the table. */
static SPIPlanPtr
make_cancel_all(void)
{
	return keep_as_owner("DELETE FROM oss_labels.job WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
						 "SELECT j.ctid FROM oss_labels.job j "
						 "WHERE " FROM_SOURCE " AND " NOT_LEASED
						 " FOR UPDATE SKIP LOCKED))");
}

#define FROM_ARRAYS \
	"SELECT u.b, u.k FROM ROWS FROM (pg_catalog.unnest($7), pg_catalog.unnest($8)) u(b, k)"

/* Make the statements of a trigger that is called for each row. */
static void
make_row_plans(OssWatch *watch, Relation relation)
{
	StringInfoData sql;
	Oid			rowtype = RelationGetForm(relation)->reltype;

	initStringInfo(&sql);
	append_pairs(&sql, watch, relation, "(SELECT ($1).*)");
	watch->find = keep(sql.data, 1, &rowtype);
	watch->enqueue = make_enqueue(FROM_ARRAYS);
	watch->cancel = make_cancel(FROM_ARRAYS);
}

/* Make the statements of a trigger with transition tables. */
static void
make_statement_plans(OssWatch *watch, Relation relation, const Trigger *trigger)
{
	StringInfoData added;
	StringInfoData removed;

	initStringInfo(&added);
	initStringInfo(&removed);
	if (trigger->tgnewtable)
		append_difference(&added, watch, relation, trigger->tgnewtable,
						  trigger->tgoldtable);
	if (trigger->tgoldtable)
		append_difference(&removed, watch, relation, trigger->tgoldtable,
						  trigger->tgnewtable);
	if (watch->condition)
	{
		if (trigger->tgnewtable)
			watch->find = keep(added.data, 0, NULL);
		if (trigger->tgoldtable)
			watch->find_old = keep(removed.data, 0, NULL);
	}
	if (trigger->tgnewtable)
		watch->enqueue = make_enqueue(watch->condition ? FROM_ARRAYS : added.data);
	if (trigger->tgoldtable)
		watch->cancel = make_cancel(watch->condition ? FROM_ARRAYS : removed.data);
}

/* Fill a new watch. */
static void
fill(OssWatch *watch, TriggerData *call)
{
	Relation	relation = call->tg_relation;
	Oid			id = watch->trigger;

	memset(watch, 0, sizeof(OssWatch));
	watch->trigger = id;
	watch->stale = true;		/* until it is complete */
	watch->relation = RelationGetRelid(relation);
	watch->context = AllocSetContextCreate(CacheMemoryContext,
										   "oss_labels watch",
										   ALLOCSET_SMALL_SIZES);
	read_arguments(watch, relation, call->tg_trigger);
	if (TRIGGER_FIRED_FOR_ROW(call->tg_event))
		make_row_plans(watch, relation);
	else if (TRIGGER_FIRED_BY_TRUNCATE(call->tg_event))
		watch->cancel = make_cancel_all();
	else
		make_statement_plans(watch, relation, call->tg_trigger);
	watch->stale = false;
}

/* Return the watch of the trigger that is called. */
OssWatch *
oss_watch_enter(TriggerData *call)
{
	OssWatch   *watch;
	bool		found;

	if (watches == NULL)
		make_table();
	watch = hash_search(watches, &call->tg_trigger->tgoid, HASH_FIND, NULL);
	if (watch == NULL || watch->stale)
	{
		purge();
		watch = hash_search(watches, &call->tg_trigger->tgoid, HASH_ENTER,
							&found);
		if (!found || watch->busy == 0)
			fill(watch, call);
	}
	watch->busy++;
	return watch;
}

/* Note the end of a call. */
void
oss_watch_leave(OssWatch *watch)
{
	watch->busy--;
}
