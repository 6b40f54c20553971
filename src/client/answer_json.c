/*-------------------------------------------------------------------------
 * answer_json.c
 *	  Reading an answer in one pass, into jsonb and labels.
 *
 * jsonb_in() and looking for the labels in its result took a fifth of the worker's
 * time.  Here are only the cases that answers consist of: everything else is left
 * to jsonb_in(), errors included, so that the result is always the same.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "client/answer_json.h"
#include "client/utf8.h"
#include "compat.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* Limits of what is read here. */
#define MOST_DEPTH	16
#define MOST_PAIRS	64
#define MOST_LENGTH 64			/* of a number */
#define MOST_TENTH	INT64CONST(100000000000000000)	/* of a number as int64 */
#define MOST_SCALE	22			/* 10 to the power of that is exact as double */
#define EXACT_INTEGER (INT64CONST(1) << 53)

/* Room of an array at first, a power of 2. */
#define FIRST_ROOM	8

/* A JSON text that is being read; it ends with NUL. */
typedef struct Reader
{
	const char *at;
	int			depth;
	bool		has_number;		/* the last number as double, if that is exact */
	double		number;
	OssLabels  *labels;
} Reader;

static bool read_answer_value(Reader *reader, JsonbValue *out, bool is_labels);

static void
skip_answer_space(Reader *reader)
{
	while (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' ||
		   *reader->at == '\t')
		reader->at++;
}

/* Skip a character, and space around it.  Returns false if another one is next. */
static bool
skip_char(Reader *reader, char wanted)
{
	skip_answer_space(reader);
	if (*reader->at != wanted)
		return false;
	reader->at++;
	skip_answer_space(reader);
	return true;
}

/* Read a string without escapes. */
static bool
read_answer_string(Reader *reader, JsonbValue *out)
{
	const char *start = reader->at + 1;
	const char *p = start;

	if (*reader->at != '"')
		return false;
	while (*p != '"' && *p != '\\' && (unsigned char) *p >= ' ')
		p++;
	if (*p != '"')
		return false;
	out->type = jbvString;
	out->val.string.val = unconstify(char *, start);
	out->val.string.len = (int) (p - start);
	reader->at = p + 1;
	return true;
}

/* Skip digits, appended to a number, which becomes -1 if it is too long. */
static const char *
skip_digits(const char *p, int64 *number)
{
	for (; *p >= '0' && *p <= '9'; p++)
		*number = *number < 0 || *number >= MOST_TENTH ? -1 : *number * 10 + (*p - '0');
	return p;
}

/* Set a number from its digits and how many of them follow the point. */
static void
set_easy_number(Reader *reader, JsonbValue *out, int64 digits, int scale)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

	StaticAssertStmt(lengthof(powers) == MOST_SCALE + 1, "a power for each scale");
	out->val.numeric = scale == 0 ? int64_to_numeric(digits) :
		int64_div_fast_to_numeric(digits, scale);

	/* a quotient of two exact numbers is rounded once, as the text's value is */
	reader->has_number = digits <= EXACT_INTEGER && digits >= -EXACT_INTEGER;
	if (reader->has_number)
		reader->number = digits / powers[scale];
}

/* Set a number from its text. */
static void
set_number(Reader *reader, JsonbValue *out, const char *text, int length)
{
	char		buffer[MOST_LENGTH + 1];

	memcpy(buffer, text, length);
	buffer[length] = '\0';
	out->val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in,
														   CStringGetDatum(buffer),
														   ObjectIdGetDatum(InvalidOid),
														   Int32GetDatum(-1)));
	reader->has_number = false;
}

