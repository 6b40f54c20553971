/*-------------------------------------------------------------------------
 * watched_columns.c
 *	  The table oss_labels.watched: columns of watched tables.
 *
 * A value of type watched_columns stores the OID of a table and the numbers of
 * columns, and is output as their present names: {schema,table,column,...}.  So
 * it follows renames without an update, needs no dependency that would restrict
 * ALTER TABLE, and can be restored in another database.  Names of objects that
 * do not exist on input are kept.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "queue/identity.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "watch/watched_columns.h"

PG_FUNCTION_INFO_V1(oss_labels_watched_columns_in);
PG_FUNCTION_INFO_V1(oss_labels_watched_columns_out);
PG_FUNCTION_INFO_V1(oss_labels_watched_table);

/* Number of names before the columns: schema and table. */
#define BEFORE_COLUMNS 2

/* The type watched_columns. */
typedef struct WatchedColumns
{
	int32		vl_len_;
	Oid			relation;		/* InvalidOid: did not exist on input */
	int32		n;				/* number of names, including BEFORE_COLUMNS */
	AttrNumber	columns[FLEXIBLE_ARRAY_MEMBER]; /* n numbers, 0: did not exist
												 * on input; then the n names,
												 * NUL-terminated */
} WatchedColumns;

/* Return the first of a value's names on input. */
static const char *
first_name(const WatchedColumns *value)
{
	return (const char *) (value->columns + value->n);
}

static WatchedColumns *
make_columns_value(char **names, int n)
{
	Size		size = offsetof(WatchedColumns, columns) + sizeof(AttrNumber) * n;
	Size		names_size = 0;
	Oid			schema = get_namespace_oid(names[0], true);
	WatchedColumns *value;
	char	   *end;

	for (int i = 0; i < n; i++)
		names_size += strlen(names[i]) + 1;
	value = palloc0(size + names_size);
	SET_VARSIZE(value, size + names_size);
	value->n = n;
	if (OidIsValid(schema))
		value->relation = get_relname_relid(names[1], schema);
	end = (char *) value + size;
	for (int i = 0; i < n; i++)
	{
		if (i >= BEFORE_COLUMNS && OidIsValid(value->relation))
			value->columns[i] = get_attnum(value->relation, names[i]);
		strcpy(end, names[i]);
		end += strlen(end) + 1;
	}
	return value;
}

/* Input function: resolve the names in an array of text. */
Datum
oss_labels_watched_columns_in(PG_FUNCTION_ARGS)
{
	Datum		array = OidInputFunctionCall(F_ARRAY_IN, PG_GETARG_CSTRING(0),
											 TEXTOID, -1);
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	char	  **names;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &n);
	names = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		names[i] = nulls[i] ? "" : TextDatumGetCString(elements[i]);
	if (n < BEFORE_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type watched_columns: \"%s\"",
						PG_GETARG_CSTRING(0)),
				 errdetail("It is the names of a schema, its table and columns of it."),
				 errhint("Call oss_labels.watch() again.")));
	PG_RETURN_POINTER(make_columns_value(names, n));
}

/* Return the present name of a column, or NULL if it does not exist. */
static char *
column_name(Oid relation, AttrNumber column)
{
	HeapTuple	tuple = SearchSysCacheAttNum(relation, column);
	char	   *name;

	if (column <= 0 || !HeapTupleIsValid(tuple))
		return NULL;
	name = pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(tuple))->attname));
	ReleaseSysCache(tuple);
	return name;
}

/* Output function: an array of the present names, or of those on input. */
Datum
oss_labels_watched_columns_out(PG_FUNCTION_ARGS)
{
	WatchedColumns *value = (WatchedColumns *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0));
	char	   *table = get_rel_name(value->relation);
	Datum	   *elements = palloc(sizeof(Datum) * value->n);
	const char *known = first_name(value);

	for (int i = 0; i < value->n; i++)
	{
		const char *name = NULL;

		if (table == NULL)
			name = known;
		else if (i == 0)
			name = get_namespace_name(get_rel_namespace(value->relation));
		else if (i == 1)
			name = table;
		else
			name = column_name(value->relation, value->columns[i]);
		elements[i] = CStringGetTextDatum(name ? name : known);
		known += strlen(known) + 1;
	}
	PG_RETURN_CSTRING(OidOutputFunctionCall(F_ARRAY_OUT,
											PointerGetDatum(construct_array(elements, value->n, TEXTOID,
																			-1, false, TYPALIGN_INT))));
}

