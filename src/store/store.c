/*-------------------------------------------------------------------------
 * store.c
 *	  Writing answers to the tables image and image_label.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/toast_internals.h"
#include "catalog/pg_type.h"
#include "client/failure.h"
#include "fmgr.h"
#include "spi/bulk_insert.h"
#include "spi/column_array.h"
#include "spi/dirty_scan.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "store/coverage.h"
#include "store/image_id.h"
#include "store/store.h"
#include "store/vocabulary.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_compress_answer);

/*
 * Used where images may be stored already.  An image of another name with the same
 * id is not replaced.
 */
static OssPlan write_images = {
	"INSERT INTO oss_labels.image AS i (image_id, bucket, key, version_id, thr, "
	"tagged_at, request_id, source, label_count, response, etag, last_modified, "
	"object_size) "
	"SELECT u.image_id, u.bucket, u.key, u.version_id, u.thr, u.tagged_at, "
	"u.request_id, u.source, u.label_count, oss_labels.compress_answer(u.response), "
	"u.etag, u.last_modified, u.object_size "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) u (image_id, "
	"bucket, key, version_id, thr, tagged_at, request_id, source, label_count, "
	"response, etag, last_modified, object_size) "
	"ON CONFLICT (image_id) DO UPDATE SET thr = excluded.thr, "
	"tagged_at = excluded.tagged_at, request_id = excluded.request_id, "
	"source = excluded.source, "
	"label_count = excluded.label_count, response = excluded.response, "
	"etag = excluded.etag, last_modified = excluded.last_modified, "
	"object_size = excluded.object_size "
	"WHERE i.bucket = excluded.bucket AND i.key = excluded.key "
	"AND i.version_id IS NOT DISTINCT FROM excluded.version_id "
	"AND " OSS_SQL_REPLACES("excluded", "i") " "
	"RETURNING image_id, xmax <> 0",
	13, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, FLOAT8ARRAYOID,
		TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, JSONBARRAYOID,
	TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID}
};

/* Images of other names that have one of these ids. */
static OssPlan find_collisions = {
	"SELECT u.n FROM unnest($1, $2, $3, $4) WITH ORDINALITY u (image_id, bucket, "
	"key, version_id, n) JOIN oss_labels.image i ON i.image_id = u.image_id "
	"WHERE (i.bucket, i.key, i.version_id) IS DISTINCT FROM "
	"(u.bucket, u.key, u.version_id) LIMIT 1",
	4, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

/* Used if image_label has additional columns, triggers and the like. */
static OssPlan write_labels = {
	"INSERT INTO oss_labels.image_label (image_id, label_id, label_confidence, "
	"centric_score) SELECT * FROM unnest($1, $2, $3, $4)",
	4, {INT8ARRAYOID, INT8ARRAYOID, FLOAT8ARRAYOID, FLOAT8ARRAYOID}
};

/* Deletes the former labels of images. */
static OssPlan clear_labels = {
	"DELETE FROM oss_labels.image_label WHERE image_id = ANY ($1)",
	1, {INT8ARRAYOID}
};

/* Element types of the parameters. */
static const Oid image_types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID,
TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, TEXTOID, TIMESTAMPTZOID, INT8OID};

/* Columns of image_label. */
enum
{
	IMAGE_ID, LABEL_ID, CONFIDENCE, CENTRIC, LABEL_COLUMNS
};

static const OssBulkColumn label_columns[LABEL_COLUMNS] = {
	[IMAGE_ID] = {INT8OID, true},
	[LABEL_ID] = {INT8OID, true},
	[CONFIDENCE] = {FLOAT8OID},
	[CENTRIC] = {FLOAT8OID}
};

/* Columns of image, and the constraint that oss_image_id() keeps. */
enum
{
	IMAGE_IMAGE_ID, TAGGED_AT, THR, LABEL_COUNT, BUCKET, KEY, VERSION_ID, REQUEST_ID,
	SOURCE, RESPONSE, ETAG, OBJECT_SIZE, LAST_MODIFIED, IMAGE_COLUMNS
};

static const OssBulkColumn image_columns[IMAGE_COLUMNS] = {
	[IMAGE_IMAGE_ID] = {INT8OID, true},
	[TAGGED_AT] = {TIMESTAMPTZOID, true},
	[THR] = {FLOAT8OID},
	[LABEL_COUNT] = {INT4OID, true},
	[BUCKET] = {TEXTOID, true},
	[KEY] = {TEXTOID, true},
	[VERSION_ID] = {TEXTOID},
	[REQUEST_ID] = {TEXTOID},
	[SOURCE] = {TEXTOID, true},
	[RESPONSE] = {JSONBOID, true},
	[ETAG] = {TEXTOID},
	[OBJECT_SIZE] = {INT8OID},
	[LAST_MODIFIED] = {TIMESTAMPTZOID}
};

