/*-------------------------------------------------------------------------
 * labels_response.c
 *	  Parsing a response into jsonb and labels.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "client/labels_response.h"
#include "client/utf8.h"
#include "compat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/*
 * Return our code of an error that a body caused in the parser; NULL if the
 * error is not about the body.
 */
static const char *
code_of_error(int sqlerrcode)
{
	if (sqlerrcode == ERRCODE_UNTRANSLATABLE_CHARACTER)
		return "AnswerEncoding";
	if (sqlerrcode == ERRCODE_CHARACTER_NOT_IN_REPERTOIRE)
		return "AnswerNotUtf8";

	/* not JSON, a number out of range, nested too deeply */
	if (ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		return "NotLabels";
	return NULL;
}

/* Make the failure of a response that cannot be used. */
static const OssFailure *
answer_failure(const OssRequest *request, const char *code, const char *detail)
{
	OssFailure *failure = oss_failure_make(code, detail, request == NULL ?
										   "labels" : oss_request_what(request));

	failure->http_status = 200;
	failure->request_id = pstrdup(request == NULL ? "" : oss_request_id(request));
	return failure;
}

/*
 * Parse a body.  Errors are caught without a subtransaction: conversion and
 * jsonb's input function take no locks and allocate memory only.
 */
static Jsonb *
parse_body(const OssRequest *request, const char *body, size_t len,
		   const OssFailure **failure)
{
	MemoryContext caller = CurrentMemoryContext;
	uint32		interrupts = InterruptHoldoffCount;
	uint32		cancels = QueryCancelHoldoffCount;
	Jsonb	   *volatile answer = NULL;

	PG_TRY();
	{
		char	   *string = pg_any_to_server(body, (int) len, PG_UTF8);

		answer = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
													CStringGetDatum(string)));
	}
	PG_CATCH();
	{
		const char *code;
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		code = code_of_error(geterrcode());
		if (code == NULL)
			PG_RE_THROW();

		/* restore what the ERROR reset, since this is not the top level */
		InterruptHoldoffCount = interrupts;
		QueryCancelHoldoffCount = cancels;
		error = CopyErrorData();
		FlushErrorState();
		*failure = answer_failure(request, code,
								  error->detail ? error->detail : error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return answer;
}

/* Find a field of an object; NULL if it is absent. */
static JsonbValue *
response_field(JsonbContainer *object, const char *name, JsonbValue *out)
{
	return getKeyJsonValueFromContainer(object, name, strlen(name), out);
}

/*
 * Is this a response of image/labels?  If the action is ignored, the image
 * comes with status 200, and a proxy may send a page (protocol/README.md
 * 7.4); IMM's error document has a RequestId too, but with a Code (6.1).
 */
static bool
is_labels_document(Jsonb *answer)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(answer))
		return false;
	if (response_field(&answer->root, "Labels", &value) != NULL)
		return value.type == jbvNull ||
			(value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data));
	return response_field(&answer->root, "Code", &value) == NULL &&
		response_field(&answer->root, "RequestId", &value) != NULL &&
		value.type == jbvString;
}

/* Parse a body, of a request or NULL. */
static Jsonb *
parse_document(const OssRequest *request, const char *body, size_t len,
			   const OssFailure **failure)
{
	Jsonb	   *answer;

	*failure = NULL;
	if (len == 0 || memchr(body, '\0', len) != NULL)
	{
		*failure = answer_failure(request, "NotLabels", len == 0 ?
								  "The answer is empty." :
								  "The answer holds NUL bytes.");
		return NULL;
	}
	answer = parse_body(request, body, len, failure);
	if (answer != NULL && !is_labels_document(answer))
	{
		*failure = answer_failure(request, "NotLabels",
								  "The answer is JSON without Labels.");
		return NULL;
	}
	return answer;
}

Jsonb *
oss_response_parse(const OssRequest *request, const OssFailure **failure)
{
	size_t		len;
	const char *body;

	*failure = oss_request_failure(request);
	if (*failure != NULL)
		return NULL;
	body = oss_request_body(request, &len);
	return parse_document(request, body, len, failure);
}

Jsonb *
oss_response_read(const char *body, size_t len, const OssFailure **failure)
{
	return parse_document(NULL, body, len, failure);
}

/* Return a field as text, NULL unless it is a string. */
static text *
text_field(JsonbContainer *object, const char *name)
{
	JsonbValue	value;

	if (response_field(object, name, &value) == NULL || value.type != jbvString)
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/* Read a finite number.  Returns false if the field is none. */
static bool
double_field(JsonbContainer *object, const char *name, double *out)
{
	JsonbValue	value;
	Datum		number;

	if (response_field(object, name, &value) == NULL || value.type != jbvNumeric)
		return false;

	/* float8in() would raise an error for a number out of range */
	number = DirectFunctionCall1(numeric_float8_no_overflow,
								 NumericGetDatum(value.val.numeric));
	*out = DatumGetFloat8(number);
	return !isinf(*out) && !isnan(*out);
}

/* Read a 32-bit integer.  Returns false if the field is none. */
static bool
int_field(JsonbContainer *object, const char *name, int32 *out)
{
	double		number;

	if (!double_field(object, name, &number) || number != floor(number) ||
		number < PG_INT32_MIN || number > PG_INT32_MAX)
		return false;
	*out = (int32) number;
	return true;
}

static void
read_label(JsonbValue *value, bool with_raw, OssLabel *label)
{
	JsonbContainer *object = value->val.binary.data;

	label->name = oss_nfc(text_field(object, "LabelName"));
	label->parent = oss_nfc(text_field(object, "ParentLabelName"));
	label->language = text_field(object, "Language");
	label->has_level = int_field(object, "LabelLevel", &label->level);
	label->has_confidence = double_field(object, "LabelConfidence",
										 &label->confidence);
	label->has_centric = double_field(object, "CentricScore", &label->centric);
	label->raw = with_raw ? JsonbValueToJsonb(value) : NULL;
}

/* Return the array of labels, NULL if there is none. */
static JsonbContainer *
labels_array(const Jsonb *answer)
{
	JsonbValue	value;

	if (response_field(unconstify(JsonbContainer *, &answer->root), "Labels", &value) == NULL ||
		value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
		return NULL;
	return value.val.binary.data;
}

int
oss_response_labels(const Jsonb *answer, bool with_raw, OssLabel **labels)
{
	JsonbContainer *array = labels_array(answer);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	int			n = 0;

	*labels = NULL;
	if (array == NULL || JsonContainerSize(array) == 0)
		return 0;
	*labels = palloc0(sizeof(OssLabel) * JsonContainerSize(array));
	it = JsonbIteratorInit(array);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		/* skip elements that are no objects; detect_json() still shows them */
		if (token == WJB_ELEM && value.type == jbvBinary &&
			JsonContainerIsObject(value.val.binary.data))
			read_label(&value, with_raw, &(*labels)[n++]);
	}
	return n;
}
