/*-------------------------------------------------------------------------
 * search_read.c
 *	  Reading images with a label, and labels of images.
 *
 * A term is first resolved to the label_ids of its labels in vocabulary, which
 * are few.  Their rows are then read from the index of image_label, and
 * corrections of these labels are applied here.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "search/search_read.h"
#include "search/search_scope.h"
#include "spi/column_array.h"
#include "spi/read_rows.h"
#include "spi/statement.h"
#include "store/coverage.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/timestamp.h"

/* The labels of a term, those that are read as the same one together. */
#define READ_LABELS(column) \
	"SELECT v.label_id, v.min_confidence, v.names, " \
	"pg_catalog.dense_rank() OVER (ORDER BY v.effective_name) " \
	"FROM oss_labels.vocabulary v " \
	"WHERE v.shown AND v." column " OPERATOR(pg_catalog.=) $1"

#define READ_ALIASES(column) \
	"SELECT alias_name, label_name FROM oss_labels.label_alias " \
	"WHERE " column " OPERATOR(pg_catalog.=) ANY ($1)"

#define READ_ROWS \
	"FROM oss_labels.image_label WHERE label_id OPERATOR(pg_catalog.=) ANY ($1)"

#define AT_LEAST \
	" AND label_confidence OPERATOR(pg_catalog.>=) $2"

/* The best rows of one label, in the order of the index. */
#define READ_BEST \
	"SELECT image_id, label_confidence, label_id FROM oss_labels.image_label " \
	"WHERE label_id OPERATOR(pg_catalog.=) $1" AT_LEAST
#define BEST_FIRST \
	" ORDER BY label_confidence DESC, image_id LIMIT "

#define READ_CORRECTIONS \
	"SELECT image_id, label_id, label_confidence, added, corrected_at, name_id " \
	"FROM oss_labels.label_correction " \
	"WHERE name_id OPERATOR(pg_catalog.=) ANY ($1)"

/* Limit on the rows read for the best images. */
#define MOST_BEST	10000

/*
 * One of a term's labels, or one of the names by which corrections refer to
 * them.  Labels with the same effective name have the same number "name".
 */
typedef struct TermLabel
{
	int64		id;				/* label_id, or name_id */
	int			name;
	double		min;			/* by the term, its rule or the setting */
	bool		lenient;		/* rows without a confidence count, too */
} TermLabel;

/* Growing, then sorted by id. */
typedef struct TermLabels
{
	TermLabel  *labels;
	int			n;
	int			room;
} TermLabels;

/* A correction of a label of an image. */
typedef struct Correction
{
	int64		image_id;
	int64		label_id;
	TimestampTz at;
	double		confidence;
	int			name;
	bool		added;
	bool		wanted;
} Correction;

/* A term that is being read. */
typedef struct TermReading
{
	const LabelQueryNode *term;
	const char *scope;
	TermLabels	labels;
	TermLabels	names;
	Correction *corrections;	/* by image and name, only the newest */
	int64		ncorrections;
	int64		corrections_room;
	ImageSetBuilder found;
	int64		nrows;			/* rows of image_label read */
} TermReading;

static int
compare_labels(const void *a, const void *b)
{
	const TermLabel *left = a;
	const TermLabel *right = b;

	return left->id < right->id ? -1 : left->id > right->id;
}

/* Return the label with an id, or NULL. */
static const TermLabel *
find_label(const TermLabels *labels, int64 id)
{
	TermLabel	wanted = {.id = id};

	return bsearch(&wanted, labels->labels, labels->n, sizeof(TermLabel),
				   compare_labels);
}

/* Order corrections by image and name, newest first. */
static inline int
compare_corrections(const Correction *a, const Correction *b)
{
	if (a->image_id != b->image_id)
		return a->image_id < b->image_id ? -1 : 1;
	if (a->name != b->name)
		return a->name < b->name ? -1 : 1;
	if (a->at != b->at)
		return a->at > b->at ? -1 : 1;
	return a->label_id > b->label_id ? -1 : a->label_id < b->label_id;
}

#define ST_SORT sort_corrections
#define ST_ELEMENT_TYPE Correction
#define ST_COMPARE(a, b) compare_corrections(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

