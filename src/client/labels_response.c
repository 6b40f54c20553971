/*-------------------------------------------------------------------------
 * labels_response.c
 *	  Parsing a response into jsonb and labels.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/answer_json.h"
#include "client/labels_response.h"
#include "compat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

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

static Jsonb *
parse_string(char *string, OssLabels *labels)
{
	Jsonb	   *answer = oss_answer_json(string, labels);

#ifdef USE_ASSERT_CHECKING
	if (answer != NULL)
	{
		Jsonb	   *same = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(string)));

		Assert(VARSIZE(same) == VARSIZE(answer) && memcmp(same, answer, VARSIZE(same)) == 0);
	}
#endif
	if (answer == NULL)
	{
		answer = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(string)));
		labels->n = oss_response_labels(answer, false, &labels->labels);
	}
	return answer;
}

/*
 * Parse a body.  Errors are caught without a subtransaction: conversion and
 * jsonb's input function take no locks and allocate memory only.
 */
static Jsonb *
parse_body(const OssRequest *request, const char *body, size_t len, OssLabels *labels,
		   const OssFailure **failure)
{
	MemoryContext caller = CurrentMemoryContext;
	uint32		interrupts = InterruptHoldoffCount;
	uint32		cancels = QueryCancelHoldoffCount;
	Jsonb	   *volatile answer = NULL;

	PG_TRY();
	{
		answer = parse_string(pg_any_to_server(body, (int) len, PG_UTF8), labels);
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
			   OssLabels *labels, const OssFailure **failure)
{
	Jsonb	   *answer;
	OssLabels	ignored;

	*failure = NULL;
	if (len == 0 || memchr(body, '\0', len) != NULL)
	{
		*failure = answer_failure(request, "NotLabels", len == 0 ?
								  "The answer is empty." :
								  "The answer holds NUL bytes.");
		return NULL;
	}
	answer = parse_body(request, body, len, labels ? labels : &ignored, failure);
	if (answer != NULL && !is_labels_document(answer))
	{
		*failure = answer_failure(request, "NotLabels",
								  "The answer is JSON without Labels.");
		return NULL;
	}
	return answer;
}

Jsonb *
oss_response_parse(const OssRequest *request, OssLabels *labels,
				   const OssFailure **failure)
{
	size_t		len;
	const char *body;

	*failure = oss_request_failure(request);
	if (*failure != NULL)
		return NULL;
	body = oss_request_body(request, &len);
	return parse_document(request, body, len, labels, failure);
}

Jsonb *
oss_response_read(const char *body, size_t len, OssLabels *labels,
				  const OssFailure **failure)
{
	return parse_document(NULL, body, len, labels, failure);
}

static void
read_label(JsonbValue *value, bool with_raw, OssLabel *label)
{
	JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	field;

	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &field, true);
		oss_label_take(label, &name, &field);
	}
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