#define IMAGE_CHECK "image_id_is_of_name"

/* With fewer images, a subtransaction costs more than it saves. */
#define LEAST_BULK 8

/* An answer to write: its row, id and labels, and the outcome. */
typedef struct Answer
{
	const OssStoreRow *row;
	int64		image_id;
	OssNumberedLabels labels;
	bool		written;
	bool		again;			/* it has replaced another one */
} Answer;

/* Order answers by id. */
static int
compare_answers(const void *a, const void *b)
{
	const Answer *left = a;
	const Answer *right = b;

	return left->image_id < right->image_id ? -1 : left->image_id > right->image_id;
}

/* Return an answer as it is stored: compressed, if that makes it shorter. */
static Datum
compress_answer(const Jsonb *answer)
{
#ifdef USE_LZ4
	const char	method = TOAST_LZ4_COMPRESSION;
#else
	const char	method = TOAST_PGLZ_COMPRESSION;
#endif
	Datum		compressed = toast_compress_datum(JsonbPGetDatum(answer), method);

	return DatumGetPointer(compressed) == NULL ? JsonbPGetDatum(answer) : compressed;
}

/* Execute a plan with columns as parameters. */
static uint64
execute_store(OssPlan *plan, const OssColumn *columns, int expect)
{
	Datum		values[lengthof(image_types)];

	for (int i = 0; i < plan->nargs; i++)
		values[i] = oss_column_array(&columns[i]);
	return oss_statement_execute(plan, values, NULL, expect);
}

/* Make columns of the ids and names of answers, then empty ones. */
static void
make_image_columns(OssColumn *columns, const Answer *answers, int n)
{
	for (int i = 0; i < lengthof(image_types); i++)
		oss_column_init(&columns[i], image_types[i], n);
	for (int i = 0; i < n; i++)
	{
		const OssImage *image = &answers[i].row->image;

		oss_column_add(&columns[0], Int64GetDatum(answers[i].image_id), false);
		oss_column_add_string(&columns[1], image->bucket);
		oss_column_add_string(&columns[2], image->key);
		oss_column_add_string(&columns[3], image->version_id);
	}
}

/* Return the answer for an id. */
static Answer *
find_answer(Answer *answers, int n, int64 image_id)
{
	Answer		wanted = {.image_id = image_id};
	Answer	   *found = bsearch(&wanted, answers, n, sizeof(Answer), compare_answers);

	Assert(found != NULL);
	return found;
}