static void
add_label(TermLabels *labels, int64 id, int name, double min, bool lenient)
{
	if (labels->n == labels->room)
	{
		labels->room = Max(64, labels->room * 2);
		labels->labels = labels->labels == NULL ?
			palloc(sizeof(TermLabel) * labels->room) :
			repalloc_huge(labels->labels, sizeof(TermLabel) * labels->room);
	}
	labels->labels[labels->n++] = (TermLabel)
	{
		id, name, min, lenient
	};
}

/* Sort labels, and drop duplicates. */
static void
sort_labels(TermLabels *labels)
{
	int			n = 0;

	qsort(labels->labels, labels->n, sizeof(TermLabel), compare_labels);
	for (int i = 0; i < labels->n; i++)
	{
		if (n == 0 || labels->labels[n - 1].id != labels->labels[i].id)
			labels->labels[n++] = labels->labels[i];
	}
	labels->n = n;
}

/* Add the label of a row of the result, and its names. */
static void
add_term_label(TermReading *reading, uint64 row)
{
	int64		label_id = DatumGetInt64(oss_result_column(row, 1, NULL));
	bool		no_rule;
	Datum		rule = oss_result_column(row, 2, &no_rule);
	const LabelQueryNode *term = reading->term;
	double		min = no_rule ? 0 : DatumGetFloat8(rule);
	bool		lenient = no_rule && !term->has_min;
	Datum		names = oss_result_column(row, 3, NULL);
	int			name = (int) DatumGetInt64(oss_result_column(row, 4, NULL));
	Datum	   *ids;
	int			n;

	if (term->has_min)
		min = Max(min, term->min);
	else if (no_rule)
		min = oss_read_threshold;
	add_label(&reading->labels, label_id, name, min, lenient && min > 0);
	deconstruct_array(DatumGetArrayTypeP(names), INT8OID, sizeof(int64),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &ids, NULL, &n);
	for (int i = 0; i < n; i++)
		add_label(&reading->names, DatumGetInt64(ids[i]), name, 0, false);
}

/* Find a term's labels; returns false if it has none. */
static bool
read_term_labels(TermReading *reading, const LabelQueryNode *term, const char *scope)
{
	static OssPlan read_name = {
		READ_LABELS("effective_name"), 1, {TEXTOID}, OSS_PLAN_READ
	};
	static OssPlan read_parent = {
		READ_LABELS("effective_parent"), 1, {TEXTOID}, OSS_PLAN_READ
	};
	Datum		name = CStringGetTextDatum(term->name);
	uint64		rows;

	memset(reading, 0, sizeof(*reading));
	reading->term = term;
	reading->scope = scope;
	rows = oss_statement_execute(term->parent ? &read_parent : &read_name, &name,
								 NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < rows; i++)
		add_term_label(reading, i);
	SPI_freetuptable(SPI_tuptable);
	if (rows == 0)
		return false;
	sort_labels(&reading->labels);
	sort_labels(&reading->names);
	return true;
}

/* Take a correction. */
static void
take_term_correction(TupleTableSlot *slot, void *arg)
{
	TermReading *reading = arg;
	int64		label_id = DatumGetInt64(slot->tts_values[1]);
	const TermLabel *name = find_label(&reading->names,
									   DatumGetInt64(slot->tts_values[5]));

	if (name == NULL)
		return;
	if (reading->ncorrections == reading->corrections_room)
	{
		reading->corrections_room *= 2;
		reading->corrections = repalloc_huge(reading->corrections,
											 sizeof(Correction) * reading->corrections_room);
	}
	reading->corrections[reading->ncorrections++] = (Correction)
	{
		.image_id = DatumGetInt64(slot->tts_values[0]),
			.label_id = label_id,
			.confidence = DatumGetFloat8(slot->tts_values[2]),
			.added = DatumGetBool(slot->tts_values[3]),
			.at = DatumGetTimestampTz(slot->tts_values[4]),
			.name = name->name,
			.wanted = find_label(&reading->labels, label_id) != NULL
	};
}

/* Add an array of ids as a parameter; unless min is negative of labels with that minimum. */
static void
add_ids(OssArguments *arguments, const TermLabels *labels, double min)
{
	OssColumn	ids;

	oss_column_init(&ids, INT8OID, labels->n);
	for (int i = 0; i < labels->n; i++)
	{
		if (min < 0 || labels->labels[i].min == min)
			oss_column_add(&ids, Int64GetDatum(labels->labels[i].id), false);
	}
	oss_add_argument(arguments, INT8ARRAYOID, oss_column_array(&ids));
}

