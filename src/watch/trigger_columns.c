/*-------------------------------------------------------------------------
 * trigger_columns.c
 *	  The arguments of an enqueuing trigger, and the present columns that they
 *	  name.
 *
 * Arguments of triggers made by watch() include the names of columns at that
 * time, and the key of a row of oss_labels.watched that tracks the columns.
 * Triggers created by hand, and those of a table that was restored alone, have
 * names only.
 *
 * No code of a user runs as the extension's owner: columns must be of a
 * built-in string type, so that reading them calls no user's function, and
 * conditions are evaluated as the role that changes the table.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "spi/statement.h"
#include "store/coverage.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "watch/trigger_columns.h"

/* Name prefix of triggers for logical replication. */
#define REPLICA_TRIGGER "oss_labels_replica"

static HTAB *watches = NULL;

/* Invalidation callback: mark the watches that depend on a relation. */
static void
on_relation_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	OssWatch   *watch;

	hash_seq_init(&status, watches);
	while ((watch = hash_seq_search(&status)) != NULL)
	{
		if (relid == InvalidOid || watch->relation == relid ||
			watch->source == relid)
			watch->stale = true;
	}
}

/* Invalidation callback: mark all watches after a change of a server. */
static void
on_server_change(Datum arg, int cache, uint32 hash)
{
	on_relation_change(arg, InvalidOid);
}

static void
make_trigger_table(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(OssWatch);
	watches = hash_create("oss_labels watches", 16, &control,
						  HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_server_change, (Datum) 0);
}

/* Free everything of a watch but the entry itself. */
static void
forget_trigger(OssWatch *watch)
{
	SPIPlanPtr *plans[] = {&watch->find_new, &watch->find_old, &watch->find_row};

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

/* Drop stale watches that are not in use. */
static void
purge_triggers(void)
{
	HASH_SEQ_STATUS status;
	OssWatch   *watch;

	hash_seq_init(&status, watches);
	while ((watch = hash_seq_search(&status)) != NULL)
	{
		if (!watch->stale || watch->busy > 0)
			continue;
		forget_trigger(watch);
		hash_search(watches, &watch->trigger, HASH_REMOVE, NULL);
	}
}

char *
oss_watch_column_problem(Relation relation, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation),
												column - 1);

	if (attribute->attgenerated == 'v')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of \"%s\" is a virtual generated column",
						NameStr(attribute->attname),
						RelationGetRelationName(relation)),
				 errdetail("Triggers do not see its value."),
				 errhint("Make it a STORED generated column.")));
	switch (getBaseType(attribute->atttypid))
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return NULL;
		default:
			return psprintf("column \"%s\" of \"%s\" is of type %s, not text",
							NameStr(attribute->attname),
							RelationGetRelationName(relation),
							format_type_be(attribute->atttypid));
	}
}

bool
oss_watch_is_enqueue_trigger(Oid function)
{
	char	   *name = get_func_name(function);

	return name && strcmp(name, "enqueue_trigger") == 0 &&
		get_func_namespace(function) == get_namespace_oid("oss_labels", true);
}

bool
oss_watch_is_replica(const Trigger *trigger)
{
	return strncmp(trigger->tgname, REPLICA_TRIGGER,
				   strlen(REPLICA_TRIGGER)) == 0;
}

/* A trigger's arguments: names, each followed by its value. */
typedef struct TriggerArguments
{
	int			n;
	char	  **strings;
} TriggerArguments;

/*
 * Return a trigger's arguments.  watch() packs them into one, an array, since
 * PostgreSQL copies each argument of all of a table's triggers for each statement.
 */
static TriggerArguments
trigger_arguments(const Trigger *trigger)
{
	TriggerArguments arguments = {trigger->tgnargs, trigger->tgargs};
	Oid			input;
	Oid			io_param;
	Datum	   *elements;

	if (trigger->tgnargs != 1 || trigger->tgargs[0][0] != '{')
		return arguments;
	getTypeInputInfo(TEXTARRAYOID, &input, &io_param);
	deconstruct_array(DatumGetArrayTypeP(OidInputFunctionCall(input,
															  trigger->tgargs[0],
															  io_param, -1)),
					  TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &arguments.n);
	arguments.strings = palloc(sizeof(char *) * Max(arguments.n, 1));
	for (int k = 0; k < arguments.n; k++)
		arguments.strings[k] = TextDatumGetCString(elements[k]);
	return arguments;
}

