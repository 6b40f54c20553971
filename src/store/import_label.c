/*-------------------------------------------------------------------------
 * import_label.c
 *	  A label that was paid for elsewhere: what it may be, and how it is
 *	  written as image/labels does.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "parser/scansup.h"
#include "store/import_label.h"

/* Limits: far beyond what services send, well within what indexes take. */
#define MOST_CHARACTERS	255
#define MOST_LABELS		10000
#define MOST_BYTES		(16 * 1024 * 1024)

static const char *const our_names[LABEL_FIELDS] = {"LabelName", "ParentLabelName",
"LabelLevel", "LabelConfidence", "CentricScore", "Language"};

static void
append_place(StringInfo out, const OssPlace *place)
{
	if (place->above != NULL)
		append_place(out, place->above);
	if (place->field == NULL)
		appendStringInfo(out, "[%d]", place->index);
	else
		appendStringInfo(out, "%s%s", out->len > 0 ? "." : "", place->field);
}

/* Name a place as in "Labels[0].Name". */
const char *
oss_place_name(const OssPlace *place)
{
	StringInfoData name;

	initStringInfo(&name);
	append_place(&name, place);
	return name.data;
}

/* Check the name of a label or parent. */
void
oss_check_label_name(const OssPlace *place, const char *name, int length)
{
	int			characters = pg_mbstrlen_with_len(name, length);
	int			blanks = 0;

	while (blanks < length && scanner_isspace(name[blanks]))
		blanks++;
	if (blanks == length)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a label has an empty name"),
				 errdetail("It is %s.", oss_place_name(place)),
				 errhint("Leave out labels without a name.")));
	if (characters > MOST_CHARACTERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a label is too long"),
				 errdetail("%s has %d characters; a name has %d at most.",
						   oss_place_name(place), characters, MOST_CHARACTERS),
				 errhint("Leave out such a label, or shorten its name.")));
}

/* Check that a number is from 0 to the most; NaN is not. */
void
oss_check_confidence(const OssPlace *place, double number, double most)
{
	if (!(number >= 0 && number <= most))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a confidence is %g", number),
				 errdetail("%s must be a number from 0 to %g.", oss_place_name(place), most),
				 errhint("Bring all confidences to that range, as by dividing them by 100.")));
}

void
oss_check_label_count(int n)
{
	if (n > MOST_LABELS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("an image has too many labels"),
				 errdetail("It has %d; at most %d are stored.", n, MOST_LABELS),
				 errhint("Leave out the labels with the least confidence.")));
}

static void
push_key(OssJsonbState *out, const char *name)
{
	JsonbValue	key = {.type = jbvString};

	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	oss_push_jsonb(out, WJB_KEY, &key);
}

static bool
is_known_field(const JsonbValue *key, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (names[i] != NULL && strlen(names[i]) == key->val.string.len &&
			memcmp(names[i], key->val.string.val, key->val.string.len) == 0)
			return true;
	}
	return false;
}

/* Write the fields of an object but those that are named. */
void
oss_push_others(OssJsonbState *out, JsonbContainer *object, const char *const *names, int n)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		wanted = false;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			wanted = !is_known_field(&value, names, n);
		if (wanted && (token == WJB_KEY || token == WJB_VALUE))
			oss_push_jsonb(out, token, &value);
	}
}

/* Write a label, with the fields of the object that it was read from, or NULL. */
void
oss_label_push(OssJsonbState *out, JsonbContainer *object, OssLabelFields *fields)
{
	oss_push_jsonb(out, WJB_BEGIN_OBJECT, NULL);
	if (object != NULL)
		oss_push_others(out, object, our_names, LABEL_FIELDS);
	for (int i = 0; i < LABEL_FIELDS; i++)
	{
		if (fields->values[i].type == jbvNull)
			continue;
		push_key(out, our_names[i]);
		oss_push_jsonb(out, WJB_VALUE, &fields->values[i]);
	}
	oss_push_jsonb(out, WJB_END_OBJECT, NULL);
}

void
oss_labels_begin(OssJsonbState *out)
{
	push_key(out, OSS_LABELS_ARRAY);
	oss_push_jsonb(out, WJB_BEGIN_ARRAY, NULL);
}

/* Return the document that was written. */
Jsonb *
oss_labels_end(OssJsonbState *out)
{
	Jsonb	   *document;

	oss_push_jsonb(out, WJB_END_ARRAY, NULL);
	oss_push_jsonb(out, WJB_END_OBJECT, NULL);
	document = JsonbValueToJsonb(out->result);
	if (VARSIZE(document) > MOST_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("document is too large"),
				 errdetail("It has %zu bytes; at most %d are stored of an image.",
						   (Size) VARSIZE(document), MOST_BYTES),
				 errhint("Leave out fields that are not about labels.")));
	return document;
}
