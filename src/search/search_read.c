/*-------------------------------------------------------------------------
 * search_read.c
 *	  Reading images with a label, and labels of images.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "search/search_read.h"
#include "spi/column_array.h"
#include "spi/read_rows.h"
#include "spi/statement.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

#define READ_LABELS "SELECT image_id, label_confidence " \
	"FROM oss_labels.effective_image_label WHERE "

/*
 * Names below a parent: those that are never below another one, for which an
 * index scan by name suffices, and the others.
 */
#define READ_CHILDREN \
	"SELECT coalesce(pg_catalog.array_agg(c.name) FILTER (WHERE c.always), '{}'), " \
	"coalesce(pg_catalog.array_agg(c.name) FILTER (WHERE NOT c.always), '{}') " \
	"FROM (SELECT k.label_name AS name, " \
	"pg_catalog.bool_and(coalesce(a.label_name, k.parent_label_name) " \
	"IS NOT DISTINCT FROM $1) AS always " \
	"FROM oss_labels.known_label k LEFT JOIN oss_labels.label_alias a " \
	"ON a.alias_name OPERATOR(pg_catalog.=) k.parent_label_name " \
	"GROUP BY k.label_name " \
	"HAVING pg_catalog.bool_or(coalesce(a.label_name, k.parent_label_name) " \
	"OPERATOR(pg_catalog.=) $1)) c"

/* The stored names of a label, and its house rule. */
#define READ_NAMES \
	"SELECT pg_catalog.array_agg(n.name), " \
	"coalesce(pg_catalog.max(r.min_confidence), 0) " \
	"FROM (SELECT $1 AS name WHERE NOT EXISTS (" \
	"SELECT FROM oss_labels.label_alias a " \
	"WHERE a.alias_name OPERATOR(pg_catalog.=) $1) " \
	"UNION ALL SELECT a.alias_name FROM oss_labels.label_alias a " \
	"WHERE a.label_name OPERATOR(pg_catalog.=) $1) n " \
	"LEFT JOIN oss_labels.label_rule r " \
	"ON r.label_name OPERATOR(pg_catalog.=) $1 " \
	"WHERE r.hidden IS NOT TRUE"

/* Corrections of a label, the latest for each image. */
#define READ_CORRECTED \
	"SELECT s.image_id, s.label_confidence FROM (" \
	"SELECT DISTINCT ON (c.image_id) c.image_id, c.label_confidence, c.added " \
	"FROM oss_labels.label_correction c " \
	"WHERE c.label_name OPERATOR(pg_catalog.=) $1 " \
	"OR c.label_name OPERATOR(pg_catalog.=) ANY (ARRAY(" \
	"SELECT a.alias_name FROM oss_labels.label_alias a " \
	"WHERE a.label_name OPERATOR(pg_catalog.=) $1)) " \
	"ORDER BY c.image_id, c.corrected_at DESC, c.label_name DESC) s " \
	"WHERE s.added OPERATOR(pg_catalog.=) $2"

/* The stored names of a label as a quoted list, and its house rule. */
typedef struct Names
{
	char	   *list;
	double		min;
} Names;

/* Add a row of image_id and confidence to a set. */
static void
take_hit(TupleTableSlot *slot, void *builder)
{
	oss_image_set_add(builder, DatumGetInt64(slot->tts_values[0]),
					  slot->tts_isnull[1] ? get_float8_nan() :
					  DatumGetFloat8(slot->tts_values[1]));
}

/* Return the result of a query as a set. */
static ImageSet
run_for_set(const char *query, const OssArguments *arguments)
{
	ImageSetBuilder builder;

	oss_image_set_begin(&builder);
	oss_read(query, arguments, take_hit, &builder);
	return oss_image_set_finish(&builder);
}

/* Return the elements of an array as a quoted list, NULL if there are none. */
static char *
quote_names(Datum array)
{
	StringInfoData list;
	Datum	   *names;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, NULL, &n);
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 quote_literal_cstr(TextDatumGetCString(names[i])));
	return n > 0 ? list.data : NULL;
}