static const char *
find_argument(const TriggerArguments *arguments, const char *name)
{
	for (int i = 0; i + 1 < arguments->n; i += 2)
	{
		if (strcmp(arguments->strings[i], name) == 0)
			return arguments->strings[i + 1];
	}
	return NULL;
}

static void
bad_argument(const Trigger *trigger, const char *name, const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("trigger \"%s\" has a bad argument: '%s', '%s'",
					trigger->tgname, name, value),
			 errhint("Arguments are pairs of name and value: key_column, bucket_column or bucket, thr, server, priority, condition, max_age, etag_column, forget_deleted.")));
}

/* Store one name and value of a trigger's arguments. */
static void
take_argument(OssWatch *watch, const Trigger *trigger,
			  const char *name, const char *value)
{
	char	   *end;

	if (strcmp(name, "key_column") == 0 || strcmp(name, "bucket_column") == 0 ||
		strcmp(name, "etag_column") == 0 || strcmp(name, "watch") == 0)
		return;
	if (strcmp(name, "bucket") == 0)
		watch->bucket = value;
	else if (strcmp(name, "server") == 0)
		watch->server = value;
	else if (strcmp(name, "condition") == 0)
		watch->condition = value;
	else if (strcmp(name, "forget_deleted") == 0)
	{
		if (!parse_bool(value, &watch->forget_deleted))
			bad_argument(trigger, name, value);
	}
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
	else if (strcmp(name, "max_age") == 0)
	{
		watch->max_age = DatumGetIntervalP(DirectFunctionCall3(interval_in,
															   CStringGetDatum(value),
															   ObjectIdGetDatum(InvalidOid),
															   Int32GetDatum(-1)));

		/* each statement on the table computes it */
		(void) oss_fresh_since(watch->max_age);
	}
	else
		bad_argument(trigger, name, value);
}

static void
read_trigger_arguments(OssWatch *watch, const Trigger *trigger,
					   const TriggerArguments *arguments)
{
	if (arguments->n % 2 != 0)
		bad_argument(trigger, arguments->strings[arguments->n - 1], "");
	for (int i = 0; i < arguments->n; i += 2)
		take_argument(watch, trigger, arguments->strings[i],
					  pstrdup(arguments->strings[i + 1]));
	if (find_argument(arguments, "key_column") == NULL ||
		(watch->bucket == NULL) ==
		(find_argument(arguments, "bucket_column") == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" needs key_column, and either bucket_column or bucket",
						trigger->tgname),
				 errhint("Its arguments are pairs of name and value.")));
}

/*
 * Return the table on which a trigger was created, which for a clone is an
 * ancestor.
 */
static Oid
source_of_trigger(Relation relation, const Trigger *trigger)
{
	Oid			source = RelationGetRelid(relation);
	Oid			next = trigger->tgisclone ? trigger->tgoid : InvalidOid;

	while (OidIsValid(next))
	{
		HeapTuple	row = oss_catalog_row(TriggerRelationId, TriggerOidIndexId,
										  Anum_pg_trigger_oid, next);

		if (!HeapTupleIsValid(row))
			break;
		source = ((Form_pg_trigger) GETSTRUCT(row))->tgrelid;
		next = ((Form_pg_trigger) GETSTRUCT(row))->tgparentid;
		heap_freetuple(row);
	}
	return source;
}

/*
 * In a logical replication worker, a partition fires its own trigger and the
 * clones of its ancestors' triggers.  Only that of the nearest table must
 * act.
 */
static bool
is_shadowed(Relation relation, const Trigger *trigger, Oid source)
{
	const TriggerDesc *all;
	List	   *ancestors;

	if (!trigger->tgisclone || !oss_watch_is_replica(trigger))
		return false;

	/* a copy, since an invalidation frees the relation's */
	all = CopyTriggerDesc(relation->trigdesc);
	ancestors = get_partition_ancestors(RelationGetRelid(relation));
	for (int i = 0; i < all->numtriggers; i++)
	{
		const Trigger *other = &all->triggers[i];
		ListCell   *cell;
		Oid			other_source;

		if (other->tgoid == trigger->tgoid || !oss_watch_is_replica(other) ||
			other->tgfoid != trigger->tgfoid)
			continue;
		other_source = source_of_trigger(relation, other);
		if (other_source == RelationGetRelid(relation))
			return true;
		foreach(cell, ancestors)
		{
			if (lfirst_oid(cell) == source)
				break;
			if (lfirst_oid(cell) == other_source)
				return true;
		}
	}
	return false;
}