/* Write rows of image, and note which ones were written. */
static void
write_by_statement(Answer *answers, int n)
{
	OssColumn	columns[lengthof(image_types)];
	uint64		written;

	make_image_columns(columns, answers, n);
	for (int i = 0; i < n; i++)
	{
		const OssStoreRow *row = answers[i].row;

		oss_column_add(&columns[4], Float8GetDatum(row->image.thr), !row->image.has_thr);
		oss_column_add(&columns[5], TimestampTzGetDatum(row->tagged_at), false);
		oss_column_add_string(&columns[6], row->request_id);
		oss_column_add_string(&columns[7], row->source ? row->source : OSS_SOURCE_SERVICE);
		oss_column_add(&columns[8], Int32GetDatum(answers[i].labels.n), false);
		oss_column_add(&columns[9], JsonbPGetDatum(row->response), false);
		oss_column_add_string(&columns[10], row->image.etag);
		oss_column_add(&columns[11], TimestampTzGetDatum(row->facts.last_modified),
					   row->facts.last_modified == 0);
		oss_column_add(&columns[12], Int64GetDatum(row->facts.size), row->facts.size == 0);
	}
	written = execute_store(&write_images, columns, SPI_OK_INSERT_RETURNING);
	for (uint64 i = 0; i < written; i++)
	{
		Datum		image_id = oss_result_column(i, 1, NULL);
		Answer	   *answer = find_answer(answers, n, DatumGetInt64(image_id));

		answer->written = true;
		answer->again = DatumGetBool(oss_result_column(i, 2, NULL));
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
set_column(OssBulkRow *row, int column, Datum value, bool known)
{
	row->values[column] = known ? value : (Datum) 0;
	row->nulls[column] = !known;
}

static void
set_text_column(OssBulkRow *row, int column, const char *value)
{
	set_column(row, column, value ? CStringGetTextDatum(value) : (Datum) 0, value != NULL);
}

static void
make_image_row(OssBulkRow *to, const Answer *answer)
{
	const OssStoreRow *row = answer->row;

	set_column(to, IMAGE_IMAGE_ID, Int64GetDatum(answer->image_id), true);
	set_column(to, TAGGED_AT, TimestampTzGetDatum(row->tagged_at), true);
	set_column(to, THR, Float8GetDatum(row->image.thr), row->image.has_thr);
	set_column(to, LABEL_COUNT, Int32GetDatum(answer->labels.n), true);
	set_text_column(to, BUCKET, row->image.bucket);
	set_text_column(to, KEY, row->image.key);
	set_text_column(to, VERSION_ID, row->image.version_id);
	set_text_column(to, REQUEST_ID, row->request_id);
	set_text_column(to, SOURCE, row->source ? row->source : OSS_SOURCE_SERVICE);
	set_column(to, RESPONSE, compress_answer(row->response), true);
	set_text_column(to, ETAG, row->image.etag);
	set_column(to, OBJECT_SIZE, Int64GetDatum(row->facts.size), row->facts.size != 0);
	set_column(to, LAST_MODIFIED, TimestampTzGetDatum(row->facts.last_modified),
			   row->facts.last_modified != 0);
}

/* Rows to insert, the argument of a function for a subtransaction. */
typedef struct Insertion
{
	Relation	relation;
	OssBulkRow *rows;
	int			n;
} Insertion;

static void
insert_images(void *arg)
{
	Insertion  *insertion = arg;

	oss_bulk_insert(insertion->relation, insertion->rows, insertion->n);
}

/* Is there a row of one of these images, or is one being written? */
static bool
is_any_stored(Relation relation, const Answer *answers, int n)
{
	bool		found = false;

	for (int i = 0; i < n && !found; i++)
	{
		SnapshotData dirty;
		SysScanDesc scan = oss_dirty_scan(relation, "image_id", "image_pkey",
										  answers[i].image_id, &dirty);

		found = HeapTupleIsValid(systable_getnext(scan));
		systable_endscan(scan);
	}
	return found;
}

/*
 * Insert rows of image without the executor.  Returns false, having inserted
 * nothing, if one of the images may be stored: then a statement writes them all.
 * Both ways write in the order of ids, which avoids deadlocks.
 */
static bool
insert_new_images(Relation relation, const Answer *answers, int n)
{
	Insertion	insertion = {relation, NULL, n};
	ErrorData  *error;

	if (n < LEAST_BULK ||
		!oss_bulk_possible(relation, image_columns, IMAGE_COLUMNS, IMAGE_CHECK) ||
		is_any_stored(relation, answers, n))
		return false;
	insertion.rows = oss_bulk_rows(n, IMAGE_COLUMNS);
	for (int i = 0; i < n; i++)
		make_image_row(&insertion.rows[i], &answers[i]);
	error = oss_subtransaction(insert_images, &insertion);

	/* another transaction was faster */
	if (error != NULL && error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		ReThrowError(error);
	return error == NULL;
}

/* Write rows of image, without the executor if possible. */
static void
store_images(Answer *answers, int n)
{
	Relation	relation = oss_own_table_open("image", RowExclusiveLock);
	bool		inserted = insert_new_images(relation, answers, n);

	table_close(relation, NoLock);
	for (int i = 0; i < n; i++)
		answers[i].written = inserted;
	if (!inserted)
		write_by_statement(answers, n);
}


/*
 * Raise IdCollision if an image of another name has the id of one of these, of
 * which some were not written.
 */
static void
check_collisions(const Answer *answers, int n)
{
	OssColumn	columns[lengthof(image_types)];
	const OssImage *image;
	const char *what;

	make_image_columns(columns, answers, n);
	if (execute_store(&find_collisions, columns, SPI_OK_SELECT) == 0)
		return;
	image = &answers[DatumGetInt64(oss_result_column(0, 1, NULL)) - 1].row->image;
	what = psprintf("labels of \"oss://%s/%s\"", image->bucket, image->key);
	oss_failure_throw(oss_failure_make(OSS_ID_COLLISION, NULL, what));
}

static void
make_label_rows(OssBulkRow *row, const Answer *answer)
{
	for (int i = 0; i < answer->labels.n; i++, row++)
	{
		const OssLabel *label = &answer->labels.labels[i];

		set_column(row, IMAGE_ID, Int64GetDatum(answer->image_id), true);
		set_column(row, LABEL_ID, Int64GetDatum(answer->labels.ids[i]), true);
		set_column(row, CONFIDENCE, Float8GetDatum(label->confidence),
				   label->has_confidence);
		set_column(row, CENTRIC, Float8GetDatum(label->centric), label->has_centric);
	}
}

static void
insert_by_statement(const OssBulkRow *rows, int n)
{
	OssColumn	columns[LABEL_COLUMNS];

	for (int c = 0; c < LABEL_COLUMNS; c++)
	{
		oss_column_init(&columns[c], label_columns[c].type, n);
		for (int i = 0; i < n; i++)
			oss_column_add(&columns[c], rows[i].values[c], rows[i].nulls[c]);
	}
	execute_store(&write_labels, columns, SPI_OK_INSERT);
}

/* Write rows of image_label, without the executor if possible. */
static void
insert_labels(const OssBulkRow *rows, int n)
{
	Relation	relation = oss_own_table_open("image_label", RowExclusiveLock);

	if (oss_bulk_possible(relation, label_columns, LABEL_COLUMNS, NULL))
		oss_bulk_insert(relation, rows, n);
	else
		insert_by_statement(rows, n);
	table_close(relation, NoLock);
}

/*
 * Write the labels of the images that were written, without those that a later answer
 * kept.  Returns how many images were written.
 */
static int
store_labels(const Answer *answers, int n)
{
	OssBulkRow *label_rows;
	OssColumn	again;
	int			nlabels = 0;
	int			written = 0;

	for (int i = 0; i < n; i++)
		nlabels += answers[i].labels.n;
	label_rows = oss_bulk_rows(Max(nlabels, 1), LABEL_COLUMNS);
	nlabels = 0;
	oss_column_init(&again, INT8OID, 8);
	for (int i = 0; i < n; i++)
	{
		if (!answers[i].written)
			continue;
		if (answers[i].again)
			oss_column_add(&again, Int64GetDatum(answers[i].image_id), false);
		make_label_rows(label_rows + nlabels, &answers[i]);
		nlabels += answers[i].labels.n;
		written++;
	}
	if (again.n > 0)
		execute_store(&clear_labels, &again, SPI_OK_DELETE);
	if (nlabels > 0)
		insert_labels(label_rows, nlabels);
	if (written < n)
		check_collisions(answers, n);
	return written;
}

/* Is a label's confidence above that of the same label? */
static bool
is_more_confident(const OssLabel *a, const OssLabel *b)
{
	return a->has_confidence && (!b->has_confidence || a->confidence > b->confidence);
}

/* Of duplicate labels in an answer, keep the one with the highest confidence. */
static void
drop_doubles(OssNumberedLabels *answer)
{
	int			n = 0;

	for (int i = 0; i < answer->n; i++)
	{
		int			same = 0;

		while (same < n && answer->ids[same] != answer->ids[i])
			same++;
		if (same == n || is_more_confident(&answer->labels[i], &answer->labels[same]))
		{
			answer->ids[same] = answer->ids[i];
			answer->labels[same] = answer->labels[i];
		}
		n = Max(n, same + 1);
	}
	answer->n = n;
}

/* Take the labels of an answer, as a copy, for drop_doubles(). */
static void
read_row_labels(const OssStoreRow *row, OssNumberedLabels *labels)
{
	labels->n = row->labels.n;
	if (labels->n == 0)
	{
		labels->n = oss_response_labels(row->response, false, &labels->labels);
		return;
	}
	labels->labels = palloc(sizeof(OssLabel) * labels->n);
	memcpy(labels->labels, row->labels.labels, sizeof(OssLabel) * labels->n);
}

/*
 * Write n answers, which must be of different images, replacing what is stored
 * of these images unless that was asked for later or holds more (coverage.h).  A few statements, whatever
 * n.  Returns how many were written.  Within oss_statement_begin(), with SPI connected; allocates in
 * CurrentMemoryContext.  Errors: IdCollision, when an image of another name has
 * the id of one of these.
 *
 * Rows are written in the order of their ids, so that two transactions that write
 * the same images do not deadlock.
 */
int
oss_store_write(const OssStoreRow *rows, int n)
{
	Answer	   *answers;
	OssNumberedLabels *labels;

	if (n == 0)
		return 0;
	answers = palloc(sizeof(Answer) * n);
	labels = palloc(sizeof(OssNumberedLabels) * n);
	for (int i = 0; i < n; i++)
		read_row_labels(&rows[i], &labels[i]);
	oss_vocabulary_number(labels, n);
	for (int i = 0; i < n; i++)
	{
		drop_doubles(&labels[i]);
		answers[i] = (Answer)
		{
			.row = &rows[i],.image_id = oss_image_id(&rows[i].image),.labels = labels[i]
		};
	}
	qsort(answers, n, sizeof(Answer), compare_answers);
	store_images(answers, n);
	return store_labels(answers, n);
}

/* Was an error raised by oss_store_write() for an id that two images have? */
bool
oss_store_is_collision(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && error->funcname &&
		strcmp(error->funcname, "oss_failure_throw") == 0;
}

/* compress_answer(answer) */
Datum
oss_labels_compress_answer(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(compress_answer(PG_GETARG_JSONB_P(0)));
}
