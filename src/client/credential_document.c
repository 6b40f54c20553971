/*-------------------------------------------------------------------------
 * credential_document.c
 *	  Reading keys from files and JSON documents.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/credential_document.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "storage/fd.h"
#include "utils/builtins.h"

/* Longest error code that is shown. */
#define CODE_MAX	64

bool
oss_credential_expiration_read(const char *text, TimestampTz *when)
{
	struct tm	tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	char		sign[2] = "+";
	int			hours = 0;
	int			minutes = 0;
	int			len = 0;
	int			seconds;

	if (rest == NULL)
		return false;
	if (rest[0] == '.' && isdigit((unsigned char) rest[1]))
		rest += 1 + strspn(rest + 1, "0123456789");
	if (strcmp(rest, "Z") != 0 &&
		(sscanf(rest, "%1[+-]%2d:%2d%n", sign, &hours, &minutes, &len) != 3 ||
		 rest[len] != '\0' || hours >= HOURS_PER_DAY || minutes >= MINS_PER_HOUR))
		return false;
	seconds = hours * SECS_PER_HOUR + minutes * SECS_PER_MINUTE;
	*when = time_t_to_timestamptz(timegm(&tm) - (sign[0] == '-' ? -seconds : seconds));
	return true;
}

/*
 * Replace "~" by the home directory.  Returns false if the result is too
 * long.
 */
static bool
expand_home(const char *path, char *expanded)
{
	char		home[MAXPGPATH];

	if (strncmp(path, "~/", 2) != 0)
		return strlcpy(expanded, path, MAXPGPATH) < MAXPGPATH;
	return get_home_path(home) &&
		snprintf(expanded, MAXPGPATH, "%s%s", home, path + 1) < MAXPGPATH;
}

/*
 * Return why a file must not be used, as a sentence, or NULL.  Owner and mode
 * must be as for the server's own TLS keys (be-secure-common.c).
 */
static const char *
file_problem(const struct stat *st, bool private_only)
{
	mode_t		forbidden = S_IRWXG | S_IRWXO;

	if (!S_ISREG(st->st_mode))
		return "It is not a regular file.";
	if (st->st_size > CREDENTIAL_DOCUMENT_MAX)
		return "It is too large.";
	if (!private_only)
		return NULL;
	if (st->st_uid == 0)
		forbidden = S_IWGRP | S_IXGRP | S_IRWXO;
	else if (st->st_uid != geteuid())
		return "It must be owned by the database server's user or by root.";
	if (st->st_mode & forbidden)
		return "Others have access to it; its mode must be u=rw (0600) or less, or u=rw,g=r (0640) or less if it is owned by root.";
	return NULL;
}