/* Translate columns of the watched ancestor to those of the partition. */
static void
map_columns(OssWatched *watched, Oid relid)
{
	if (watched->relation == relid)
		return;
	for (int i = 0; i < watched->ncolumns; i++)
	{
		if (watched->columns[i] != 0)
			watched->columns[i] =
				get_attnum(relid, get_attname(watched->relation,
											  watched->columns[i], false));
	}
	watched->relation = relid;
}

/* Return the present columns of a trigger's table. */
static OssWatched *
find_watched(OssWatch *watch, Relation relation,
			 const TriggerArguments *arguments)
{
	const char *number = find_argument(arguments, "watch");
	OssWatched *watched = number ? oss_watched_read(number) : NULL;

	if (watched && watched->relation == watch->source)
		watch->server = watched->server;
	else
		watched = oss_watched_now(RelationGetRelid(relation));
	map_columns(watched, RelationGetRelid(relation));
	return watched;
}

/*
 * Return the number of a column that an argument names; 0, with a problem
 * set, if there is none.
 */
static AttrNumber
find_watched_column(OssWatch *watch, Relation relation, const char *name)
{
	const OssWatched *watched = watch->watched;
	AttrNumber	column;

	for (int i = 0; i < watched->ncolumns; i++)
	{
		char	   *problem;

		if (strcmp(watched->names[i], name) != 0)
			continue;
		column = watched->columns[i];
		problem = column > 0 ? oss_watch_column_problem(relation, column) :
			psprintf("its column that was \"%s\" was dropped", name);
		if (problem == NULL)
			return column;
		watch->problem = problem;
		return 0;
	}

	/* virtual generated columns are not in watched->columns */
	column = get_attnum(RelationGetRelid(relation), name);
	watch->problem = column > 0 ? oss_watch_column_problem(relation, column) :
		NULL;
	if (watch->problem == NULL)
		watch->problem = psprintf("it has no column \"%s\"", name);
	return 0;
}

static void
fill_trigger(OssWatch *watch, TriggerData *call)
{
	Relation	relation = call->tg_relation;
	const Trigger *trigger = call->tg_trigger;
	TriggerArguments arguments;
	const char *bucket_column;
	const char *etag_column;
	Oid			id = watch->trigger;
	MemoryContext old;

	memset(watch, 0, sizeof(OssWatch));
	watch->trigger = id;
	watch->stale = true;		/* until complete */
	watch->relation = RelationGetRelid(relation);
	watch->context = AllocSetContextCreate(CacheMemoryContext,
										   "oss_labels watch",
										   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(watch->context);
	arguments = trigger_arguments(trigger);
	read_trigger_arguments(watch, trigger, &arguments);
	watch->source = source_of_trigger(relation, trigger);
	watch->shadowed = is_shadowed(relation, trigger, watch->source);
	watch->watched = find_watched(watch, relation, &arguments);
	watch->key_column = find_watched_column(watch, relation,
											find_argument(&arguments, "key_column"));
	bucket_column = find_argument(&arguments, "bucket_column");
	if (bucket_column)
		watch->bucket_column = find_watched_column(watch, relation, bucket_column);
	etag_column = find_argument(&arguments, "etag_column");
	if (etag_column)
		watch->etag_column = find_watched_column(watch, relation, etag_column);
	if (RelationUsesLocalBuffers(relation))
		watch->problem = "it is a temporary table";
	MemoryContextSwitchTo(old);
	watch->stale = false;
}

OssWatch *
oss_watch_enter(TriggerData *call)
{
	OssWatch   *watch;
	bool		found;

	if (watches == NULL)
		make_trigger_table();
	watch = hash_search(watches, &call->tg_trigger->tgoid, HASH_FIND, NULL);
	if (watch == NULL || watch->stale)
	{
		purge_triggers();
		watch = hash_search(watches, &call->tg_trigger->tgoid, HASH_ENTER,
							&found);
		if (!found || watch->busy == 0)
			fill_trigger(watch, call);
	}
	watch->busy++;
	return watch;
}

void
oss_watch_leave(OssWatch *watch)
{
	watch->busy--;
}