/*
 * Return the stored names of a label and the least confidence of its house
 * rule; list is NULL if the label is hidden or was never stored.
 */
static Names
read_names(const LabelQueryNode *term)
{
	OssArguments arguments = {0};
	Names		names = {0};
	bool		isnull;
	Datum		array;

	oss_add_argument(&arguments, TEXTOID, CStringGetTextDatum(term->name));
	oss_read(READ_NAMES, &arguments, NULL, NULL);
	array = oss_result_column(0, 1, &isnull);
	if (isnull)
		return names;
	names.list = quote_names(array);
	names.min = DatumGetFloat8(oss_result_column(0, 2, NULL));
	return names;
}

/*
 * Return the query for rows of a label in image_label, NULL if there are
 * none.
 */
static char *
name_query(const LabelQueryNode *term, OssArguments *arguments)
{
	Names		names = read_names(term);
	double		min = Max(names.min, term->has_min ? term->min : 0);

	if (names.list == NULL)
		return NULL;
	if (min > 0 || term->has_min)
		oss_add_argument(arguments, FLOAT8OID, Float8GetDatum(min));
	return psprintf("SELECT image_id, label_confidence FROM oss_labels.image_label "
					"WHERE label_name IN (%s)%s", names.list, arguments->n == 0 ?
					"" : " AND label_confidence OPERATOR(pg_catalog.>=) $1");
}

/* Read the names below a parent as quoted lists, NULL if there are none. */
static void
read_children(const OssArguments *parent, char **always, char **others)
{
	oss_read(READ_CHILDREN, parent, NULL, NULL);
	*always = quote_names(oss_result_column(0, 1, NULL));
	*others = quote_names(oss_result_column(0, 2, NULL));
}

/* Return the query for rows below a parent, NULL if there are none. */
static char *
parent_query(const LabelQueryNode *term, OssArguments *arguments)
{
	char	   *always;
	char	   *others;
	const char *min = "";
	StringInfoData query;

	initStringInfo(&query);
	oss_add_argument(arguments, TEXTOID, CStringGetTextDatum(term->name));
	read_children(arguments, &always, &others);
	if (term->has_min)
	{
		oss_add_argument(arguments, FLOAT8OID, Float8GetDatum(term->min));
		min = " AND label_confidence OPERATOR(pg_catalog.>=) $2";
	}
	if (always != NULL)
		appendStringInfo(&query, READ_LABELS "raw_label_name IN (%s)%s",
						 always, min);
	if (others != NULL)
		appendStringInfo(&query, "%s" READ_LABELS "raw_label_name IN (%s) "
						 "AND parent_label_name OPERATOR(pg_catalog.=) $1%s",
						 always != NULL ? " UNION ALL " : "", others, min);
	return query.len > 0 ? query.data : NULL;
}

/*
 * Read the images to which people added a label, or from which they removed
 * it.
 */
static ImageSet
read_corrected(const LabelQueryNode *term, bool added)
{
	OssArguments arguments = {0};

	oss_add_argument(&arguments, TEXTOID, CStringGetTextDatum(term->name));
	oss_add_argument(&arguments, BOOLOID, BoolGetDatum(added));
	return run_for_set(READ_CORRECTED, &arguments);
}

/* Remove images below a term's least confidence. */
static void
apply_min(const LabelQueryNode *term, ImageSet *set)
{
	int64		n = 0;

	for (int64 i = 0; i < set->n && term->has_min; i++)
	{
		if (set->hits[i].score >= term->min)
			set->hits[n++] = set->hits[i];
	}
	if (term->has_min)
		set->n = n;
}