/* Write the query for the corrections of a term's labels. */
static const char *
make_corrections_query(const TermReading *reading)
{
	return psprintf(READ_CORRECTIONS "%s",
					oss_scope_condition(reading->scope, "label_correction", false));
}

/* Read the corrections of a term's labels. */
static void
read_corrections(TermReading *reading)
{
	OssArguments arguments = {0};
	int64		n = 0;

	reading->corrections_room = 64;
	reading->corrections = palloc(sizeof(Correction) * reading->corrections_room);
	add_ids(&arguments, &reading->names, -1);
	oss_read(make_corrections_query(reading), &arguments, take_term_correction, reading);
	sort_corrections(reading->corrections, reading->ncorrections);
	for (int64 i = 0; i < reading->ncorrections; i++)
	{
		const Correction *correction = &reading->corrections[i];

		if (n == 0 || reading->corrections[n - 1].image_id != correction->image_id ||
			reading->corrections[n - 1].name != correction->name)
			reading->corrections[n++] = *correction;
	}
	reading->ncorrections = n;
}

/* Was a label of an image corrected? */
static bool
is_corrected(const TermReading *reading, int64 image_id, int name)
{
	int64		low = 0;
	int64		high = reading->ncorrections;

	while (low < high)
	{
		int64		middle = (low + high) / 2;
		const Correction *correction = &reading->corrections[middle];

		if (correction->image_id == image_id && correction->name == name)
			return true;
		if (correction->image_id < image_id ||
			(correction->image_id == image_id && correction->name < name))
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Take a row of image_label, unless the label was corrected. */
static void
take_label_row(TupleTableSlot *slot, void *arg)
{
	TermReading *reading = arg;
	int64		image_id = DatumGetInt64(slot->tts_values[0]);

	reading->nrows++;
	if (reading->ncorrections > 0)
	{
		const TermLabel *label = find_label(&reading->labels,
											DatumGetInt64(slot->tts_values[2]));

		if (is_corrected(reading, image_id, label->name))
			return;
	}
	oss_image_set_add(&reading->found, image_id, slot->tts_isnull[1] ?
					  get_float8_nan() : DatumGetFloat8(slot->tts_values[1]));
}

/* Return the next higher least confidence among the labels, -1 if there is none. */
static double
next_min(const TermReading *reading, double last)
{
	double		next = -1;

	for (int i = 0; i < reading->labels.n; i++)
	{
		const TermLabel *label = &reading->labels.labels[i];

		if (label->min > last && (next < 0 || label->min < next))
			next = label->min;
	}
	return next;
}

/*
 * Write the query for the rows of image_label of labels with one least confidence.
 */
static const char *
make_rows_query(const TermReading *reading, const char *columns, double min,
				OssArguments *arguments)
{
	const LabelQueryNode *term = reading->term;
	const char *cut = oss_scope_condition(reading->scope, "image_label", false);

	add_ids(arguments, &reading->labels, min);
	if (min == 0 && !term->has_min)
		return psprintf("SELECT %s " READ_ROWS "%s", columns, cut);
	oss_add_argument(arguments, FLOAT8OID, Float8GetDatum(min));
	return psprintf("SELECT %s " READ_ROWS AT_LEAST "%s", columns, cut);
}

/*
 * Read the best rows of a term with a single label, enough to include the best
 * "most" images without corrections.  Returns false, having read nothing, if there
 * are fewer.
 */
static bool
read_best(TermReading *reading, int64 most)
{
	const TermLabel *only = reading->labels.labels;
	OssArguments arguments = {0};
	int64		limit = Min(most, MOST_BEST) + reading->ncorrections;

	if (reading->labels.n != 1 || most > MOST_BEST)
		return false;
	oss_add_argument(&arguments, INT8OID, Int64GetDatum(only->id));
	oss_add_argument(&arguments, FLOAT8OID, Float8GetDatum(only->min));
	oss_read(psprintf(READ_BEST "%s" BEST_FIRST INT64_FORMAT,
					  oss_scope_condition(reading->scope, "image_label", true), limit),
			 &arguments, take_label_row, reading);
	if (reading->nrows == limit)
		return true;
	reading->found.n = 0;
	return false;
}

/* Read the rows without a confidence of labels with a least one by the setting. */
static void
read_unrated(TermReading *reading)
{
	TermLabels	lenient = {0};
	OssArguments arguments = {0};

	for (int i = 0; i < reading->labels.n; i++)
	{
		const TermLabel *label = &reading->labels.labels[i];

		if (label->lenient)
			add_label(&lenient, label->id, label->name, 0, false);
	}
	if (lenient.n == 0)
		return;
	add_ids(&arguments, &lenient, -1);
	oss_read(psprintf("SELECT image_id, label_confidence, label_id " READ_ROWS
					  " AND label_confidence IS NULL%s",
					  oss_scope_condition(reading->scope, "image_label", false)),
			 &arguments, take_label_row, reading);
	pfree(lenient.labels);
}

/* Read all rows of a term's labels. */
static void
read_label_rows(TermReading *reading)
{
	read_unrated(reading);
	for (double min = next_min(reading, -1); min >= 0; min = next_min(reading, min))
	{
		OssArguments arguments = {0};
		const char *query = make_rows_query(reading, "image_id, label_confidence, label_id",
											min, &arguments);

		oss_read(query, &arguments, take_label_row, reading);
	}
}

ImageSet
oss_read_term(const LabelQueryNode *term, int64 most, const char *scope)
{
	TermReading reading;
	ImageSet	none = {0, NULL};
	ImageSet	set;

	if (!read_term_labels(&reading, term, scope))
		return none;
	read_corrections(&reading);
	oss_image_set_begin(&reading.found);
	if (most < 0 || !read_best(&reading, most))
		read_label_rows(&reading);
	for (int64 i = 0; i < reading.ncorrections; i++)
	{
		const Correction *correction = &reading.corrections[i];

		if (correction->added && correction->wanted &&
			(!term->has_min || correction->confidence >= term->min))
			oss_image_set_add(&reading.found, correction->image_id,
							  correction->confidence);
	}
	set = oss_image_set_finish(&reading.found);
	pfree(reading.labels.labels);
	pfree(reading.names.labels);
	pfree(reading.corrections);
	return set;
}

/* Count the rows of a query up to a limit. */
static int64
count_rows(const char *query, const OssArguments *arguments, int64 limit)
{
	int64		n;

	query = psprintf("SELECT pg_catalog.count(*) FROM (%s LIMIT " INT64_FORMAT ") l",
					 query, limit);
	oss_read(query, arguments, NULL, NULL);
	n = DatumGetInt64(oss_result_column(0, 1, NULL));
	SPI_freetuptable(SPI_tuptable);
	return n;
}

int64
oss_count_term(const LabelQueryNode *term, int64 limit, const char *scope)
{
	TermReading reading;
	OssArguments arguments = {0};
	int64		n;

	if (!read_term_labels(&reading, term, scope))
		return 0;
	add_ids(&arguments, &reading.names, -1);
	n = count_rows(make_corrections_query(&reading), &arguments, limit);
	for (double min = next_min(&reading, -1); min >= 0 && n < limit;
		 min = next_min(&reading, min))
	{
		OssArguments some = {0};
		const char *query = make_rows_query(&reading, "image_id", min, &some);

		n += count_rows(query, &some, limit - n);
	}
	return n;
}

/* Append the terms of a query. */
static List *
collect_terms(LabelQueryNode *query, List *terms)
{
	ListCell   *lc;

	check_stack_depth();
	if (query->kind == LABEL_QUERY_TERM)
		return lappend(terms, query);
	foreach(lc, query->args)
		terms = collect_terms(lfirst(lc), terms);
	return terms;
}

List *
oss_query_terms(LabelQueryNode *query)
{
	return collect_terms(query, NIL);
}

/* Replace aliases in terms by names, given as pairs sorted by alias. */
static void
replace_names(List *terms, char *(*pairs)[2], int npairs)
{
	ListCell   *lc;

	if (npairs == 0)
		return;
	qsort(pairs, npairs, sizeof(*pairs), pg_qsort_strcmp);
	foreach(lc, terms)
	{
		LabelQueryNode *term = lfirst(lc);
		char	   *(*pair)[2] = bsearch(&term->name, pairs, npairs, sizeof(*pairs),
										 pg_qsort_strcmp);

		if (pair != NULL)
			term->name = (*pair)[1];
	}
}

/* Replace aliases in terms by the names of their labels, read by a plan. */
static void
resolve_terms(List *terms, OssPlan *read, const OssColumn *names)
{
	Datum		value = oss_column_array(names);
	uint64		n = oss_statement_execute(read, &value, NULL, SPI_OK_SELECT);
	char	   *(*pairs)[2] = palloc(sizeof(*pairs) * Max(n, 1));

	for (uint64 i = 0; i < n; i++)
	{
		pairs[i][0] = oss_result_string(i, 1);
		pairs[i][1] = oss_result_string(i, 2);
	}
	replace_names(terms, pairs, (int) n);
}

void
oss_resolve_query(LabelQueryNode *query)
{
	static OssPlan read = {
		READ_ALIASES("alias_name"), 1, {TEXTARRAYOID}, OSS_PLAN_READ
	};
	List	   *terms = collect_terms(query, NIL);
	OssColumn	names;
	ListCell   *lc;

	oss_column_init(&names, TEXTOID, list_length(terms));
	foreach(lc, terms)
		oss_column_add_string(&names, ((LabelQueryNode *) lfirst(lc))->name);
	resolve_terms(terms, &read, &names);
}

void
oss_resolve_for_image(List *queries, const ReadImage *image)
{
	static OssPlan read = {
		READ_ALIASES("label_name"), 1, {TEXTARRAYOID}, OSS_PLAN_READ
	};
	List	   *terms = NIL;
	OssColumn	names;
	ListCell   *lc;

	foreach(lc, queries)
		terms = collect_terms(lfirst(lc), terms);
	oss_column_init(&names, TEXTOID, 2 * list_length(image->labels));
	foreach(lc, image->labels)
	{
		const ReadLabel *label = lfirst(lc);

		oss_column_add_string(&names, label->name);
		oss_column_add_string(&names, label->parent);
	}
	resolve_terms(terms, &read, &names);
}

/*
 * Both conditions select the images: the planner does not derive one from the
 * other, and without OFFSET would apply the selectivity twice.
 */
#define READ_IMAGES(condition) \
	"SELECT i.image_id, l.label_name, l.parent_label_name, " \
	"l.label_confidence, l.counts FROM oss_labels.image i " \
	"LEFT JOIN (SELECT * FROM oss_labels.readable_image_label e " \
	"WHERE e.image_id OPERATOR(pg_catalog.=) " condition " OFFSET 0) l " \
	"ON l.image_id OPERATOR(pg_catalog.=) i.image_id " \
	"WHERE i.image_id OPERATOR(pg_catalog.=) " condition " ORDER BY i.image_id"

static ReadLabel *
make_label(uint64 row)
{
	ReadLabel  *label = palloc0(sizeof(ReadLabel));
	bool		isnull;
	Datum		confidence = oss_result_column(row, 4, &isnull);

	label->name = oss_result_string(row, 2);
	label->parent = oss_result_string(row, 3);
	label->confidence = isnull ? get_float8_nan() : DatumGetFloat8(confidence);
	label->counts = DatumGetBool(oss_result_column(row, 5, &isnull));
	return label;
}

List *
oss_read_images(const int64 *image_ids, int n)
{
	static OssPlan read_one = {READ_IMAGES("$1"), 1, {INT8OID}, OSS_PLAN_READ};
	static OssPlan read_many = {
		READ_IMAGES("ANY ($1)"), 1, {INT8ARRAYOID}, OSS_PLAN_READ_MANY
	};
	OssColumn	ids;
	Datum		value;
	List	   *images = NIL;
	ReadImage  *image = NULL;
	uint64		rows;

	oss_column_init(&ids, INT8OID, n);
	for (int i = 0; i < n; i++)
		oss_column_add(&ids, Int64GetDatum(image_ids[i]), false);
	value = n == 1 ? Int64GetDatum(image_ids[0]) : oss_column_array(&ids);
	rows = oss_statement_execute(n == 1 ? &read_one : &read_many, &value, NULL,
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
