/*-------------------------------------------------------------------------
 * import.c
 *	  import_labels(), import_label_rows() and the aggregate
 *	  import_label_set().
 *
 * What is imported is stored in the caller's transaction: nothing was paid for it
 * here.  An argument that is refused is an error before anything of its statement is
 * stored.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/image.h"
#include "client/request.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "spi/statement.h"
#include "store/image_id.h"
#include "store/import_document.h"
#include "store/import_sort.h"
#include "store/rights.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_import_labels);
PG_FUNCTION_INFO_V1(oss_labels_import_label_rows);
PG_FUNCTION_INFO_V1(oss_labels_import_set_add);
PG_FUNCTION_INFO_V1(oss_labels_import_set_end);

/* Images, and bytes of their answers, that are stored together. */
#define MOST_ROWS		1000
#define MOST_BYTES		(32 * 1024 * 1024)

/* Characters of image.source. */
#define MOST_CHARACTERS	63

/* Images of an import that are not stored yet. */
typedef struct Import
{
	MemoryContext memory;		/* of the pending images */
	OssImportSort *sort;		/* NULL: there is one image only */
	OssStoreRow *rows;
	int			room;
	int			n;
	Size		bytes;
	int64		stored;
} Import;

/* Begin to import some images. */
static Import *
begin_import(MemoryContext parent, int images)
{
	Import	   *import = MemoryContextAllocZero(parent, sizeof(Import));

	import->room = Min(images, MOST_ROWS);
	import->rows = MemoryContextAlloc(parent, sizeof(OssStoreRow) * import->room);
	import->memory = AllocSetContextCreate(parent, "oss_labels import",
										   ALLOCSET_DEFAULT_SIZES);
	if (images > 1)
	{
		MemoryContext old = MemoryContextSwitchTo(parent);

		import->sort = oss_import_sort_begin();
		MemoryContextSwitchTo(old);
	}
	return import;
}

/* Store the pending images. */
static void
flush_import(Import *import)
{
	OssStatementState state;
	MemoryContext old;

	if (import->n == 0)
		return;
	/* new labels are written without the executor, which would check this */
	PreventCommandIfReadOnly("an import of labels");
	old = MemoryContextSwitchTo(import->memory);
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	import->stored += oss_store_write(import->rows, import->n);
	oss_statement_end(&state);
	for (int i = 0; i < import->n; i++)
		oss_rights_check_written(&import->rows[i].image);
	MemoryContextSwitchTo(old);
	MemoryContextReset(import->memory);
	import->n = 0;
	import->bytes = 0;
}

/* Keep a copy of a row until it is stored with others. */
static void
keep_import_row(Import *import, const OssStoreRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(import->memory);
	OssStoreRow *kept = &import->rows[import->n++];

	*kept = *row;
	kept->image = oss_image_copy(&row->image);
	kept->source = pstrdup(row->source);
	kept->response = (Jsonb *) DatumGetPointer(datumCopy(JsonbPGetDatum(row->response), false, -1));
	import->bytes += VARSIZE(kept->response);
	MemoryContextSwitchTo(old);
	if (import->n == import->room || import->bytes > MOST_BYTES)
		flush_import(import);
}

/*
 * Take an image, as every import does.  Its answer and strings are copied.  Errors:
 * 22023 for an illegal name.
 */
static void
import_image(Import *import, const OssStoreRow *row)
{
	OssImage	utf8 = oss_image_utf8(&row->image);

	oss_image_check(&utf8);
	oss_rights_check_import(&row->image);
	if (import->sort != NULL)
		oss_import_sort_add(import->sort, row);
	else
		keep_import_row(import, row);
}

/* Store several images in the order of their ids.  Errors: 22023 for one twice. */
static void
store_sorted(Import *import)
{
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "oss_labels imported image",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(each);
	OssStoreRow row;
	int64		last = 0;

	for (bool first = true; oss_import_sort_next(import->sort, &row); first = false)
	{
		int64		image_id = oss_image_id(&row.image);

		if (!first && image_id == last)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"oss://%s/%s\" is imported twice", row.image.bucket, row.image.key),
					 errhint("Group its labels into one row, as by array_agg().")));
		last = image_id;
		keep_import_row(import, &row);
		MemoryContextReset(each);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(each);
	oss_import_sort_end(import->sort);
}

/*
 * Store what was taken, and return how many images were stored.  Errors: those of
 * oss_store_write().
 */
static int64
end_import(Import *import)
{
	if (import->sort != NULL)
		store_sorted(import);
	flush_import(import);
	return import->stored;
}

static char *
string_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(i));
}

/*
 * Return the time of labels, now for NULL.  A little clock difference is
 * tolerated; a time in the future would make the labels newer than all later
 * ones.  Errors: 22023.
 */
static TimestampTz
import_time(FunctionCallInfo fcinfo, int i)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz given = PG_ARGISNULL(i) ? now : PG_GETARG_TIMESTAMPTZ(i);

	if (given > now && given - now > USECS_PER_MINUTE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tagged_at must not be in the future"),
				 errhint("Give the time at which the service was asked, or NULL for now.")));
	return Min(now, given);
}

/* Return the argument source, the default for NULL.  Errors: 22023. */
static char *
import_source(FunctionCallInfo fcinfo, int i, const char *otherwise)
{
	char	   *source = string_argument(fcinfo, i);

	if (source == NULL)
		return pstrdup(otherwise);
	if (source[0] == '\0' || pg_mbstrlen(source) > MOST_CHARACTERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source must have 1 to %d characters", MOST_CHARACTERS),
				 errhint("Give a short name of the service or of the model, or NULL.")));
	return source;
}

/* Say in errors which image they are of. */
static void
add_context(void *arg)
{
	const OssImage *image = arg;

	if (image->bucket != NULL && image->key != NULL)
		errcontext("import of \"oss://%s/%s\"", image->bucket, image->key);
}

