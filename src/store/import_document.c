/*-------------------------------------------------------------------------
 * import_document.c
 *	  Labels that were paid for elsewhere: documents of several services,
 *	  made into answers as image/labels gives them.
 *
 * A document is read by the format that the caller names, and what is not of this
 * format is refused: labels that are read wrong would be found years later.  All
 * fields of a service's label stay in the label, beside those that we read.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "store/import_document.h"
#include "store/import_label.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* Bytes of a service's text that a message repeats. */
#define MOST_WORDS 400

/* How documents of a format name an array of labels and the labels' fields. */
typedef struct Form
{
	const char *format;
	const char *labels;
	const char *names[LABEL_FIELDS];
	double		most_confident; /* the scale of confidences */
	bool		needs_confidence;
	bool		lists_parents;	/* Parents and the like are arrays */
} Form;

static const Form oss_labels = {
	"oss", "Labels", {"LabelName", "ParentLabelName", "LabelLevel", "LabelConfidence",
	"CentricScore", "Language"}, 1, false, false
};
static const Form oss_tags = {
	"oss", "Tags", {"TagName", "ParentTagName", "TagLevel", "TagConfidence"}, 1, false, false
};
static const Form rekognition = {
	"rekognition", "Labels", {"Name", NULL, NULL, "Confidence"}, 100, true, true
};
static const Form google_vision = {
	"google_vision", "labelAnnotations", {"description", NULL, NULL, "score",
	"topicality", "locale"}, 1, true, false
};

/* Arrays of {Name} in a label of Rekognition's; the first are the parents. */
static const char *const name_lists[] = {"Parents", "Aliases", "Categories"};

static const char *
json_kind(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "a string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		default:
			return JsonContainerIsArray(value->val.binary.data) ? "an array" : "an object";
	}
}

/* Refuse a document for what is wrong at a place: a clause such as "is missing". */
static void
refuse_place(const Form *form, const OssPlace *place, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("document is not of format \"%s\"", form->format),
			 errdetail("%s %s.", oss_place_name(place), problem),
			 errhint("Name the service whose answer it is: format 'oss', 'rekognition' or 'google_vision'.")));
}

/* Refuse a document that has a value of another kind than is expected. */
static void
refuse_kind(const Form *form, const OssPlace *place, const JsonbValue *value,
			const char *expected)
{
	refuse_place(form, place, psprintf("is %s where %s is expected", json_kind(value), expected));
}

/* Find a field that is not null; else *value is null. */
static bool
find_field(JsonbContainer *object, const char *name, JsonbValue *value)
{
	if (name == NULL ||
		getKeyJsonValueFromContainer(object, name, strlen(name), value) == NULL)
		value->type = jbvNull;
	return value->type != jbvNull;
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static double
number_of(const JsonbValue *value)
{
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(value->val.numeric)));
}

/* Check the value of a field that is there. */
static void
check_field(const Form *form, const OssPlace *place, int field, const JsonbValue *value)
{
	bool		numeric = field == LABEL_CONFIDENCE || field == LABEL_CENTRIC || field == LABEL_LEVEL;

	if (value->type != (numeric ? jbvNumeric : jbvString))
		refuse_kind(form, place, value, numeric ? "a number" : "a string");
	if (field == LABEL_CONFIDENCE)
		oss_check_confidence(place, number_of(value), form->most_confident);
	else if (field == LABEL_CENTRIC)
		oss_check_confidence(place, number_of(value), 1);
	else if (field == LABEL_LEVEL)
	{
		double		level = number_of(value);

		if (level != floor(level) || level < 0 || level > PG_INT32_MAX)
			refuse_place(form, place, "is no level of labels");
	}
	else
		oss_check_label_name(place, value->val.string.val, value->val.string.len);
}

/* Read the fields of a label. */
static void
read_fields(const Form *form, const OssPlace *label, JsonbContainer *object, OssLabelFields *fields)
{
	for (int i = 0; i < LABEL_FIELDS; i++)
	{
		JsonbValue *value = &fields->values[i];
		const OssPlace place = {label, form->names[i]};

		/* an empty text means no parent or no language */
		if (find_field(object, form->names[i], value) && (i == LABEL_PARENT || i == LABEL_LANGUAGE) &&
			value->type == jbvString && value->val.string.len == 0)
			value->type = jbvNull;
		if (value->type != jbvNull)
			check_field(form, &place, i, value);
		else if (i == LABEL_NAME || (i == LABEL_CONFIDENCE && form->needs_confidence))
			refuse_place(form, &place, "is missing");
	}
	if (form->most_confident != 1 && fields->values[LABEL_CONFIDENCE].type == jbvNumeric)
	{
		JsonbValue *value = &fields->values[LABEL_CONFIDENCE];
		double		share = number_of(value) / form->most_confident;

		value->val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric,
																 Float8GetDatum(share)));
	}
}

