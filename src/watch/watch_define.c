/*-------------------------------------------------------------------------
 * watch_define.c
 *	  C functions for watch() and unwatch(): checks, and oss_labels.watched.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "client/request.h"
#include "compat.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "watch/still_used.h"
#include "watch/trigger_columns.h"
#include "watch/watch_condition.h"

PG_FUNCTION_INFO_V1(oss_labels_check_watch);
PG_FUNCTION_INFO_V1(oss_labels_forget_watch);

/* Bytes of the key of a watch. */
#define NUMBER_BYTES 6

static OssPlan insert_watched = {
	"INSERT INTO oss_labels.watched (watch, columns, names, server, server_id) "
	"VALUES ($1, $2::text::oss_labels.watched_columns, $3, $4, $5)",
	5, {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID, OIDOID}
};

/* rows of dropped tables are deleted too */
static OssPlan delete_watched = {
	"DELETE FROM oss_labels.watched WHERE ctid = ANY (ARRAY("
	"SELECT w.ctid FROM oss_labels.watched w "
	"WHERE coalesce(oss_labels.watched_table(w.columns) = $1, true) "
	"FOR UPDATE SKIP LOCKED))",
	1, {REGCLASSOID}
};

/* Check the kind of a relation.  Errors: 42809, 0A000. */
static void
check_kind(Relation relation)
{
	const char *name = RelationGetRelationName(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION &&
		relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name),
				 errhint("Views and foreign tables have no transition tables: watch the table itself, or call oss_labels.enqueue().")));
	if (RelationUsesLocalBuffers(relation))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("temporary table \"%s\" cannot be watched", name),
				 errdetail("The worker would find no such table after the session."),
				 errhint("Call oss_labels.enqueue() for its rows.")));
	if (!oss_class_ownercheck(RelationGetRelid(relation), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
}

/* Check a column for bucket, key or ETag.  Errors: 42703, 42804, 0A000. */
static void
check_column(Relation relation, const char *name)
{
	AttrNumber	column = get_attnum(RelationGetRelid(relation), name);
	const char *problem;

	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						name, RelationGetRelationName(relation)),
				 errhint("Name a column of the table, as a string without quotes around it.")));
	problem = oss_watch_column_problem(relation, column);
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s", problem),
				 errhint("Buckets, keys and ETags are taken from columns of type text or varchar; a STORED generated column can make one.")));
}

/*
 * Check that rows can be found by their key.  Errors: 55000.
 */
static void
check_index(Relation relation, const char *key_column, const char *bucket_column)
{
	Oid			relid = RelationGetRelid(relation);

	if (!OidIsValid(oss_watch_index(relation, get_attnum(relid, key_column),
									bucket_column ? get_attnum(relid, bucket_column) : 0)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("forget_deleted needs an index on column \"%s\" of \"%s\"",
						key_column, RelationGetRelationName(relation)),
				 errdetail("It tells whether another row has the same image, and must compare texts: the column must not be of type name or char(n)."),
				 errhint("CREATE INDEX ON %s (%s)", RelationGetRelationName(relation),
						 quote_identifier(key_column))));
}

/* Check a relation for watch(), and the privilege to watch it. */
static void
check_relation(Oid relid, const char *key_column, const char *bucket_column,
			   const char *etag_column, bool forget_deleted)
{
	Relation	relation = try_table_open(relid, AccessShareLock);

	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid),
				 errhint("Name an existing table.")));
	check_kind(relation);
	check_column(relation, key_column);
	if (bucket_column)
		check_column(relation, bucket_column);
	if (etag_column)
		check_column(relation, etag_column);
	if (forget_deleted)
		check_index(relation, key_column, bucket_column);
	table_close(relation, AccessShareLock);
}

static Datum
text_array(const char **strings, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(strings[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* Insert a table into watched.  Returns the key of the watch. */
static char *
remember_watch(Oid relid, const ForeignServer *server)
{
	OssWatched *watched = oss_watched_now(relid);
	int			n = watched->ncolumns;
	const char **names = palloc(sizeof(char *) * (n + 2));
	char		bytes[NUMBER_BYTES];
	char	   *number = palloc0(NUMBER_BYTES * 2 + 1);
	Datum		values[5];

	/*
	 * Random, since triggers are named after it, and a partition may get
	 * triggers of any other table, even from another database.
	 */
	if (!pg_strong_random(bytes, NUMBER_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	(void) hex_encode(bytes, NUMBER_BYTES, number);
	names[0] = get_namespace_name(get_rel_namespace(relid));
	names[1] = watched->table_name;
	memcpy(names + 2, watched->names, sizeof(char *) * n);
	values[0] = CStringGetTextDatum(number);
	values[1] = text_array(names, n + 2);
	values[2] = text_array(names + 1, n + 1);
	values[3] = CStringGetTextDatum(server->servername);
	values[4] = ObjectIdGetDatum(server->serverid);
	oss_statement_run(OSS_STATEMENT_WORK, &insert_watched, values, NULL,
					  SPI_OK_INSERT);
	return number;
}

/* Return server and watch as a row. */
static Datum
make_result(FunctionCallInfo fcinfo, const char *server, const char *number)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	Name		name = palloc0(sizeof(NameData));

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	namestrcpy(name, server);
	values[0] = NameGetDatum(name);
	values[1] = CStringGetTextDatum(number);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values,
											 nulls));
}

/*
 * oss_labels.check_watch(relation, key_column, bucket_column, bucket, thr,
 * server, condition, etag_column, forget_deleted)
 */
Datum
oss_labels_check_watch(PG_FUNCTION_ARGS)
{
	/* legal names stand for those of rows */
	OssImage	image = {.bucket = "bucket",.key = "key"};
	const ForeignServer *server;
	Oid			relid;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation and key_column must not be null"),
				 errhint("Name the table, and its column that has the keys of the images.")));
	relid = PG_GETARG_OID(0);
	check_relation(relid, oss_name_argument(fcinfo, 1), oss_name_argument(fcinfo, 2),
				   oss_name_argument(fcinfo, 7), !PG_ARGISNULL(8) && PG_GETARG_BOOL(8));
	if (!PG_ARGISNULL(3))
		image.bucket = oss_utf8_argument(fcinfo, 3);
	image.has_thr = !PG_ARGISNULL(4);
	image.thr = PG_ARGISNULL(4) ? 0 : PG_GETARG_FLOAT8(4);
	oss_image_check(&image);
	server = GetForeignServer(oss_server_oid(oss_name_argument(fcinfo, 5), GetUserId()));
	if (!PG_ARGISNULL(6))
	{
		Relation	relation = table_open(relid, AccessShareLock);

		oss_condition_check(relation, oss_watched_now(relid),
							text_to_cstring(PG_GETARG_TEXT_PP(6)));
		table_close(relation, AccessShareLock);
	}
	PG_RETURN_DATUM(make_result(fcinfo, server->servername,
								remember_watch(relid, server)));
}

/* oss_labels.forget_watch(relation) */
Datum
oss_labels_forget_watch(PG_FUNCTION_ARGS)
{
	Datum		relation = PG_GETARG_DATUM(0);
	char	   *name = get_rel_name(DatumGetObjectId(relation));

	if (name && !oss_class_ownercheck(DatumGetObjectId(relation), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
	oss_statement_run(OSS_STATEMENT_WORK, &delete_watched, &relation, NULL,
					  SPI_OK_DELETE);
	PG_RETURN_VOID();
}
