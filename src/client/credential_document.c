/*-------------------------------------------------------------------------
 * credential_document.c
 *	  The JSON documents in which keys are given out.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_source.h"
#include "fmgr.h"
#include "utils/builtins.h"

/* Longest error code of a service that is shown. */
#define CODE_MAX	64

/* Read a time of the form YYYY-MM-DDThh:mm:ssZ. */
bool
credential_expiration(const char *text, TimestampTz *when)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";

	if (strlen(text) != strlen(form))
		return false;
	for (int i = 0; form[i] != '\0'; i++)
		if (form[i] == 'd' ? !isdigit((unsigned char) text[i]) :
			text[i] != form[i])
			return false;
	*when = time_t_to_timestamptz(http_parse_date(text));
	return true;
}

/*
 * Parse a JSON document.
 *
 * It is UTF-8, the database may have another encoding, and converting needs a
 * transaction.  The parser takes strings byte by byte, and only values that are
 * ASCII are ever used.
 */
Jsonb *
credential_json(const char *bytes, size_t len)
{
	char	   *text = pnstrdup(bytes, len);
	Datum		json;

	json = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	explicit_bzero(text, strlen(text));
	return DatumGetJsonbP(json);
}

/* Overwrite a parsed document. */
void
credential_json_wipe(Jsonb *json)
{
	explicit_bzero(VARDATA(json), VARSIZE(json) - VARHDRSZ);
}

/* Find a field of an object. */
static JsonbValue *
json_field(JsonbContainer *object, const char *name)
{
	if (object == NULL || !JsonContainerIsObject(object))
		return NULL;
	return getKeyJsonValueFromContainer(object, name, strlen(name), NULL);
}

/* Return a scalar field as text. */
char *
credential_json_text(JsonbContainer *object, const char *name)
{
	JsonbValue *value = json_field(object, name);

	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			if (value->val.string.len == 0)
				return NULL;
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/* Return a field that is an object or array. */
JsonbContainer *
credential_json_part(JsonbContainer *object, const char *name)
{
	JsonbValue *value = json_field(object, name);

	if (value == NULL || value->type != jbvBinary)
		return NULL;
	return value->val.binary.data;
}

/*
 * Return a service's error code, if it is one.  Its message is not shown: it
 * might repeat what it was sent.
 */
static const char *
error_code(JsonbContainer *object)
{
	char	   *code = credential_json_text(object, "Code");

	if (code == NULL || strlen(code) > CODE_MAX ||
		strspn(code, "0123456789abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-") != strlen(code))
		return NULL;
	return code;
}

/* Fail the fetch because of the status of an answer. */
static void
fail_status(CredentialSource *source, const char *service,
			const HttpAnswer *answer)
{
	const char *code = NULL;

	if (answer->body_len > 0 && answer->body[0] == '{')
		code = error_code(&credential_json(answer->body,
										   answer->body_len)->root);
	if (code != NULL)
		credential_fail(source, "Asking %s failed: status %d, code %s.",
						service, answer->status, code);
	else
		credential_fail(source, "Asking %s failed: status %d.",
						service, answer->status);
}

/* Return what to say of a transfer without an answer. */
static const char *
end_words(HttpEnd end)
{
	switch (end)
	{
		case HTTP_RESOLVE:
			return "its name could not be resolved";
		case HTTP_CONNECT:
			return "no connection could be made";
		case HTTP_TLS:
			return "the TLS handshake failed";
		case HTTP_CERTIFICATE:
			return "its certificate was refused";
		case HTTP_TIMEOUT:
			return "it did not answer in time";
		case HTTP_BROKEN:
			return "the connection broke";
		case HTTP_TOO_LARGE:
			return "its answer is too long";
		case HTTP_FORBIDDEN_ADDRESS:
			return "its address is forbidden";
		case HTTP_NO_MEMORY:
			return "out of memory";
		default:
			return "the transfer failed";
	}
}

/* Check that the last step's transfer was answered well. */
bool
credential_answered(CredentialSource *source, const char *service)
{
	const HttpAnswer *answer = http_answer(source->transfer);

	if (answer->end != HTTP_ANSWERED)
		credential_fail(source, "Asking %s failed: %s.", service,
						end_words(answer->end));
	else if (answer->status != 200)
		fail_status(source, service, answer);
	else
		return true;
	return false;
}

/* Deliver the key in an object, or fail for want of a field. */
static void
deliver_object(CredentialSource *source, const char *service,
			   JsonbContainer *object)
{
	static const char *const names[] = {
		"AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration"
	};
	char	   *values[lengthof(names)];
	const char *missing = NULL;

	for (int i = 0; i < lengthof(names); i++)
	{
		values[i] = credential_json_text(object, names[i]);
		if (values[i] == NULL && missing == NULL)
			missing = names[i];
	}
	if (missing != NULL)
		credential_fail(source, "The answer of %s has no %s.", service,
						missing);
	else
		credential_deliver(source, values[0], values[1], values[2],
						   values[3]);
	for (int i = 0; i < lengthof(names); i++)
		if (values[i] != NULL)
			explicit_bzero(values[i], strlen(values[i]));
}

/* Deliver the key in the answer of the last step. */
void
credential_deliver_answer(CredentialSource *source, const char *service,
						  const char *part, bool need_code)
{
	const HttpAnswer *answer;
	Jsonb	   *json;
	JsonbContainer *object;
	const char *code;

	if (!credential_answered(source, service))
		return;
	answer = http_answer(source->transfer);
	json = credential_json(answer->body, answer->body_len);
	explicit_bzero(unconstify(char *, answer->body), answer->body_len);
	object = part == NULL ? &json->root :
		credential_json_part(&json->root, part);
	code = error_code(&json->root);
	if (need_code && (code == NULL || strcmp(code, "Success") != 0))
		credential_fail(source, "Asking %s failed: code \"%s\" is not Success.",
						service, code != NULL ? code : "");
	else
		deliver_object(source, service, object);
	credential_json_wipe(json);
}
