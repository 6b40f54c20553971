/*-------------------------------------------------------------------------
 * column.c
 *	  The columns of a foreign table, which are found by their names.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/bucket.h"
#include "catalog/pg_type.h"
#include "foreign/foreign.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

typedef struct ColumnRule
{
	const char *name;
	const char *type;			/* as it is made by IMPORT FOREIGN SCHEMA */
	const char *types;			/* as an error says it */
	Oid			oids[3];		/* the usual one first */
} ColumnRule;

#define TEXTS			"text or varchar", {TEXTOID, VARCHAROID}
#define FLAG			"boolean", "boolean", {BOOLOID}

static const ColumnRule column_rules[] = {
	[OSS_COLUMN_BUCKET] = {"bucket", "text", TEXTS},
	[OSS_COLUMN_KEY] = {"key", "text COLLATE pg_catalog.\"C\"", TEXTS},
	[OSS_COLUMN_SIZE] = {"size", "bigint", "bigint, integer or numeric", {INT8OID, INT4OID, NUMERICOID}},
	[OSS_COLUMN_ETAG] = {"etag", "text", TEXTS},
	[OSS_COLUMN_LAST_MODIFIED] = {"last_modified", "timestamptz", "timestamptz", {TIMESTAMPTZOID}},
	[OSS_COLUMN_STORAGE_CLASS] = {"storage_class", "text", TEXTS},
	[OSS_COLUMN_OBJECT_TYPE] = {"object_type", "text", TEXTS},
	[OSS_COLUMN_RESTORED] = {"restored", FLAG},
	[OSS_COLUMN_VERSION_ID] = {"version_id", "text", TEXTS},
	[OSS_COLUMN_IS_LATEST] = {"is_latest", FLAG},
	[OSS_COLUMN_IS_DELETE_MARKER] = {"is_delete_marker", FLAG},
};

const char *
oss_bucket_column_sql(OssBucketColumn column)
{
	return psprintf("%s %s", column_rules[column].name, column_rules[column].type);
}

Oid
oss_bucket_column_type(OssBucketColumn column)
{
	return column_rules[column].oids[0];
}

/* Return the names of the columns that a table may have. */
static char *
column_names(bool versions)
{
	int			n = versions ? OSS_COLUMNS : OSS_COLUMN_VERSION_ID;
	char	   *names = pstrdup(column_rules[0].name);

	for (int i = 1; i < n; i++)
		names = psprintf("%s, %s", names, column_rules[i].name);
	return names;
}

static OssBucketColumn
find_column(const char *table, const char *name, bool versions)
{
	for (int i = 0; i < OSS_COLUMNS; i++)
	{
		if (strcmp(column_rules[i].name, name) != 0)
			continue;
		if (i < OSS_COLUMN_VERSION_ID || versions)
			return i;
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_COLUMN_NAME),
				 errmsg("foreign table \"%s\" lists no versions, so that it has no column \"%s\"",
						table, name),
				 errhint("Drop the column, or set the table's option versions to 'true'.")));
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_COLUMN_NAME),
			 errmsg("column \"%s\" of foreign table \"%s\" is nothing that a listing has", name, table),
			 errhint("Its columns are found by their names, which may be: %s.",
					 column_names(versions))));
	return OSS_COLUMNS;
}

/* Check the type of a column, or the base type of its domain. */
static void
check_type(const char *table, OssBucketColumn column, Oid type)
{
	const ColumnRule *rule = &column_rules[column];
	Oid			base = getBaseType(type);

	for (int i = 0; i < lengthof(rule->oids); i++)
	{
		if (rule->oids[i] == base)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
			 errmsg("column \"%s\" of foreign table \"%s\" has another type than it may have",
					rule->name, table),
			 errhint("It may be %s; cast it in the query.", rule->types)));
}

OssBucketTable *
oss_bucket_table(Relation relation)
{
	OssBucketTable *table = palloc0(sizeof(OssBucketTable));
	const char *name = RelationGetRelationName(relation);
	TupleDesc	desc = RelationGetDescr(relation);

	oss_table_options_read(&table->options,
						   GetForeignTable(RelationGetRelid(relation))->options);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		OssBucketColumn column;

		if (attribute->attisdropped)
			continue;
		column = find_column(name, NameStr(attribute->attname), table->options.versions);
		check_type(name, column, attribute->atttypid);
		table->attnos[column] = attribute->attnum;
	}
	return table;
}
