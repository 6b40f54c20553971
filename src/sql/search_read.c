/*-------------------------------------------------------------------------
 * search_read.c
 *	  Read what a search needs from the tables.
 *
 * Sets may have a million members, so rows go from the executor straight into
 * the set instead of through a table of SPI's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "nodes/params.h"
#include "sql/search_read.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

#define READ_LABELS "SELECT image_id, label_confidence " \
	"FROM oss_labels.effective_label WHERE "

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

/* What a label is called in the store. */
#define READ_NAMES \
	"SELECT pg_catalog.array_agg(n.raw_label_name), " \
	"coalesce(pg_catalog.max(n.min_confidence), 0) " \
	"FROM oss_labels.effective_name n " \
	"WHERE n.label_name OPERATOR(pg_catalog.=) $1"

/* What people said about a label. */
#define READ_CORRECTED \
	"SELECT c.image_id, c.label_confidence " \
	"FROM oss_labels.label_correction c " \
	"LEFT JOIN oss_labels.label_alias a " \
	"ON a.alias_name OPERATOR(pg_catalog.=) c.label_name " \
	"WHERE coalesce(a.label_name, c.label_name) OPERATOR(pg_catalog.=) $1 " \
	"AND c.added OPERATOR(pg_catalog.=) $2"

/* The names of a label in the store, quoted, and its house rule. */
typedef struct Names
{
	char	   *list;
	double		min;
} Names;

/* Receives rows of image_id and confidence. */
typedef struct SetReceiver
{
	DestReceiver pub;
	ImageSetBuilder builder;
} SetReceiver;

/* Parameters of a query. */
typedef struct Arguments
{
	int			n;
	Oid			types[2];
	Datum		values[2];
} Arguments;

/* DestReceiver methods that need not do anything. */
static void
startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
nothing(DestReceiver *self)
{
}

/* DestReceiver method: take a row. */
static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	slot_getsomeattrs(slot, 2);
	image_set_add(&((SetReceiver *) self)->builder,
				  DatumGetInt64(slot->tts_values[0]),
				  slot->tts_isnull[1] ? get_float8_nan() :
				  DatumGetFloat8(slot->tts_values[1]));
	return true;
}

/* Run a query of ours. */
static void
run(const char *query, const Arguments *arguments, DestReceiver *dest)
{
	SPIExecuteOptions options = {0};
	int			result;

	options.read_only = true;
	options.dest = dest;
	options.params = makeParamList(arguments->n);
	for (int i = 0; i < arguments->n; i++)
	{
		options.params->params[i].value = arguments->values[i];
		options.params->params[i].isnull = false;
		options.params->params[i].pflags = PARAM_FLAG_CONST;
		options.params->params[i].ptype = arguments->types[i];
	}
	result = SPI_execute_extended(query, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read labels: %s", SPI_result_code_string(result));
}

/* Run a query for a set, in the caller's memory. */
static ImageSet
run_for_set(const char *query, const Arguments *arguments)
{
	SetReceiver receiver = {
		.pub = {receive, startup, nothing, nothing, DestTuplestore}
	};

	image_set_begin(&receiver.builder);
	run(query, arguments, &receiver.pub);
	return image_set_finish(&receiver.builder);
}

/* Add a parameter. */
static void
add_argument(Arguments *arguments, Oid type, Datum value)
{
	arguments->types[arguments->n] = type;
	arguments->values[arguments->n++] = value;
}

/* Write the condition on confidence. */
static const char *
min_condition(const LabelQueryNode *term, Arguments *arguments)
{
	if (!term->has_min)
		return "";
	add_argument(arguments, FLOAT8OID, Float8GetDatum(term->min));
	return " AND label_confidence OPERATOR(pg_catalog.>=) $2";
}

/* Read one of the two arrays of names below a parent. */
static Datum
read_children(const LabelQueryNode *term, int which)
{
	Arguments	arguments = {0};
	bool		isnull;

	add_argument(&arguments, TEXTOID, CStringGetTextDatum(term->name));
	run(READ_CHILDREN, &arguments, NULL);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, which,
						 &isnull);
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
	Arguments	arguments = {0};
	Names		names = {0};
	bool		isnull;
	Datum		array;

	add_argument(&arguments, TEXTOID, CStringGetTextDatum(term->name));
	run(READ_NAMES, &arguments, NULL);
	array = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	if (isnull)
		return names;
	names.list = quote_names(array);
	names.min = DatumGetFloat8(SPI_getbinval(SPI_tuptable->vals[0],
											 SPI_tuptable->tupdesc, 2, &isnull));
	return names;
}