/* oss_labels.watched_table(columns): the table, or null when it is gone */
Datum
oss_labels_watched_table(PG_FUNCTION_ARGS)
{
	WatchedColumns *value = (WatchedColumns *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0));

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(value->relation)))
		PG_RETURN_NULL();
	PG_RETURN_OID(value->relation);
}

static OssWatched *
make_watched(const WatchedColumns *value, ArrayType *then, const char *server)
{
	OssWatched *watched = palloc0(sizeof(OssWatched));
	Datum	   *elements;
	int			n;

	deconstruct_array(then, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  &n);
	if (n < 1 || n != value->n - 1)
		return NULL;
	watched->relation = value->relation;
	watched->server = server;
	watched->table_name = TextDatumGetCString(elements[0]);
	watched->ncolumns = n - 1;
	watched->names = palloc(sizeof(char *) * n);
	watched->columns = palloc(sizeof(AttrNumber) * n);
	for (int i = 0; i < watched->ncolumns; i++)
	{
		AttrNumber	column = value->columns[i + BEFORE_COLUMNS];

		watched->names[i] = TextDatumGetCString(elements[i + 1]);
		watched->columns[i] = get_attname(value->relation, column, true) &&
			get_attnum(value->relation,
					   get_attname(value->relation, column, true)) == column ?
			column : 0;
	}
	return watched;
}

/* Read a row: watch, columns, names, server, server_id, origin. */
static OssWatched *
read_watched_row(HeapTuple tuple, TupleDesc desc)
{
	Datum		values[6];
	bool		nulls[6];

	if (desc->natts != lengthof(values))
		return NULL;
	heap_deform_tuple(tuple, desc, values, nulls);
	for (int i = 0; i < lengthof(nulls); i++)
	{
		if (nulls[i])
			return NULL;
	}
	return make_watched((WatchedColumns *) PG_DETOAST_DATUM(values[1]),
						DatumGetArrayTypeP(values[2]),
						oss_server_of(DatumGetInt64(values[5]),
									  DatumGetObjectId(values[4]),
									  TextDatumGetCString(values[3])));
}

/*
 * Reads what is committed now, like the trigger that names the row, and not
 * with the snapshot of a REPEATABLE READ transaction.
 */
OssWatched *
oss_watched_read(const char *watch)
{
	Oid			schema = get_namespace_oid("oss_labels", true);
	Oid			relid = OidIsValid(schema) ?
	get_relname_relid("watched", schema) : InvalidOid;
	Relation	relation = OidIsValid(relid) ?
	try_relation_open(relid, AccessShareLock) : NULL;
	OssWatched *watched = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (relation == NULL)
		return NULL;
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(watch));
	scan = systable_beginscan(relation, InvalidOid, false, SnapshotSelf, 1, &key);
	while (watched == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
		watched = read_watched_row(tuple, RelationGetDescr(relation));
	systable_endscan(scan);
	relation_close(relation, AccessShareLock);
	return watched;
}

OssWatched *
oss_watched_now(Oid relid)
{
	OssWatched *watched = palloc0(sizeof(OssWatched));
	Relation	relation = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);

	watched->relation = relid;
	watched->table_name = pstrdup(RelationGetRelationName(relation));
	watched->names = palloc(sizeof(char *) * Max(desc->natts, 1));
	watched->columns = palloc(sizeof(AttrNumber) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		const FormData_pg_attribute *column = TupleDescAttr(desc, i);

		/* virtual generated columns are not stored */
		if (column->attisdropped || column->attgenerated == 'v')
			continue;
		watched->names[watched->ncolumns] = pstrdup(NameStr(column->attname));
		watched->columns[watched->ncolumns++] = column->attnum;
	}
	relation_close(relation, AccessShareLock);
	return watched;
}