static void
begin_context(ErrorContextCallback *context, OssImage *image)
{
	context->callback = add_context;
	context->arg = image;
	context->previous = error_context_stack;
	error_context_stack = context;
}

/* Set the name of an image; detail tells where it could have been given. */
static void
set_names(OssImage *image, char *bucket, char *key, const char *detail)
{
	if (bucket == NULL || key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bucket and key must be given"),
				 errdetail("%s", detail),
				 errhint("Give bucket and key of the image as arguments.")));
	image->bucket = bucket;
	image->key = key;
}

/* import_labels(document, bucket, key, thr, version_id, tagged_at, format, source) */
Datum
oss_labels_import_labels(PG_FUNCTION_ARGS)
{
	char	   *format = PG_ARGISNULL(6) ? "oss" : string_argument(fcinfo, 6);
	char	   *bucket = string_argument(fcinfo, 1);
	char	   *key = string_argument(fcinfo, 2);
	OssStoreRow row = {.image.bucket = bucket,.image.key = key};
	ErrorContextCallback context;
	OssImported *images;
	Import	   *import;
	int			n;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	begin_context(&context, &row.image);
	n = oss_import_read(format, PG_GETARG_JSONB_P(0), &images);
	if (n > 1 && key != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("document holds the answers of %d images", n),
				 errdetail("One key was given."),
				 errhint("Give each of its elements with its own key.")));
	row.tagged_at = import_time(fcinfo, 5);
	row.source = import_source(fcinfo, 7, format);
	row.image.has_thr = !PG_ARGISNULL(3);
	row.image.thr = row.image.has_thr ? PG_GETARG_FLOAT8(3) : 0;
	row.image.version_id = string_argument(fcinfo, 4);
	import = begin_import(CurrentMemoryContext, n);
	for (int i = 0; i < n; i++)
	{
		set_names(&row.image, bucket ? bucket : images[i].bucket, key ? key : images[i].key,
				  "The document does not name the image.");
		row.response = images[i].response;
		if (row.response != NULL)
			import_image(import, &row);
		else if (n == 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("document holds an error in place of labels"),
					 errdetail("The service said: %s", images[i].failure),
					 errhint("Leave the document out, or have the image labelled again.")));
		else
			ereport(WARNING,
					(errmsg("labels of \"oss://%s/%s\" were not imported",
							row.image.bucket, row.image.key),
					 errdetail("The service said: %s", images[i].failure)));
	}
	error_context_stack = context.previous;
	PG_RETURN_BOOL(end_import(import) == n);
}

/* Return an array argument, NULL for NULL. */
static ArrayType *
array_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : PG_GETARG_ARRAYTYPE_P(i);
}

/*
 * Take an image whose bucket, key, names, confidences, parents and source are
 * arguments from the first on.
 */
static void
import_arrays(Import *import, FunctionCallInfo fcinfo, int first, OssStoreRow *row)
{
	ArrayType  *names = array_argument(fcinfo, first + 2);
	ErrorContextCallback context;

	set_names(&row->image, string_argument(fcinfo, first), string_argument(fcinfo, first + 1),
			  "An argument is null.");
	begin_context(&context, &row->image);
	if (names == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("names must be given"),
				 errhint("An image without labels has an empty array.")));
	row->source = import_source(fcinfo, first + 5, "import");
	row->response = oss_import_rows(names, array_argument(fcinfo, first + 3),
									array_argument(fcinfo, first + 4));
	error_context_stack = context.previous;
	import_image(import, row);
}

/*
 * import_label_rows(bucket, key, names, confidences, parents, source, thr,
 * version_id, tagged_at)
 */
Datum
oss_labels_import_label_rows(PG_FUNCTION_ARGS)
{
	Import	   *import = begin_import(CurrentMemoryContext, 1);
	OssStoreRow row = {.tagged_at = import_time(fcinfo, 8)};

	row.image.has_thr = !PG_ARGISNULL(6);
	row.image.thr = row.image.has_thr ? PG_GETARG_FLOAT8(6) : 0;
	row.image.version_id = string_argument(fcinfo, 7);
	import_arrays(import, fcinfo, 0, &row);
	PG_RETURN_BOOL(end_import(import) == 1);
}

/* Free the files of an aggregate's import, also after an error. */
static void
end_set(Datum import)
{
	oss_import_sort_end(((Import *) DatumGetPointer(import))->sort);
}

/*
 * import_set_add(state, bucket, key, names, confidences, parents, source): the
 * transition function of import_label_set()
 */
Datum
oss_labels_import_set_add(PG_FUNCTION_ARGS)
{
	MemoryContext memory;
	Import	   *import = PG_ARGISNULL(0) ? NULL : (Import *) PG_GETARG_POINTER(0);
	OssStoreRow row = {.tagged_at = GetCurrentTimestamp()};

	if (AggCheckCallContext(fcinfo, &memory) != AGG_CONTEXT_AGGREGATE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("import_set_add() can be called by its aggregate only"),
				 errhint("Call import_label_set().")));
	if (import == NULL)
	{
		import = begin_import(memory, MOST_ROWS);
		AggRegisterCallback(fcinfo, end_set, PointerGetDatum(import));
	}
	import_arrays(import, fcinfo, 1, &row);
	PG_RETURN_POINTER(import);
}

/* import_set_end(state): the number of images that were stored */
Datum
oss_labels_import_set_end(PG_FUNCTION_ARGS)
{
	Import	   *import = PG_ARGISNULL(0) ? NULL : (Import *) PG_GETARG_POINTER(0);

	if (import == NULL)
		PG_RETURN_INT64(0);
	PG_RETURN_INT64(end_import(import));
}
