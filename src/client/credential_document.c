/*-------------------------------------------------------------------------
 * credential_document.c
 *	  The JSON documents in which keys are given out.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_source.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/* Longest error code of a service that is shown. */
#define CODE_MAX	64

/* Does text begin as the form does, in which "d" is a digit? */
static bool
has_form(const char *text, const char *form)
{
	for (; *form != '\0'; form++, text++)
		if (*form == 'd' ? !isdigit((unsigned char) *text) : *text != *form)
			return false;
	return true;
}

/* Return the number that two digits are. */
static int
two_digits(const char *text)
{
	return (text[0] - '0') * 10 + text[1] - '0';
}

/*
 * Read the offset from UTC at the end of a time: Z, +hh:mm or -hh:mm.  Returns
 * whether it is one.
 */
static bool
read_offset(const char *text, int *seconds)
{
	*seconds = 0;
	if (strcmp(text, "Z") == 0)
		return true;
	if (!(has_form(text, "+dd:dd") || has_form(text, "-dd:dd")) ||
		text[6] != '\0' ||
		two_digits(text + 1) >= HOURS_PER_DAY ||
		two_digits(text + 4) >= MINS_PER_HOUR)
		return false;
	*seconds = two_digits(text + 1) * SECS_PER_HOUR +
		two_digits(text + 4) * SECS_PER_MINUTE;
	if (text[0] == '-')
		*seconds = -*seconds;
	return true;
}

/* Read a time as RFC 3339 spells it, leaving out the fraction of a second. */
bool
oss_credential_expiration(const char *text, TimestampTz *when)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	const char *rest = text + strlen(form);
	int			month;
	int			day;
	int			offset;

	if (!has_form(text, form))
		return false;
	month = two_digits(text + 5);
	day = two_digits(text + 8);
	if (month < 1 || month > MONTHS_PER_YEAR || day < 1 || day > 31 ||
		two_digits(text + 11) >= HOURS_PER_DAY ||
		two_digits(text + 14) >= MINS_PER_HOUR ||
		two_digits(text + 17) > SECS_PER_MINUTE)
		return false;
	if (rest[0] == '.' && isdigit((unsigned char) rest[1]))
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!read_offset(rest, &offset))
		return false;
	*when = time_t_to_timestamptz(oss_http_parse_date(text) - offset);
	return true;
}

/* Leave out the byte order mark that some editors write before UTF-8. */
const char *
oss_credential_skip_bom(const char *bytes, size_t *len)
{
	static const char bom[] = "\xEF\xBB\xBF";

	if (*len < strlen(bom) || memcmp(bytes, bom, strlen(bom)) != 0)
		return bytes;
	*len -= strlen(bom);
	return bytes + strlen(bom);
}

/* Read the four digits of an escape \uXXXX at text; -1 when it is none. */
static int
read_json_escape(const char *text)
{
	int			code = 0;

	if (text[0] != '\\' || text[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		if (!isxdigit((unsigned char) text[i]))
			return -1;
		code = code * 16 + (isdigit((unsigned char) text[i]) ? text[i] - '0' :
							(text[i] | 0x20) - 'a' + 10);
	}
	return code;
}

/*
 * Write the escapes \uXXXX of what is not ASCII as UTF-8, in place.  What
 * jsonb_in() refuses the whole document for becomes U+FFFD: U+0000 and halves
 * of surrogate pairs.
 */
static void
decode_escapes(char *text)
{
	char	   *out = text;

	while (*text != '\0')
	{
		int			code = read_json_escape(text);
		pg_wchar	c = code;

		if (code < 0 || (code > 0 && code < 0x80))
		{
			/* an escaped backslash begins no other escape */
			if (*text == '\\' && text[1] != '\0')
				*out++ = *text++;
			*out++ = *text++;
			continue;
		}
		text += 6;
		if (is_utf16_surrogate_first(c) &&
			is_utf16_surrogate_second(Max(read_json_escape(text), 0)))
		{
			c = surrogate_pair_to_codepoint(c, read_json_escape(text));
			text += 6;
		}
		if (c == 0 || is_utf16_surrogate_first(c) || is_utf16_surrogate_second(c))
			c = 0xFFFD;
		unicode_to_utf8(c, (unsigned char *) out);
		out += c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	}
	*out = '\0';
}

/*
 * Parse a JSON document.
 *
 * It is UTF-8, the database may have another encoding, and converting needs a
 * transaction.  The parser takes strings byte by byte, and only values that are
 * ASCII are ever used.
 */
Jsonb *
oss_credential_json(const char *bytes, size_t len)
{
	char	   *text;
	Datum		json;

	bytes = oss_credential_skip_bom(bytes, &len);
	text = pnstrdup(bytes, len);
	decode_escapes(text);
	json = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	explicit_bzero(text, strnlen(bytes, len));
	return DatumGetJsonbP(json);
}

/* Overwrite a parsed document. */
void
oss_credential_json_wipe(Jsonb *json)
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
oss_credential_json_text(JsonbContainer *object, const char *name)
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
oss_credential_json_part(JsonbContainer *object, const char *name)
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
	char	   *code = oss_credential_json_text(object, "Code");

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

	size_t		len = answer->body_len;
	const char *body = oss_credential_skip_bom(answer->body, &len);

	if (len > 0 && body[0] == '{')
		code = error_code(&oss_credential_json(body, len)->root);
	if (code != NULL)
		oss_credential_fail(source, "Asking %s failed: status %d, code %s.",
							service, answer->status, code);
	else
		oss_credential_fail(source, "Asking %s failed: status %d.",
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
oss_credential_answered(CredentialSource *source, const char *service)
{
	const HttpAnswer *answer = oss_http_answer(source->transfer);

	if (answer->end != HTTP_ANSWERED)
		oss_credential_fail(source, "Asking %s failed: %s.", service,
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
		values[i] = oss_credential_json_text(object, names[i]);
		if (values[i] == NULL && missing == NULL)
			missing = names[i];
	}
	if (missing != NULL)
		oss_credential_fail(source, "The answer of %s has no %s.", service,
							missing);
	else
		oss_credential_deliver(source, values[0], values[1], values[2],
							   values[3]);
	for (int i = 0; i < lengthof(names); i++)
		if (values[i] != NULL)
			explicit_bzero(values[i], strlen(values[i]));
}

/* Deliver the key in the answer of the last step. */
void
oss_credential_deliver_answer(CredentialSource *source, const char *service,
							  const char *part, bool need_code)
{
	const HttpAnswer *answer;
	Jsonb	   *json;
	JsonbContainer *object;
	const char *code;

	if (!oss_credential_answered(source, service))
		return;
	answer = oss_http_answer(source->transfer);
	json = oss_credential_json(answer->body, answer->body_len);
	explicit_bzero(unconstify(char *, answer->body), answer->body_len);
	object = part == NULL ? &json->root :
		oss_credential_json_part(&json->root, part);
	code = error_code(&json->root);
	if (need_code && (code == NULL || strcmp(code, "Success") != 0))
		oss_credential_fail(source, "Asking %s failed: code \"%s\" is not Success.",
							service, code != NULL ? code : "");
	else
		deliver_object(source, service, object);
	oss_credential_json_wipe(json);
}