/*
 * Find an array in an object, NULL if it is not there.  Returns its number of
 * elements in *n.
 */
static JsonbContainer *
find_array(const Form *form, const OssPlace *place, JsonbContainer *object, int *n)
{
	JsonbValue	value;

	*n = 0;
	if (!find_field(object, place->field, &value))
		return NULL;
	if (!is_array(&value))
		refuse_kind(form, place, &value, "an array");
	*n = JsonContainerSize(value.val.binary.data);
	return value.val.binary.data;
}

/* Return an element of an array, which must be an object. */
static JsonbContainer *
object_element(const Form *form, const OssPlace *place, JsonbContainer *array)
{
	JsonbValue *element = getIthJsonbValueFromContainer(array, place->index);

	if (!is_object(element))
		refuse_kind(form, place, element, "an object");
	return element->val.binary.data;
}

/* Read an array of objects with a Name each.  Returns the names, and their number. */
static JsonbValue *
read_names(const Form *form, const OssPlace *list, JsonbContainer *label, int *n)
{
	JsonbContainer *array = find_array(form, list, label, n);
	JsonbValue *names;

	oss_check_label_count(*n);
	names = palloc(sizeof(JsonbValue) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		const OssPlace element = {list, NULL, i};
		const OssPlace place = {&element, "Name"};

		if (!find_field(object_element(form, &element, array), "Name", &names[i]))
			refuse_place(form, &place, "is missing");
		check_field(form, &place, LABEL_NAME, &names[i]);
	}
	return names;
}

/* Check the positions that Rekognition gives for a label. */
static void
check_instances(const Form *form, const OssPlace *label, JsonbContainer *object)
{
	const OssPlace list = {label, "Instances"};
	int			n;
	JsonbContainer *array = find_array(form, &list, object, &n);

	for (int i = 0; i < n; i++)
	{
		const OssPlace element = {&list, NULL, i};
		const OssPlace place = {&element, "Confidence"};
		JsonbValue	value;

		if (find_field(object_element(form, &element, array), "Confidence", &value))
			check_field(form, &place, LABEL_CONFIDENCE, &value);
	}
}

/*
 * Read and write a label: once for each of its parents.  Returns how many were
 * written.
 */
static int
convert_label(OssJsonbState *out, const Form *form, const OssPlace *place,
			  JsonbContainer *object)
{
	OssLabelFields fields;
	JsonbValue *parents = NULL;
	int			nparents = 0;

	read_fields(form, place, object, &fields);
	for (int i = 0; form->lists_parents && i < lengthof(name_lists); i++)
	{
		const OssPlace list = {place, name_lists[i]};
		int			n;
		JsonbValue *names = read_names(form, &list, object, &n);

		if (i == 0)
		{
			parents = names;
			nparents = n;
		}
	}
	if (form->lists_parents)
		check_instances(form, place, object);
	if (nparents > 0)
		fields.values[LABEL_PARENT] = parents[0];
	oss_label_push(out, object, &fields);
	for (int i = 1; i < nparents; i++)
	{
		fields.values[LABEL_PARENT] = parents[i];
		oss_label_push(out, NULL, &fields);
	}
	return Max(nparents, 1);
}

/*
 * Convert the labels of an image, which an object holds below a place, or
 * NULL.  Returns NULL if there is no array of labels.
 */
static Jsonb *
convert_image(const Form *form, const OssPlace *above, JsonbContainer *object)
{
	const OssPlace list = {above, form->labels};
	const char *const dropped[] = {form->labels, OSS_LABELS_ARRAY};
	OssJsonbState out = {0};
	int			n;
	int			written = 0;
	JsonbContainer *array = find_array(form, &list, object, &n);

	if (array == NULL)
		return NULL;
	oss_check_label_count(n);
	oss_push_jsonb(&out, WJB_BEGIN_OBJECT, NULL);
	oss_push_others(&out, object, dropped, lengthof(dropped));
	oss_labels_begin(&out);
	for (int i = 0; i < n; i++)
	{
		const OssPlace element = {&list, NULL, i};

		written += convert_label(&out, form, &element, object_element(form, &element, array));
		oss_check_label_count(written);
	}
	return oss_labels_end(&out);
}

/*
 * Split the rest of a URI with this scheme into bucket and key.  Returns false
 * if a text is no such URI.
 */
static bool
split_uri(const JsonbValue *value, const char *scheme, char **bucket, char **key)
{
	char	   *uri;
	char	   *slash;

	if (value->type != jbvString)
		return false;
	uri = pnstrdup(value->val.string.val, value->val.string.len);
	if (strncmp(uri, scheme, strlen(scheme)) != 0)
		return false;
	uri += strlen(scheme);
	slash = strchr(uri, '/');
	if (slash == NULL || slash == uri || slash[1] == '\0')
		return false;
	*bucket = pnstrdup(uri, slash - uri);
	*key = slash + 1;
	return true;
}

