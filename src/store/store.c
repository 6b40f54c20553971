/*-------------------------------------------------------------------------
 * store.c
 *	  Writing answers to the tables image and image_label.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "spi/bulk_insert.h"
#include "spi/column_array.h"
#include "spi/statement.h"
#include "store/known_label.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

static OssPlan write_images = {
	"INSERT INTO oss_labels.image AS i (bucket, key, version_id, thr, "
	"tagged_at, request_id, label_count, response) "
	"SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) "
	"ON CONFLICT (bucket, key, version_id) DO UPDATE SET thr = excluded.thr, "
	"tagged_at = excluded.tagged_at, request_id = excluded.request_id, "
	"label_count = excluded.label_count, response = excluded.response "
	"WHERE i.tagged_at <= excluded.tagged_at OR i.tagged_at > clock_timestamp() "
	"RETURNING image_id, bucket, key, version_id, xmax <> 0",
	8, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, FLOAT8ARRAYOID,
	TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4ARRAYOID, JSONBARRAYOID}
};

/* Used if image_label has additional columns, triggers and the like. */
static OssPlan write_labels = {
	"INSERT INTO oss_labels.image_label (image_id, label_confidence, "
	"centric_score, label_level, label_name, parent_label_name, language) "
	"SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)",
	7, {INT8ARRAYOID, FLOAT8ARRAYOID, FLOAT8ARRAYOID, INT4ARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

/* Deletes the former labels of images. */
static OssPlan clear_labels = {
	"DELETE FROM oss_labels.image_label WHERE image_id = ANY ($1)",
	1, {INT8ARRAYOID}
};

/* Element types of the parameters. */
static const Oid image_types[] = {TEXTOID, TEXTOID, TEXTOID, FLOAT8OID,
TIMESTAMPTZOID, TEXTOID, INT4OID, JSONBOID};
static const Oid label_types[] = {INT8OID, FLOAT8OID, FLOAT8OID, INT4OID,
TEXTOID, TEXTOID, TEXTOID};

/* Columns of image_label; the first four are numbers. */
enum
{
	IMAGE_ID, CONFIDENCE, CENTRIC, LEVEL, NAME, PARENT, LANGUAGE
};

/* Execute a plan with columns as parameters. */
static void
execute_store(OssPlan *plan, const OssColumn *columns, int expect)
{
	Datum		values[8];

	for (int i = 0; i < plan->nargs; i++)
		values[i] = oss_column_array(&columns[i]);
	oss_statement_execute(plan, values, NULL, expect);
}

typedef struct Labels
{
	int			n;
	OssLabel   *labels;
} Labels;

/* Write rows of image; the result is in SPI_tuptable. */
static void
store_images(const OssStoreRow *rows, const Labels *labels, int n)
{
	OssColumn	columns[lengthof(image_types)];

	for (int i = 0; i < lengthof(image_types); i++)
		oss_column_init(&columns[i], image_types[i], n);
	for (int i = 0; i < n; i++)
	{
		const OssStoreRow *row = &rows[i];

		oss_column_add_string(&columns[0], row->image.bucket);
		oss_column_add_string(&columns[1], row->image.key);
		oss_column_add_string(&columns[2], row->image.version_id);
		oss_column_add(&columns[3], Float8GetDatum(row->image.thr), !row->image.has_thr);
		oss_column_add(&columns[4], TimestampTzGetDatum(row->tagged_at), false);
		oss_column_add_string(&columns[5], row->request_id);
		oss_column_add(&columns[6], Int32GetDatum(labels[i].n), false);
		oss_column_add(&columns[7], JsonbPGetDatum(row->response), false);
	}
	execute_store(&write_images, columns, SPI_OK_INSERT_RETURNING);
}

static void
set_column(OssBulkRow *row, int column, Datum value, bool known)
{
	row->values[column] = known ? value : (Datum) 0;
	row->nulls[column] = !known;
}

static void
set_text(OssBulkRow *row, int column, const text * value)
{
	set_column(row, column, PointerGetDatum(value), value != NULL);
}

static void
make_label_rows(OssBulkRow *row, int64 image_id, const Labels *labels)
{
	for (int i = 0; i < labels->n; i++, row++)
	{
		const OssLabel *label = &labels->labels[i];

		set_column(row, IMAGE_ID, Int64GetDatum(image_id), true);
		set_column(row, CONFIDENCE, Float8GetDatum(label->confidence),
				   label->has_confidence);
		set_column(row, CENTRIC, Float8GetDatum(label->centric), label->has_centric);
		set_column(row, LEVEL, Int32GetDatum(label->level), label->has_level);
		set_text(row, NAME, label->name);
		set_text(row, PARENT, label->parent);
		set_text(row, LANGUAGE, label->language);
	}
}

static void
insert_by_statement(const OssBulkRow *rows, int n)
{
	OssColumn	columns[lengthof(label_types)];

	for (int c = 0; c < lengthof(label_types); c++)
	{
		oss_column_init(&columns[c], label_types[c], n);
		for (int i = 0; i < n; i++)
			oss_column_add(&columns[c], rows[i].values[c], rows[i].nulls[c]);
	}
	execute_store(&write_labels, columns, SPI_OK_INSERT);
}

/* Write rows of image_label, without the executor if possible. */
static void
insert_labels(const OssBulkRow *rows, int n)
{
	Oid			schema = get_namespace_oid("oss_labels", false);
	Relation	relation = table_open(get_relname_relid("image_label", schema),
									  RowExclusiveLock);
	Oid			learn_function = oss_learn_function();

	if (oss_bulk_possible(relation, label_types, lengthof(label_types),
						  learn_function))
	{
		oss_bulk_insert(relation, rows, n);
		for (int i = 0; i < n; i++)
			oss_learn_label(learn_function, rows[i].values[NAME],
							rows[i].nulls[NAME], rows[i].values[PARENT],
							rows[i].nulls[PARENT]);
	}
	else
		insert_by_statement(rows, n);
	table_close(relation, NoLock);
}

static bool
row_matches(uint64 written, const OssStoreRow *row)
{
	OssImage	image = {
		.bucket = oss_result_string(written, 2),
		.key = oss_result_string(written, 3),
		.version_id = oss_result_string(written, 4)
	};

	return oss_image_same(&image, &row->image);
}

/*
 * Write the labels of the images that were written.  The result has the
 * images in the given order, without those for which a newer answer is
 * stored.
 */
static void
store_labels(const OssStoreRow *rows, const Labels *labels, int n)
{
	OssBulkRow *label_rows;
	OssColumn	again;
	SPITupleTable *table = SPI_tuptable;
	uint64		written = SPI_processed;
	int			row = 0;
	int			nlabels = 0;

	for (int i = 0; i < n; i++)
		nlabels += labels[i].n;
	label_rows = oss_bulk_rows(Max(nlabels, 1), lengthof(label_types));
	nlabels = 0;
	oss_column_init(&again, INT8OID, 8);
	for (uint64 i = 0; i < written; i++)
	{
		Datum		image_id = oss_result_column(i, 1, NULL);

		while (written != n && row < n - 1 &&
			   !row_matches(i, &rows[row]))
			row++;
		if (DatumGetBool(oss_result_column(i, 5, NULL)))
			oss_column_add(&again, image_id, false);
		make_label_rows(label_rows + nlabels, DatumGetInt64(image_id),
						&labels[row]);
		nlabels += labels[row++].n;
	}
	if (again.n > 0)
		execute_store(&clear_labels, &again, SPI_OK_DELETE);
	if (nlabels > 0)
		insert_labels(label_rows, nlabels);
	SPI_freetuptable(table);
}

/*
 * Write n answers of different images, replacing stored answers except newer
 * ones.  The number of statements does not depend on n.  Within
 * oss_statement_begin(); allocates in CurrentMemoryContext.
 */
void
oss_store_write(const OssStoreRow *rows, int n)
{
	Labels	   *labels;

	if (n == 0)
		return;
	labels = palloc(sizeof(Labels) * n);
	for (int i = 0; i < n; i++)
		labels[i].n = oss_response_labels(rows[i].response, false,
										  &labels[i].labels);
	store_images(rows, labels, n);
	store_labels(rows, labels, n);
}
