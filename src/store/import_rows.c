/*-------------------------------------------------------------------------
 * import_rows.c
 *	  Labels that were paid for elsewhere, in arrays.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/import_document.h"
#include "store/import_label.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

/* Return the elements of an array, and their number. */
static Datum *
label_elements(ArrayType *array, const char *name, bool **nulls, int *n)
{
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *values;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array %s has %d dimensions", name, ARR_NDIM(array)),
				 errdetail("An image has one row of labels."),
				 errhint("Give an array of one dimension for each image, as array_agg() makes it.")));
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, align,
					  &values, nulls, n);
	return values;
}

/* The same of an array beside another, or NULL for none. */
static Datum *
beside_elements(ArrayType *array, const char *name, int nnames, bool **nulls)
{
	Datum	   *values;
	int			n;

	if (array == NULL)
		return NULL;
	values = label_elements(array, name, nulls, &n);
	if (n != nnames)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arrays of labels differ in length"),
				 errdetail("names has %d elements, and %s has %d.", nnames, name, n),
				 errhint("Make all of them by array_agg() over the same rows in the same order.")));
	return values;
}

static void
refuse_null(const OssPlace *place)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("an element of the arrays of labels is null"),
			 errdetail("It is %s.", oss_place_name(place)),
			 errhint("Leave out such labels, as by array_agg() FILTER (WHERE name IS NOT NULL).")));
}

/* Return a confidence as JSON: that of a real, such as 0.9, as it was written. */
static JsonbValue
confidence_value(double confidence)
{
	float4		single = (float4) confidence;
	JsonbValue	value = {.type = jbvNumeric};

	value.val.numeric = DatumGetNumeric((double) single == confidence ?
										DirectFunctionCall1(float4_numeric, Float4GetDatum(single)) :
										DirectFunctionCall1(float8_numeric, Float8GetDatum(confidence)));
	return value;
}

static void
set_label_string(JsonbValue *value, Datum string, const OssPlace *place)
{
	text	   *bytes = DatumGetTextPP(string);

	value->type = jbvString;
	value->val.string.val = VARDATA_ANY(bytes);
	value->val.string.len = VARSIZE_ANY_EXHDR(bytes);
	oss_check_label_name(place, value->val.string.val, value->val.string.len);
}

/* A label of arrays, with its place there from 1. */
typedef struct Row
{
	OssLabelFields fields;
	int			place;
} Row;

static int
compare_label_strings(const JsonbValue *a, const JsonbValue *b)
{
	int			less;

	if (a->type == jbvNull || b->type == jbvNull)
		return (a->type != jbvNull) - (b->type != jbvNull);
	less = memcmp(a->val.string.val, b->val.string.val,
				  Min(a->val.string.len, b->val.string.len));
	return less != 0 ? less : a->val.string.len - b->val.string.len;
}

/* Order labels by name and parent. */
static int
compare_rows(const void *a, const void *b)
{
	const Row  *left = *(const Row *const *) a;
	const Row  *right = *(const Row *const *) b;
	int			less = compare_label_strings(&left->fields.values[LABEL_NAME], &right->fields.values[LABEL_NAME]);

	return less != 0 ? less :
		compare_label_strings(&left->fields.values[LABEL_PARENT], &right->fields.values[LABEL_PARENT]);
}

/* Refuse a duplicate label: the rows were grouped wrongly. */
static void
check_distinct(const Row *rows, int n)
{
	const Row **sorted = palloc(sizeof(Row *) * Max(n, 1));

	for (int i = 0; i < n; i++)
		sorted[i] = &rows[i];
	qsort(sorted, n, sizeof(Row *), compare_rows);
	for (int i = 1; i < n; i++)
	{
		const JsonbValue *name = &sorted[i]->fields.values[LABEL_NAME];

		if (compare_rows(&sorted[i - 1], &sorted[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("duplicate label \"%.*s\"", name->val.string.len,
							name->val.string.val),
					 errdetail("It is names[%d] and names[%d], with the same parent.",
							   Min(sorted[i - 1]->place, sorted[i]->place),
							   Max(sorted[i - 1]->place, sorted[i]->place)),
					 errhint("Group the labels of an image by name and parent.")));
	}
	pfree(sorted);
}

/*
 * Return an answer with the labels of arrays, in CurrentMemoryContext.  The
 * names are texts; beside them are confidences from 0 to 1, and parents, in
 * which null is none; both may be NULL.  Errors: 22023, 54000.
 */
Jsonb *
oss_import_rows(ArrayType *names, ArrayType *confidences, ArrayType *parents)
{
	const OssPlace names_place = {NULL, "names"};
	const OssPlace confidences_place = {NULL, "confidences"};
	const OssPlace parents_place = {NULL, "parents"};
	bool	   *nulls;
	bool	   *no_confidence;
	bool	   *no_parent;
	int			n;
	Datum	   *name = label_elements(names, "names", &nulls, &n);
	Datum	   *confidence = beside_elements(confidences, "confidences", n, &no_confidence);
	Datum	   *parent = beside_elements(parents, "parents", n, &no_parent);
	Row		   *rows;
	OssJsonbState out = {0};

	oss_check_label_count(n);
	rows = palloc0(sizeof(Row) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		JsonbValue *values = rows[i].fields.values;
		const OssPlace at_name = {&names_place, NULL, i + 1};
		const OssPlace at_confidence = {&confidences_place, NULL, i + 1};
		const OssPlace at_parent = {&parents_place, NULL, i + 1};

		rows[i].place = i + 1;
		if (nulls[i])
			refuse_null(&at_name);
		set_label_string(&values[LABEL_NAME], name[i], &at_name);
		if (confidence != NULL)
		{
			if (no_confidence[i])
				refuse_null(&at_confidence);
			oss_check_confidence(&at_confidence, DatumGetFloat8(confidence[i]), 1);
			values[LABEL_CONFIDENCE] = confidence_value(DatumGetFloat8(confidence[i]));
		}
		if (parent != NULL && !no_parent[i])
			set_label_string(&values[LABEL_PARENT], parent[i], &at_parent);
	}
	check_distinct(rows, n);
	oss_push_jsonb(&out, WJB_BEGIN_OBJECT, NULL);
	oss_labels_begin(&out);
	for (int i = 0; i < n; i++)
		oss_label_push(&out, NULL, &rows[i].fields);
	return oss_labels_end(&out);
}
