/*-------------------------------------------------------------------------
 * list_objects.c
 *	  list_objects(): a quick look into a bucket, which asks for one page unless
 *	  more rows are wanted.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/row.h"
#include "miscadmin.h"
#include "spi/result_rows.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(oss_labels_list_objects);

/* Arguments, in the order of the SQL declaration. */
enum ListArgument
{
	LIST_BUCKET,
	LIST_PREFIX,
	LIST_START_AFTER,
	LIST_MAX_ROWS,
	LIST_SERVER
};

/* The columns of the result, as those of a table. */
static const OssBucketTable result_table = {
	.attnos = {
		[OSS_COLUMN_KEY] = 1,
		[OSS_COLUMN_SIZE] = 2,
		[OSS_COLUMN_ETAG] = 3,
		[OSS_COLUMN_LAST_MODIFIED] = 4,
		[OSS_COLUMN_STORAGE_CLASS] = 5,
		[OSS_COLUMN_OBJECT_TYPE] = 6,
		[OSS_COLUMN_RESTORED] = 7
	}
};

/*
 * Set *spec from the arguments.  Returns false if the bucket is NULL, which means
 * no rows and no request.  Errors: 22023 of what is not legal; those of
 * oss_server_get() and oss_utf8().
 */
static bool
read_arguments(FunctionCallInfo fcinfo, OssListSpec *spec)
{
	const OssFailure *failure;

	if (PG_ARGISNULL(LIST_BUCKET))
		return false;
	memset(spec, 0, sizeof(*spec));
	spec->bucket = oss_utf8_argument(fcinfo, LIST_BUCKET);
	spec->prefix = oss_utf8_argument(fcinfo, LIST_PREFIX);
	spec->start_after = oss_utf8_argument(fcinfo, LIST_START_AFTER);
	if (!PG_ARGISNULL(LIST_MAX_ROWS))
		spec->max_objects = PG_GETARG_INT64(LIST_MAX_ROWS);
	if (!PG_ARGISNULL(LIST_MAX_ROWS) && spec->max_objects <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be positive"),
				 errdetail("It is " INT64_FORMAT ".", spec->max_objects),
				 errhint("Each 1000 rows are one request; NULL lists all.")));
	failure = oss_list_failure(spec);
	if (failure != NULL)
		oss_failure_throw(failure);
	spec->server = oss_server_get(oss_name_argument(fcinfo, LIST_SERVER), GetUserId());
	return true;
}

/* list_objects(bucket, prefix, start_after, max_rows, server) */
Datum
oss_labels_list_objects(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	MemoryContext row_context;
	OssListSpec spec;
	OssListing *listing;
	OssBucketRow *row;
	const OssListed *object;
	Datum		values[OSS_COLUMNS];
	bool		nulls[OSS_COLUMNS];

	if (!read_arguments(fcinfo, &spec))
		return (Datum) 0;
	row = oss_bucket_row_begin(&result_table, result.desc);
	listing = oss_listing_begin(CurrentMemoryContext, &spec);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "oss_labels listed row",
										ALLOCSET_SMALL_SIZES);
	while ((object = oss_listing_next(listing)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);

		CHECK_FOR_INTERRUPTS();
		if (oss_bucket_row_set(row, spec.bucket, object, values, nulls))
			oss_result_add(&result, values, nulls);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	oss_listing_end(listing);
	oss_bucket_row_warn(row, spec.bucket);
	return (Datum) 0;
}