static bool
read_number(Reader *reader, JsonbValue *out)
{
	const char *start = reader->at;
	const char *first = start + (*start == '-');
	int64		digits = 0;
	int64		exponent = 0;
	int			scale = 0;
	const char *p = skip_digits(first, &digits);

	if (p == first || (*first == '0' && p - first > 1))
		return false;
	if (*p == '.')
	{
		const char *point = p;

		p = skip_digits(point + 1, &digits);
		scale = (int) (p - point) - 1;
		if (scale == 0)
			return false;
	}
	if (*p == 'e' || *p == 'E')
	{
		const char *power = p + (p[1] == '-' || p[1] == '+' ? 2 : 1);

		p = skip_digits(power, &exponent);
		if (p == power)
			return false;
		digits = -1;
	}
	if (p - start > MOST_LENGTH)
		return false;
	out->type = jbvNumeric;
	reader->at = p;
	if (digits >= 0 && scale <= MOST_SCALE)
		set_easy_number(reader, out, *start == '-' ? -digits : digits, scale);
	else
		set_number(reader, out, start, (int) (p - start));
	return true;
}

/* Read a word: true, false or null. */
static bool
read_word(Reader *reader, JsonbValue *out, const char *word)
{
	size_t		length = strlen(word);

	if (strncmp(reader->at, word, length) != 0)
		return false;
	reader->at += length;
	out->type = *word == 'n' ? jbvNull : jbvBool;
	out->val.boolean = *word == 't';
	return true;
}

/* Compare names in jsonb's order: shorter ones first. */
static int
compare_members(const JsonbValue *a, const JsonbValue *b)
{
	if (a->val.string.len != b->val.string.len)
		return a->val.string.len < b->val.string.len ? -1 : 1;
	return memcmp(a->val.string.val, b->val.string.val, a->val.string.len);
}

/* Insert the last of n pairs in order.  Returns false for a duplicate name. */
static bool
place_pair(JsonbPair *pairs, int n)
{
	JsonbPair	last = pairs[n - 1];
	int			i = n - 1;
	int			order = 1;

	while (i > 0 && (order = compare_members(&pairs[i - 1].key, &last.key)) > 0)
	{
		pairs[i] = pairs[i - 1];
		i--;
	}
	pairs[i] = last;
	return order != 0;
}

/* Make room for one more element of an array that is full whenever n is a power of 2. */
static void *
grow_array(void *array, int n, size_t size)
{
	if (array == NULL)
		return palloc(size * FIRST_ROOM);
	if (n >= FIRST_ROOM && (n & (n - 1)) == 0)
		return repalloc(array, size * n * 2);
	return array;
}

/* Return a label's name, parent or language, NULL if it is not a string. */
static text *
label_text(const JsonbValue *value)
{
	return value->type == jbvString ?
		cstring_to_text_with_len(value->val.string.val, value->val.string.len) : NULL;
}

/* Set a number.  Returns false if the value is not a finite one. */
static bool
finite_number(const JsonbValue *value, const double *known, double *out)
{
	if (value->type != jbvNumeric)
		return false;

	/* float8in() would raise an error for a number out of range */
	*out = known ? *known :
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(value->val.numeric)));
	return !isinf(*out) && !isnan(*out);
}

static bool
is_member_name(const JsonbValue *name, const char *wanted)
{
	return name->val.string.len == strlen(wanted) &&
		memcmp(name->val.string.val, wanted, name->val.string.len) == 0;
}

/* Take a field of a label's object; "known" is the value as double, or NULL. */
static void
take_field(OssLabel *label, const JsonbValue *name, const JsonbValue *value,
		   const double *known)
{
	double		level;

	if (is_member_name(name, "LabelName"))
		label->name = oss_nfc(label_text(value));
	else if (is_member_name(name, "ParentLabelName"))
		label->parent = oss_nfc(label_text(value));
	else if (is_member_name(name, "Language"))
		label->language = label_text(value);
	else if (is_member_name(name, "LabelConfidence"))
		label->has_confidence = finite_number(value, known, &label->confidence);
	else if (is_member_name(name, "CentricScore"))
		label->has_centric = finite_number(value, known, &label->centric);
	else if (is_member_name(name, "LabelLevel"))
	{
		label->has_level = finite_number(value, known, &level) && level == floor(level) &&
			level >= PG_INT32_MIN && level <= PG_INT32_MAX;
		if (label->has_level)
			label->level = (int32) level;
	}
}