/* Read the images with a label, with corrections applied. */
static ImageSet
read_name(const LabelQueryNode *term)
{
	OssArguments arguments = {0};
	char	   *query = name_query(term, &arguments);
	ImageSet	found = {0, NULL};
	ImageSet	added;
	ImageSet	removed;

	if (query == NULL)
		return found;
	found = run_for_set(query, &arguments);
	added = read_corrected(term, true);
	removed = read_corrected(term, false);
	if (added.n == 0 && removed.n == 0)
		return found;
	found = oss_image_set_minus(&found, &removed);
	found = oss_image_set_minus(&found, &added);
	apply_min(term, &added);
	return oss_image_set_or(&found, &added);
}

ImageSet
oss_read_term(const LabelQueryNode *term)
{
	OssArguments arguments = {0};
	ImageSet	none = {0, NULL};
	char	   *query;

	if (!term->parent)
		return read_name(term);
	query = parent_query(term, &arguments);
	return query == NULL ? none : run_for_set(query, &arguments);
}

int64
oss_count_term(const LabelQueryNode *term, int64 limit)
{
	OssArguments arguments = {0};
	char	   *query;

	query = term->parent ? parent_query(term, &arguments) :
		name_query(term, &arguments);
	if (query == NULL)
		return 0;
	query = psprintf("SELECT pg_catalog.count(*) FROM (%s LIMIT " INT64_FORMAT ") l",
					 query, limit);
	oss_read(query, &arguments, NULL, NULL);
	return DatumGetInt64(oss_result_column(0, 1, NULL));
}

ImageSet
oss_read_universe(void)
{
	OssArguments arguments = {0};

	return run_for_set("SELECT image_id, NULL::pg_catalog.float8 "
					   "FROM oss_labels.image", &arguments);
}

/*
 * Reads labels of images.  It restricts the images twice: the planner cannot
 * derive one condition from the other, and without OFFSET would estimate both
 * as independent.
 */
#define READ_IMAGES \
	"SELECT i.image_id, l.label_name, l.parent_label_name, " \
	"l.label_confidence FROM oss_labels.image i " \
	"LEFT JOIN (SELECT * FROM oss_labels.effective_image_label e " \
	"WHERE e.image_id OPERATOR(pg_catalog.=) ANY ($1) OFFSET 0) l " \
	"ON l.image_id OPERATOR(pg_catalog.=) i.image_id " \
	"WHERE i.image_id OPERATOR(pg_catalog.=) ANY ($1) " \
	"ORDER BY i.image_id", 1, {INT8ARRAYOID}

static ReadLabel *
make_label(uint64 row)
{
	ReadLabel  *label = palloc0(sizeof(ReadLabel));
	bool		isnull;
	Datum		confidence = oss_result_column(row, 4, &isnull);

	label->name = oss_result_string(row, 2);
	label->parent = oss_result_string(row, 3);
	label->confidence = isnull ? get_float8_nan() : DatumGetFloat8(confidence);
	return label;
}

List *
oss_read_images(const int64 *image_ids, int n)
{
	static OssPlan read_one = {READ_IMAGES, OSS_PLAN_READ};
	static OssPlan read_many = {READ_IMAGES, OSS_PLAN_READ_MANY};
	Datum		array;
	OssColumn	ids;
	List	   *images = NIL;
	ReadImage  *image = NULL;
	uint64		rows;

	oss_column_init(&ids, INT8OID, n);
	for (int i = 0; i < n; i++)
		oss_column_add(&ids, Int64GetDatum(image_ids[i]), false);
	array = oss_column_array(&ids);

	/* a generic plan expects a few images */
	rows = oss_statement_execute(n > 1 ? &read_many : &read_one, &array, NULL,
								 SPI_OK_SELECT);
	for (uint64 i = 0; i < rows; i++)
	{
		int64		image_id = DatumGetInt64(oss_result_column(i, 1, NULL));

		if (image == NULL || image->image_id != image_id)
		{
			image = palloc0(sizeof(ReadImage));
			image->image_id = image_id;
			images = lappend(images, image);
		}
		image->labels = lappend(image->labels, make_label(i));
	}
	return images;
}