/* Read a document of image/labels, of DetectImageLabels or of imm/tagimage. */
static int
read_oss(const OssPlace *above, JsonbContainer *object, OssImported *image)
{
	JsonbValue	value;

	/* as the SDKs save it */
	if (!(find_field(object, "Labels", &value) && is_array(&value)) &&
		find_field(object, "body", &value) && is_object(&value))
		object = value.val.binary.data;
	image->response = convert_image(&oss_labels, above, object);
	if (image->response == NULL)
		image->response = convert_image(&oss_tags, above, object);
	if (image->response == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("document holds neither Labels nor Tags"),
				 errhint("Give the answer of image/labels, of DetectImageLabels or of imm/tagimage.")));
	if (find_field(object, "ImageUri", &value))
		(void) split_uri(&value, "oss://", &image->bucket, &image->key);
	return 1;
}

/* Read a document of Rekognition's DetectLabels. */
static int
read_rekognition(const OssPlace *above, JsonbContainer *object, OssImported *image)
{
	const OssPlace list = {above, rekognition.labels};

	image->response = convert_image(&rekognition, above, object);
	if (image->response == NULL)
		refuse_place(&rekognition, &list, "is missing");
	return 1;
}

/* Return the text of an error that stands in place of an answer. */
static char *
error_words(const OssPlace *place, const JsonbValue *error)
{
	JsonbValue	value;

	if (!is_object(error))
		refuse_kind(&google_vision, place, error, "an object");
	if (!find_field(error->val.binary.data, "message", &value) || value.type != jbvString)
		return "an error without message";
	return pnstrdup(value.val.string.val,
					pg_mbcliplen(value.val.string.val, value.val.string.len, MOST_WORDS));
}

/*
 * Read Vision's answer for an image.  An answer without labels has no
 * labelAnnotations: in a batch, where its place tells the image, an otherwise empty
 * one means that nothing was found.
 */
static void
read_vision_image(const OssPlace *above, JsonbContainer *object, bool in_batch,
				  OssImported *image)
{
	static const char *const about[] = {"context"};
	const OssPlace list = {above, google_vision.labels};
	const OssPlace error = {above, "error"};
	JsonbValue	value;
	char	   *bucket;

	if (find_field(object, "context", &value) && is_object(&value) &&
		find_field(value.val.binary.data, "uri", &value))
		(void) split_uri(&value, "gs://", &bucket, &image->key);
	image->response = convert_image(&google_vision, above, object);
	if (image->response != NULL)
		return;
	if (find_field(object, error.field, &value))
		image->failure = error_words(&error, &value);
	else if (in_batch && JsonContainerSize(object) == (find_field(object, about[0], &value) ? 1 : 0))
	{
		OssJsonbState out = {0};

		oss_push_jsonb(&out, WJB_BEGIN_OBJECT, NULL);
		oss_push_others(&out, object, NULL, 0);
		oss_labels_begin(&out);
		image->response = oss_labels_end(&out);
	}
	else
		refuse_place(&google_vision, &list, "is missing");
}

/* Read Vision's answer for an image, or for a batch of them. */
static int
read_vision(const OssPlace *above, JsonbContainer *object, OssImported **images)
{
	const OssPlace list = {above, "responses"};
	int			n;
	JsonbContainer *array = find_array(&google_vision, &list, object, &n);

	if (array == NULL)
	{
		read_vision_image(above, object, false, *images);
		return 1;
	}
	if (n == 0)
		refuse_place(&google_vision, &list, "is empty");
	*images = palloc0(sizeof(OssImported) * n);
	for (int i = 0; i < n; i++)
	{
		const OssPlace element = {&list, NULL, i};

		read_vision_image(&element, object_element(&google_vision, &element, array),
						  true, *images + i);
	}
	return n;
}

/*
 * Read a document of a format.  Sets *images to what it says of each image, in
 * CurrentMemoryContext, and returns their number.  Errors: 22023 for a format
 * that is not known, a document that is not of it, and values that are no
 * labels; 54000 for too many labels or a document too large; 54001 for one
 * nested too deeply.
 */
int
oss_import_read(const char *format, Jsonb *document, OssImported **images)
{
	JsonbContainer *object = &document->root;

	*images = palloc0(sizeof(OssImported));
	if (strcmp(format, oss_labels.format) != 0 &&
		strcmp(format, rekognition.format) != 0 &&
		strcmp(format, google_vision.format) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("format \"%s\" is not known", format),
				 errhint("The formats are oss, rekognition and google_vision; import_label_rows() takes labels of any origin.")));
	if (!JB_ROOT_IS_OBJECT(document))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("document is not an object"),
				 errhint("Give the whole answer of the service, not only its array of labels.")));
	if (strcmp(format, rekognition.format) == 0)
		return read_rekognition(NULL, object, *images);
	if (strcmp(format, google_vision.format) == 0)
		return read_vision(NULL, object, images);
	return read_oss(NULL, object, *images);
}