/* Write the query for the machine's rows of a label; NULL for nothing. */
static char *
name_query(const LabelQueryNode *term)
{
	Names		names = read_names(term);
	double		min = Max(names.min, term->has_min ? term->min : 0);

	if (names.list == NULL)
		return NULL;
	return psprintf("SELECT image_id, label_confidence FROM oss_labels.image_label "
					"WHERE label_name IN (%s)%s", names.list, min == 0 &&
					!term->has_min ? "" :
					psprintf(" AND label_confidence OPERATOR(pg_catalog.>=) "
							 "'%s'::pg_catalog.float8", float8out_internal(min)));
}

/* Write the query for a parent's rows; NULL for nothing. */
static char *
parent_query(const LabelQueryNode *term, Arguments *arguments)
{
	char	   *always = quote_names(read_children(term, 1));
	char	   *others = quote_names(read_children(term, 2));
	const char *min;
	StringInfoData query;

	initStringInfo(&query);
	add_argument(arguments, TEXTOID, CStringGetTextDatum(term->name));
	min = min_condition(term, arguments);
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
	Arguments	arguments = {0};

	add_argument(&arguments, TEXTOID, CStringGetTextDatum(term->name));
	add_argument(&arguments, BOOLOID, BoolGetDatum(added));
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
	Arguments	arguments = {0};
	char	   *query = name_query(term);
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
	found = image_set_minus(&found, &removed);
	found = image_set_minus(&found, &added);
	apply_min(term, &added);
	return image_set_or(&found, &added);
}

/* Read the images with a term's label. */
ImageSet
read_term(const LabelQueryNode *term)
{
	Arguments	arguments = {0};
	ImageSet	none = {0, NULL};
	char	   *query;

	if (!term->parent)
		return read_name(term);
	query = parent_query(term, &arguments);
	return query == NULL ? none : run_for_set(query, &arguments);
}

/* Count a term's label rows up to a limit. */
int64
count_term(const LabelQueryNode *term, int64 limit)
{
	Arguments	arguments = {0};
	char	   *query;
	bool		isnull;

	query = term->parent ? parent_query(term, &arguments) : name_query(term);
	if (query == NULL)
		return 0;
	query = psprintf("SELECT pg_catalog.count(*) FROM (%s LIMIT " INT64_FORMAT ") l",
					 query, limit);
	run(query, &arguments, NULL);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
}

/* Read all stored images. */
ImageSet
read_universe(void)
{
	Arguments	arguments = {0};

	return run_for_set("SELECT image_id, NULL::pg_catalog.float8 "
					   "FROM oss_labels.image", &arguments);
}

/* Return the plan that reads labels of images. */
static SPIPlanPtr
images_plan(void)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = INT8ARRAYOID;

	if (plan != NULL)
		return plan;
	plan = SPI_prepare("SELECT i.image_id, l.label_name, l.parent_label_name, "
					   "l.label_confidence FROM oss_labels.image i "
					   "LEFT JOIN oss_labels.effective_label l "
					   "ON l.image_id OPERATOR(pg_catalog.=) i.image_id "
					   "WHERE i.image_id OPERATOR(pg_catalog.=) ANY ($1) "
					   "ORDER BY i.image_id", 1, &type);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare to read labels");
	return plan;
}

/* Make a label of a row. */
static ReadLabel *
make_label(HeapTuple row, TupleDesc desc)
{
	ReadLabel  *label = palloc0(sizeof(ReadLabel));
	bool		isnull;
	Datum		confidence = SPI_getbinval(row, desc, 4, &isnull);

	label->name = SPI_getvalue(row, desc, 2);
	label->parent = SPI_getvalue(row, desc, 3);
	label->confidence = isnull ? get_float8_nan() : DatumGetFloat8(confidence);
	return label;
}

/* Read the labels of images. */
List *
read_images(const int64 *image_ids, int n)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(n, 1));
	Datum		array;
	List	   *images = NIL;
	ReadImage  *image = NULL;
	int			result;

	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(image_ids[i]);
	array = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	result = SPI_execute_plan(images_plan(), &array, NULL, true, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read labels: %s", SPI_result_code_string(result));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int64		image_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));

		if (image == NULL || image->image_id != image_id)
		{
			image = palloc0(sizeof(ReadImage));
			image->image_id = image_id;
			images = lappend(images, image);
		}
		image->labels = lappend(image->labels, make_label(row, desc));
	}
	return images;
}
