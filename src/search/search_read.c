/*-------------------------------------------------------------------------
 * search_read.c
 *	  Read what a search needs from the tables.
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
 * Names below a parent: those that are never below another one (whose rows
 * an index alone can tell), and the others.
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

/* What a label is called in the store, and its house rule. */
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

/* What people said about a label, the last word for each image. */
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

/* The names of a label in the store, quoted, and its house rule. */
typedef struct Names
{
	char	   *list;
	double		min;
} Names;

/* Take a row of image_id and confidence into a set. */
static void
take_hit(TupleTableSlot *slot, void *builder)
{
	oss_image_set_add(builder, DatumGetInt64(slot->tts_values[0]),
					  slot->tts_isnull[1] ? get_float8_nan() :
					  DatumGetFloat8(slot->tts_values[1]));
}

/* Run a query for a set, in the caller's memory. */
static ImageSet
run_for_set(const char *query, const OssArguments *arguments)
{
	ImageSetBuilder builder;

	oss_image_set_begin(&builder);
	oss_read(query, arguments, take_hit, &builder);
	return oss_image_set_finish(&builder);
}

/* Write a quoted list of an array's texts; returns NULL for none. */
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
 * Find what a label is called in the store, and the least confidence that the
 * house rules ask of it; names is NULL when it is hidden or was never stored.
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

/* Write the query for the machine's rows of a label; NULL for nothing. */
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

/* Read the names below a parent, quoted; NULL for none. */
static void
read_children(const OssArguments *parent, char **always, char **others)
{
	oss_read(READ_CHILDREN, parent, NULL, NULL);
	*always = quote_names(oss_result_column(0, 1, NULL));
	*others = quote_names(oss_result_column(0, 2, NULL));
}

/* Write the query for a parent's rows; NULL for nothing. */
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

/* Read the images that people corrected a label of: those with and without. */
static ImageSet
read_corrected(const LabelQueryNode *term, bool added)
{
	OssArguments arguments = {0};

	oss_add_argument(&arguments, TEXTOID, CStringGetTextDatum(term->name));
	oss_add_argument(&arguments, BOOLOID, BoolGetDatum(added));
	return run_for_set(READ_CORRECTED, &arguments);
}

/* Leave out what has less confidence than a term asks for. */
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

/* Read the images with a label: the machine's, but people know better. */
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

/* Read the images with a term's label. */
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

/* Count a term's label rows up to a limit. */
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

/* Read all stored images. */
ImageSet
oss_read_universe(void)
{
	OssArguments arguments = {0};

	return run_for_set("SELECT image_id, NULL::pg_catalog.float8 "
					   "FROM oss_labels.image", &arguments);
}

/*
 * Reads labels of images.  It says twice which images: the planner tells
 * neither from the other, and would count the condition twice if OFFSET did not
 * keep them apart.
 */
#define READ_IMAGES \
	"SELECT i.image_id, l.label_name, l.parent_label_name, " \
	"l.label_confidence FROM oss_labels.image i " \
	"LEFT JOIN (SELECT * FROM oss_labels.effective_image_label e " \
	"WHERE e.image_id OPERATOR(pg_catalog.=) ANY ($1) OFFSET 0) l " \
	"ON l.image_id OPERATOR(pg_catalog.=) i.image_id " \
	"WHERE i.image_id OPERATOR(pg_catalog.=) ANY ($1) " \
	"ORDER BY i.image_id", 1, {INT8ARRAYOID}

/* Make a label of a row of the result. */
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

/* Read the labels of images; a generic plan is one for a few. */
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