void
oss_label_take(OssLabel *label, const JsonbValue *name, const JsonbValue *value)
{
	take_field(label, name, value, NULL);
}

/* Read an object, the fields of a label, if it is one. */
static bool
read_object(Reader *reader, JsonbValue *out, OssLabel *label)
{
	JsonbPair  *pairs = NULL;
	int			n = 0;

	if (!skip_char(reader, '{'))
		return false;
	while (*reader->at != '}')
	{
		JsonbPair  *pair;
		bool		is_labels;

		if (n == MOST_PAIRS || (n > 0 && !skip_char(reader, ',')))
			return false;
		pairs = grow_array(pairs, n, sizeof(JsonbPair));
		pair = &pairs[n++];
		if (!read_answer_string(reader, &pair->key) || !skip_char(reader, ':'))
			return false;
		is_labels = reader->depth == 1 && is_member_name(&pair->key, "Labels");
		if (!read_answer_value(reader, &pair->value, is_labels))
			return false;
		if (label != NULL)
			take_field(label, &pair->key, &pair->value,
					   reader->has_number ? &reader->number : NULL);
		skip_answer_space(reader);
		if (!place_pair(pairs, n))
			return false;
	}
	reader->at++;
	out->type = jbvObject;
	out->val.object.nPairs = n;
	out->val.object.pairs = pairs;
	return true;
}

/* Read an array, of labels or of something else. */
static bool
read_answer_array(Reader *reader, JsonbValue *out, bool of_labels)
{
	OssLabels  *labels = reader->labels;
	JsonbValue *elements = NULL;
	int			n = 0;

	if (!skip_char(reader, '['))
		return false;
	while (*reader->at != ']')
	{
		if (n > 0 && !skip_char(reader, ','))
			return false;
		elements = grow_array(elements, n, sizeof(JsonbValue));
		if (of_labels && *reader->at == '{')
		{
			OssLabel   *label;

			/* only objects are labels */
			labels->labels = grow_array(labels->labels, labels->n, sizeof(OssLabel));
			label = &labels->labels[labels->n++];
			memset(label, 0, sizeof(OssLabel));
			if (!read_object(reader, &elements[n++], label))
				return false;
		}
		else if (!read_answer_value(reader, &elements[n++], false))
			return false;
		skip_answer_space(reader);
	}
	reader->at++;
	out->type = jbvArray;
	out->val.array.nElems = n;
	out->val.array.elems = elements;
	out->val.array.rawScalar = false;
	return true;
}

/* Read a value; returns false if it is not one of the usual ones. */
static bool
read_answer_value(Reader *reader, JsonbValue *out, bool is_labels)
{
	bool		read;

	reader->has_number = false;
	switch (*reader->at)
	{
		case '"':
			return read_answer_string(reader, out);
		case 't':
			return read_word(reader, out, "true");
		case 'f':
			return read_word(reader, out, "false");
		case 'n':
			return read_word(reader, out, "null");
		case '{':
		case '[':
			if (reader->depth == MOST_DEPTH)
				return false;
			reader->depth++;
			read = *reader->at == '{' ? read_object(reader, out, NULL) :
				read_answer_array(reader, out, is_labels);
			reader->depth--;
			reader->has_number = false;
			return read;
		default:
			return read_number(reader, out);
	}
}

/*
 * Read an answer that ends with NUL, in CurrentMemoryContext.  Returns NULL if it is
 * left to jsonb_in().  Errors are those of numeric_in().
 */
Jsonb *
oss_answer_json(const char *json, OssLabels *labels)
{
	Reader		reader = {.at = json,.labels = labels};
	JsonbValue	root;

	*labels = (OssLabels)
	{
		0, NULL
	};
	skip_answer_space(&reader);
	if (*reader.at != '{' || !read_answer_value(&reader, &root, false))
		return NULL;
	skip_answer_space(&reader);
	return *reader.at == '\0' ? JsonbValueToJsonb(&root) : NULL;
}
