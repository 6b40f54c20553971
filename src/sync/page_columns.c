/*-------------------------------------------------------------------------
 * page_columns.c
 *	  Listed objects as array parameters of judge_objects() and take_objects().
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "client/utf8.h"
#include "sync/page_columns.h"
#include "utils/timestamp.h"

void
oss_page_columns_init(OssPageColumns *columns)
{
	oss_column_init(&columns->keys, TEXTOID, OSS_PAGE_MAX);
	oss_column_init(&columns->sizes, INT8OID, OSS_PAGE_MAX);
	oss_column_init(&columns->etags, TEXTOID, OSS_PAGE_MAX);
	oss_column_init(&columns->times, TIMESTAMPTZOID, OSS_PAGE_MAX);
	oss_column_init(&columns->classes, TEXTOID, OSS_PAGE_MAX);
	oss_column_init(&columns->restored, BOOLOID, OSS_PAGE_MAX);
}

bool
oss_page_columns_add(OssPageColumns *columns, const OssListed *object)
{
	char	   *key = oss_from_utf8(object->key, object->key_len);

	if (key == NULL)
		return false;
	oss_column_add_string(&columns->keys, key);
	oss_column_add(&columns->sizes, Int64GetDatum(object->size), object->size < 0);
	oss_column_add_string(&columns->etags,
						  oss_from_utf8(object->etag, strlen(object->etag)));
	oss_column_add(&columns->times, TimestampTzGetDatum(object->last_modified),
				   object->last_modified == 0);
	oss_column_add_string(&columns->classes,
						  oss_from_utf8(object->storage_class, strlen(object->storage_class)));
	oss_column_add(&columns->restored, BoolGetDatum(object->restored), false);
	return true;
}

void
oss_page_columns_args(const OssPageColumns *columns, Datum *values)
{
	values[0] = oss_column_array(&columns->keys);
	values[1] = oss_column_array(&columns->sizes);
	values[2] = oss_column_array(&columns->etags);
	values[3] = oss_column_array(&columns->times);
	values[4] = oss_column_array(&columns->classes);
	values[5] = oss_column_array(&columns->restored);
}
