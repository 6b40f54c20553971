/*-------------------------------------------------------------------------
 * row.c
 *	  Listed objects as rows of a foreign table.
 *
 * Each column has a value of its usual type; a column of another type reads it
 * as text.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/row.h"
#include "client/utf8.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* How the value of a column is made: in its usual type, or by an input function. */
typedef struct Reader
{
	bool		usual;
	FmgrInfo	input;
	Oid			ioparam;
	int32		typmod;
} Reader;

struct OssBucketRow
{
	const OssBucketTable *table;
	int			natts;
	Reader		readers[OSS_COLUMNS];
	int64		unreadable;
};

OssBucketRow *
oss_bucket_row_begin(const OssBucketTable *table, TupleDesc desc)
{
	OssBucketRow *row = palloc0(sizeof(OssBucketRow));

	row->table = table;
	row->natts = desc->natts;
	for (int i = 0; i < OSS_COLUMNS; i++)
	{
		Reader	   *reader = &row->readers[i];
		Form_pg_attribute attribute;
		Oid			input;

		if (table->attnos[i] == 0)
			continue;
		attribute = TupleDescAttr(desc, table->attnos[i] - 1);
		reader->typmod = attribute->atttypmod;
		reader->usual = attribute->atttypid == oss_bucket_column_type(i) && reader->typmod < 0;
		getTypeInputInfo(attribute->atttypid, &input, &reader->ioparam);
		fmgr_info(input, &reader->input);
	}
	return row;
}

/* Return UTF-8 as text, NULL if oss_from_utf8() does. */
static text *
make_text(const char *utf8, size_t len)
{
	const char *string = oss_from_utf8(utf8, len);

	return string != NULL ? cstring_to_text(string) : NULL;
}

/* Return text, or set *isnull for an empty one. */
static Datum
text_or_null(const char *utf8, bool *isnull)
{
	text	   *value = utf8[0] != '\0' ? make_text(utf8, strlen(utf8)) : NULL;

	*isnull = value == NULL;
	return PointerGetDatum(value);
}

/* Return the value of a column but the key, of its usual type. */
static Datum
usual_value(OssBucketColumn column, const char *bucket, const OssListed *object, bool *isnull)
{
	*isnull = false;
	switch (column)
	{
		case OSS_COLUMN_BUCKET:
			return text_or_null(bucket, isnull);
		case OSS_COLUMN_SIZE:
			*isnull = object->size < 0;
			return Int64GetDatum(object->size);
		case OSS_COLUMN_ETAG:
			return text_or_null(object->etag, isnull);
		case OSS_COLUMN_LAST_MODIFIED:
			*isnull = object->last_modified == 0;
			return TimestampTzGetDatum(object->last_modified);
		case OSS_COLUMN_STORAGE_CLASS:
			return text_or_null(object->storage_class, isnull);
		case OSS_COLUMN_OBJECT_TYPE:
			return text_or_null(object->object_type, isnull);
		case OSS_COLUMN_RESTORED:
			*isnull = object->delete_marker;
			return BoolGetDatum(object->restored);
		case OSS_COLUMN_VERSION_ID:
			return text_or_null(object->version_id, isnull);
		case OSS_COLUMN_IS_LATEST:
			return BoolGetDatum(object->is_latest);
		default:
			Assert(column == OSS_COLUMN_IS_DELETE_MARKER);
			return BoolGetDatum(object->delete_marker);
	}
}

/* Return a value of a column's usual type as one of its own type. */
static Datum
convert(Reader *reader, OssBucketColumn column, Datum value, bool isnull)
{
	Oid			output;
	bool		is_varlena;
	char	   *string = NULL;

	if (!isnull)
	{
		getTypeOutputInfo(oss_bucket_column_type(column), &output, &is_varlena);
		string = OidOutputFunctionCall(output, value);
	}

	/* for NULL too: a domain may refuse it */
	return InputFunctionCall(&reader->input, string, reader->ioparam, reader->typmod);
}

bool
oss_bucket_row_set(OssBucketRow *row, const char *bucket, const OssListed *object,
				   Datum *values, bool *nulls)
{
	memset(nulls, true, sizeof(bool) * row->natts);
	for (int i = 0; i < OSS_COLUMNS; i++)
	{
		Reader	   *reader = &row->readers[i];
		int			attribute = row->table->attnos[i] - 1;
		bool		isnull;
		Datum		value;

		if (attribute < 0 && i != OSS_COLUMN_KEY)
			continue;
		if (i == OSS_COLUMN_KEY)
		{
			value = PointerGetDatum(make_text(object->key, object->key_len));
			isnull = DatumGetPointer(value) == NULL;
			if (isnull)
			{
				row->unreadable++;
				return false;
			}
			if (attribute < 0)
				continue;
		}
		else
			value = usual_value(i, bucket, object, &isnull);
		values[attribute] = reader->usual ? value : convert(reader, i, value, isnull);
		nulls[attribute] = isnull;
	}
	return true;
}

void
oss_bucket_row_warn(OssBucketRow *row, const char *bucket)
{
	int64		n = row->unreadable;

	row->unreadable = 0;
	if (n > 0)
		ereport(WARNING,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg_plural("%lld object of bucket \"%s\" is left out",
							   "%lld objects of bucket \"%s\" are left out",
							   n, (long long) n, bucket),
				 errdetail("Their keys have characters that encoding %s does not have, or U+0000.",
						   GetDatabaseEncodingName()),
				 errhint("Rename them, or list them from a database with encoding UTF8.")));
}