/* Read up to max bytes.  Returns their number, or -1. */
static ssize_t
read_all(int fd, char *buffer, size_t max)
{
	size_t		len = 0;

	while (len < max)
	{
		ssize_t		n = read(fd, buffer + len, max - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += n;
	}
	return len;
}

/* Read an open file; see oss_credential_file_read(). */
static char *
read_open_file(CredentialSource *source, int fd, const char *path,
			   bool private_only, char *buffer, size_t *len)
{
	struct stat st;
	const char *problem;
	ssize_t		n;

	if (fstat(fd, &st) != 0)
	{
		oss_credential_fail(source, "File \"%s\" cannot be read: %s.", path,
							strerror(errno));
		return NULL;
	}
	problem = file_problem(&st, private_only);
	if (problem != NULL)
	{
		oss_credential_fail(source, "File \"%s\" cannot be used. %s", path, problem);
		return NULL;
	}
	n = read_all(fd, buffer, CREDENTIAL_DOCUMENT_MAX);
	if (n < 0)
	{
		oss_credential_fail(source, "File \"%s\" cannot be read: %s.", path,
							strerror(errno));
		return NULL;
	}
	buffer[n] = '\0';
	*len = n;
	return unconstify(char *, oss_credential_skip_bom(buffer, len));
}

char *
oss_credential_file_read(CredentialSource *source, const char *path,
						 bool private_only, size_t *len)
{
	char		expanded[MAXPGPATH];
	char	   *buffer = palloc(CREDENTIAL_DOCUMENT_MAX + 1);
	char	   *result;
	int			fd;

	if (!expand_home(path, expanded))
	{
		oss_credential_fail(source, "The name of file \"%s\" is too long.", path);
		return NULL;
	}

	/* O_NONBLOCK: opening a FIFO must not block */
	fd = BasicOpenFile(expanded, O_RDONLY | O_NONBLOCK | O_CLOEXEC | PG_BINARY);
	if (fd < 0)
	{
		oss_credential_fail(source, "File \"%s\" cannot be opened: %s.", path,
							strerror(errno));
		return NULL;
	}
	PG_TRY();
	{
		result = read_open_file(source, fd, path, private_only, buffer, len);
	}
	PG_FINALLY();
	{
		close(fd);
	}
	PG_END_TRY();
	return result;
}

/* Return the code of an escape \uXXXX at text, or -1. */
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
 * Replace escapes \uXXXX of non-ASCII characters by UTF-8, in place.  U+0000
 * and unpaired surrogates, because of which jsonb_in() would refuse the
 * document, become U+FFFD.
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
			/* copy both bytes, so that "\\u" is not taken for an escape */
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
 * The document is UTF-8, but the database's encoding may be another, and
 * converting would need a transaction.  The parser takes strings bytewise,
 * and only ASCII values are used.
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

void
oss_credential_json_wipe(Jsonb *json)
{
	explicit_bzero(VARDATA(json), VARSIZE(json) - VARHDRSZ);
}

static JsonbValue *
json_field(JsonbContainer *object, const char *name)
{
	if (object == NULL || !JsonContainerIsObject(object))
		return NULL;
	return getKeyJsonValueFromContainer(object, name, strlen(name), NULL);
}

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

JsonbContainer *
oss_credential_json_part(JsonbContainer *object, const char *name)
{
	JsonbValue *value = json_field(object, name);

	if (value == NULL || value->type != jbvBinary)
		return NULL;
	return value->val.binary.data;
}

/* Is it made of the characters of codes and request ids, and not too long? */
static bool
is_token(const char *text)
{
	return text[0] != '\0' && strlen(text) <= CODE_MAX &&
		strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-") == strlen(text);
}

/*
 * Return a service's error code, or NULL if it does not look like one.  The
 * message is not shown: it may repeat secrets of the request.
 */
static const char *
error_code(JsonbContainer *object)
{
	char	   *code = oss_credential_json_text(object, "Code");

	return code != NULL && is_token(code) ? code : NULL;
}

/* What the error codes of STS that begin like this mean. */
static const struct
{
	const char *code;
	CredentialTrouble trouble;
}			sts_codes[] = {
	{"NoPermission", CREDENTIAL_ROLE_REFUSED},
	{"EntityNotExist.Role", CREDENTIAL_ROLE_REFUSED},
	{"AuthenticationFail.", CREDENTIAL_ROLE_REFUSED},
	{"ImplicitDeny", CREDENTIAL_ROLE_REFUSED},
	{"Forbidden", CREDENTIAL_ROLE_REFUSED},
	{"InvalidAccessKeyId", CREDENTIAL_ROLE_KEY_REFUSED},
	{"Incomplete", CREDENTIAL_ROLE_KEY_REFUSED},
	{"SignatureDoesNotMatch", CREDENTIAL_ROLE_KEY_REFUSED},
	{"InvalidSecurityToken", CREDENTIAL_ROLE_KEY_REFUSED},
	{"SecurityTokenExpired", CREDENTIAL_ROLE_KEY_REFUSED},
	{"InvalidParameter", CREDENTIAL_ROLE_CALL_REFUSED},
	{"Missing", CREDENTIAL_ROLE_CALL_REFUSED}
};

/* Return what an error code means. */
static CredentialTrouble
sts_trouble(const char *code)
{
	for (int i = 0; i < lengthof(sts_codes); i++)
		if (strncmp(code, sts_codes[i].code, strlen(sts_codes[i].code)) == 0)
			return sts_codes[i].trouble;
	return CREDENTIAL_UNAVAILABLE;
}

/*
 * Fail the fetch because of the response's status.  The message is not shown:
 * that of a refused signature repeats what was signed, a security token too.
 */
static void
fail_status(CredentialSource *source, const char *service,
			const HttpAnswer *answer)
{
	OssErrorXml error;
	const char *id = "";

	if (!oss_credential_error_read(answer, &error) || !is_token(error.code))
	{
		oss_credential_fail(source, "Asking %s failed: status %d.",
							service, answer->status);
		return;
	}
	if (is_token(error.request_id))
		id = psprintf(", request id %s", error.request_id);
	oss_credential_fail_as(source, sts_trouble(error.code),
						   "Asking %s failed: status %d, code %s%s.",
						   service, answer->status, error.code, id);
}

/* Why a transfer got no response. */
static const char *const end_clauses[] = {
	[HTTP_RESOLVE] = "its name could not be resolved",
	[HTTP_CONNECT] = "no connection could be made",
	[HTTP_TLS] = "the TLS handshake failed",
	[HTTP_CERTIFICATE] = "its certificate was refused; the user mapping's option ca_file names the CA certificates for it",
	[HTTP_TIMEOUT] = "it did not answer in time",
	[HTTP_BROKEN] = "the connection broke",
	[HTTP_TOO_LARGE] = "its answer is too long",
	[HTTP_FORBIDDEN_ADDRESS] = "its address is forbidden",
	[HTTP_NO_MEMORY] = "out of memory",
	[HTTP_OTHER] = "the transfer failed"
};

/* Fail the fetch because of a proxy. */
static void
fail_proxy(CredentialSource *source, const char *service, const HttpAnswer *answer)
{
	OssErrorXml ignored;

	oss_credential_fail(source, "Asking %s through proxy %s failed: %s%s.", service,
						answer->proxy, oss_failure_classify(answer, &ignored)->message,
						answer->proxy_status / 100 == 2 || answer->proxy_status == 0 ? "" :
						psprintf(", HTTP status %d", answer->proxy_status));
}

bool
oss_credential_answered(CredentialSource *source, const char *service)
{
	const HttpAnswer *answer = oss_http_answer(source->transfer);

	if (answer->end >= HTTP_PROXY_RESOLVE)
		fail_proxy(source, service, answer);
	else if (answer->end != HTTP_ANSWERED)
		oss_credential_fail(source, "Asking %s%s%s failed: %s.", service,
							answer->proxy[0] != '\0' ? " through proxy " : "", answer->proxy,
							end_clauses[answer->end]);
	else if (answer->status != 200)
		fail_status(source, service, answer);
	else
		return true;
	return false;
}

/*
 * End the fetch with the key in an object, or fail it if a field is missing.
 */
static void
deliver_object(CredentialSource *source, const char *service,
			   JsonbContainer *object)
{
	static const char *const names[] = {
		"AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration"
	};
	char	   *values[lengthof(names)];
	const char *missing = NULL;
	TimestampTz expires_at;

	for (int i = 0; i < lengthof(names); i++)
	{
		values[i] = oss_credential_json_text(object, names[i]);
		if (values[i] == NULL && missing == NULL)
			missing = names[i];
	}
	if (missing != NULL)
		oss_credential_fail(source, "The answer of %s has no %s.", service,
							missing);
	else if (!oss_credential_expiration_read(values[3], &expires_at))
		oss_credential_fail(source, "The time at which the key expires is malformed; a right one is 2030-01-31T12:00:00Z.");
	else
		oss_credential_deliver(source, values[0], values[1], values[2],
							   expires_at);
	for (int i = 0; i < lengthof(names); i++)
		if (values[i] != NULL)
			explicit_bzero(values[i], strlen(values[i]));
}

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
