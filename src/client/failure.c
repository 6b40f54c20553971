/*-------------------------------------------------------------------------
 * failure.c
 *	  Finding the rule of a failed request and composing its messages.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <strings.h>

#include "client/failure.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "protocol/error_json.h"

/* Longest delay that a response can ask for. */
#define MAX_DELAY_MS	(60 * 1000L)

/* Return the code of a transfer without a complete response, else NULL. */
static const char *
code_of_end(const HttpAnswer *answer)
{
	static const char *const codes[] = {
		[HTTP_ANSWERED] = NULL,
		[HTTP_RESOLVE] = "CouldNotResolve",
		[HTTP_CONNECT] = "CouldNotConnect",
		[HTTP_TLS] = "TlsFailed",
		[HTTP_CERTIFICATE] = "CertificateRefused",
		[HTTP_TIMEOUT] = "ConnectTimeout",
		[HTTP_BROKEN] = "ConnectionBroken",
		[HTTP_TOO_LARGE] = "AnswerTooLarge",
		[HTTP_FORBIDDEN_ADDRESS] = "ForbiddenAddress",
		[HTTP_NO_MEMORY] = "OutOfMemory",
		[HTTP_OTHER] = "TransportError",
		[HTTP_PROXY_RESOLVE] = "ProxyNotResolved",
		[HTTP_PROXY_CONNECT] = "ProxyNotConnected",
		[HTTP_PROXY_TIMEOUT] = "ProxyTimeout",
		[HTTP_PROXY_TLS] = "ProxyTlsFailed",
		[HTTP_PROXY_CERTIFICATE] = "ProxyCertificateRefused",
		[HTTP_PROXY_ADDRESS] = "ProxyForbiddenAddress",
		[HTTP_PROXY_AUTHENTICATION] = "ProxyAuthentication",
		[HTTP_PROXY_REFUSED] = "ProxyRefused",
		[HTTP_PROXY_FAILED] = "ProxyFailed",
		[HTTP_PROXY_CLOSED] = "ProxyClosed",
		[HTTP_PROXY_GARBLED] = "ProxyGarbled",
		[HTTP_TUNNEL_TLS] = "TunnelTlsFailed",
		[HTTP_TUNNEL_CERTIFICATE] = "TunnelCertificateRefused"
	};

	if (answer->end == HTTP_TIMEOUT && answer->sent_us > 0)
		return "AnswerTimeout";
	return codes[answer->end];
}

/* Does a rule's http_status match? */
static bool
status_matches(int rule, int status)
{
	if (rule == 0)
		return true;
	return rule < 10 ? status / 100 == rule : status == rule;
}

/* Does a rule's code match? */
static bool
code_matches(const char *rule, const char *code)
{
	size_t		len = rule == NULL ? 0 : strlen(rule);

	if (rule == NULL)
		return true;
	if (rule[len - 1] == '*')
		return strncmp(rule, code, len - 1) == 0;
	return strcmp(rule, code) == 0;
}

/* Does a rule's text match a message? */
static bool
text_matches(const char *rule, const char *text)
{
	char		part[64];

	while (rule != NULL && *rule != '\0')
	{
		size_t		len = strcspn(rule, "*");

		Assert(len < sizeof(part));
		memcpy(part, rule, len);
		part[len] = '\0';
		text = strcasestr(text, part);
		if (text == NULL)
			return false;
		text += len;
		rule += rule[len] == '*' ? len + 1 : len;
	}
	return true;
}

/* Find the first rule that matches. */
static const OssFailureRule *
find_rule(int status, const char *code, const char *ec, const char *text)
{
	const OssFailureRule *rule = oss_failure_rules;

	/* the last rule matches anything */
	for (;; rule++)
	{
		if (rule == &oss_failure_rules[oss_failure_rule_count - 1])
			return rule;
		if (status_matches(rule->http_status, status) &&
			code_matches(rule->code, code) &&
			(rule->ec == NULL ||
			 strncmp(rule->ec, ec, strlen(rule->ec)) == 0) &&
			text_matches(rule->text, text))
			return rule;
	}
}

const char *
oss_failure_status_name(const OssFailureRule *rule)
{
	if (rule->http_status == 0)
		return NULL;
	return psprintf(rule->http_status < 10 ? "%dxx" : "%d", rule->http_status);
}

const OssFailureRule *
oss_failure_rule(const char *code)
{
	return find_rule(0, code, "", "");
}

const OssFailureRule *
oss_failure_classify(const HttpAnswer *answer, OssErrorXml *xml)
{
	const char *code = code_of_end(answer);

	memset(xml, 0, sizeof(*xml));
	if (code != NULL)
		return find_rule(answer->status, code, "", "");
	if (answer->status / 100 == 2)
		return oss_failure_rule("NotLabels");
	if (!oss_error_xml_parse(answer->body, answer->body_len, xml) &&
		!oss_error_json_parse(answer->body, answer->body_len, xml) &&
		answer->oss_err[0] != '\0')
		oss_error_xml_parse_base64(answer->oss_err, strlen(answer->oss_err), xml);
	return find_rule(answer->status, xml->code,
					 xml->ec[0] ? xml->ec : answer->ec, xml->message);
}

bool
oss_failure_may_be_labels(const HttpAnswer *answer)
{
	const char *begin = answer->body + strspn(answer->body, " \t\r\n");

	return *begin == '{' &&
		(memmem(answer->body, answer->body_len, "\"Labels\"", 8) != NULL ||
		 memmem(answer->body, answer->body_len, "\"RequestId\"", 11) != NULL);
}

/*
 * Return the ms until a date that the service sent, counted from its Date
 * header, or from the local clock without one.
 */
static long
ms_until_date(const char *date, const char *now)
{
	time_t		when = oss_http_parse_date(date);
	time_t		begin = oss_http_parse_date(now);

	if (when == (time_t) -1)
		return 0;
	return (long) (when - (begin == (time_t) -1 ? time(NULL) : begin)) * 1000;
}

long
oss_failure_delay(const HttpAnswer *answer)
{
	long		ms = 0;
	char	   *end;

	if (answer->retry_after[0] != '\0')
	{
		ms = strtol(answer->retry_after, &end, 10);
		if (*end == '\0')
			ms = Max(0, Min(ms, MAX_DELAY_MS / 1000)) * 1000;
		else
			ms = ms_until_date(answer->retry_after, answer->date);
	}
	if (answer->qos_delay[0] != '\0')
		ms = Max(ms, strtol(answer->qos_delay, NULL, 10));
	return Max(0, Min(ms, MAX_DELAY_MS));
}

/*
 * Return the length of the character at text if the database can store it
 * without conversion, else 0.
 */
static int
may_hold(const char *text, int encoding)
{
	const unsigned char *c = (const unsigned char *) text;
	int			len;

	if (*c < 0x80)
		return *c >= ' ' && *c != 0x7f ? 1 : 0;
	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII)
		return 0;
	len = pg_utf_mblen(c);
	return strnlen(text, len) == len && pg_utf8_islegal(c, len) ? len : 0;
}

/*
 * Append text in UTF-8, replacing characters that the database cannot store
 * by "?".  It is not converted, because that needs a transaction and the
 * worker has none here.
 */
static void
append_foreign(StringInfo out, const char *text)
{
	int			encoding = GetDatabaseEncoding();

	while (*text != '\0')
	{
		int			len = may_hold(text, encoding);

		if (len > 0)
			appendBinaryStringInfo(out, text, len);
		else
			appendStringInfoChar(out, '?');
		text += Max(len, 1);
	}
}

/* The same, as a palloc'd string. */
static char *
foreign_string(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	append_foreign(&out, text);
	return out.data;
}

/*
 * Append "label value" to a comma-separated list, unless the value is empty.
 */
static void
append_item(StringInfo out, const char *label, const char *value)
{
	if (value[0] == '\0')
		return;
	appendStringInfo(out, "%s%s ", out->len > 0 ? ", " : "", label);
	append_foreign(out, value);
}

/* Append the durations of a transfer's phases. */
static void
append_times(StringInfo out, const HttpAnswer *a)
{
	int64		ready = Max(a->connect_us, a->dns_us);

	if (out->len > 0)
		appendStringInfoString(out, ", ");
	appendStringInfo(out, "after %lld ms",
					 (long long) (a->total_us / 1000));
	if (a->dns_us == 0 && !a->connected)
	{
		appendStringInfoString(out, ", all of it in DNS");
		return;
	}
	appendStringInfo(out, ": DNS %lld ms", (long long) (a->dns_us / 1000));
	if (!a->connected)
	{
		appendStringInfo(out, ", connecting %lld ms",
						 (long long) ((a->total_us - a->dns_us) / 1000));
		return;
	}
	if (a->sent_us == 0)
	{
		appendStringInfo(out, a->proxy[0] != '\0' && a->proxy_status == 0 ?
						 ", connected to the proxy, no answer from it after %lld ms" :
						 ", connected, TLS handshake unfinished after %lld ms",
						 (long long) ((a->total_us - ready) / 1000));
		return;
	}
	appendStringInfo(out, ", connect %lld ms",
					 (long long) ((ready - a->dns_us) / 1000));
	if (a->tls_us > 0)
		appendStringInfo(out, ", %sTLS %lld ms", a->proxy[0] != '\0' ? "tunnel and " : "",
						 (long long) ((a->tls_us - ready) / 1000));
	if (a->first_byte_us > a->sent_us)
		appendStringInfo(out, ", first byte %lld ms, body %lld ms",
						 (long long) ((a->first_byte_us - a->sent_us) / 1000),
						 (long long) ((a->total_us - a->first_byte_us) / 1000));
	else
		appendStringInfo(out, ", waiting for the answer %lld ms",
						 (long long) ((a->total_us - a->sent_us) / 1000));
}

/* Compose the DETAIL of a response. */
static char *
detail_of(const HttpAnswer *a, const OssErrorXml *xml)
{
	StringInfoData out;
	char		status[16] = "";

	initStringInfo(&out);
	if (a->status != 0)
		snprintf(status, sizeof(status), "%d", a->status);
	append_item(&out, "HTTP status", status);
	append_item(&out, "Code", xml->code);
	append_item(&out, "EC", xml->ec[0] ? xml->ec : a->ec);
	append_item(&out, "request id",
				xml->request_id[0] ? xml->request_id : a->request_id);
	append_item(&out, "IMM request id", xml->imm_request_id);
	append_item(&out, "endpoint", xml->endpoint);
	if (a->status == 0)
		append_item(&out, a->proxy[0] != '\0' ? "proxy's address" : "address", a->address);
	if (a->end != HTTP_ANSWERED)
		append_item(&out, "through proxy", a->proxy);
	if (a->proxy_status != 0 && a->proxy_status / 100 != 2)
		append_item(&out, "proxy's HTTP status", psprintf("%d", a->proxy_status));
	if (a->end == HTTP_TIMEOUT || a->end == HTTP_PROXY_TIMEOUT)
		append_times(&out, a);
	if (xml->message[0] != '\0' || a->trouble[0] != '\0')
	{
		if (out.len > 0)
			appendStringInfoString(&out, ": ");
		append_foreign(&out, xml->message[0] ? xml->message : a->trouble);
	}
	if (out.len > 0 && out.data[out.len - 1] != '.')
		appendStringInfoChar(&out, '.');
	return out.data;
}

/* Return the scope of a rule when nothing is known about other requests. */
static OssScope
narrow_scope(OssScope scope)
{
	if (scope == OSS_SCOPE_DENIAL)
		return OSS_SCOPE_IMAGE;
	return scope == OSS_SCOPE_ACCOUNT ? OSS_SCOPE_REQUESTER : scope;
}

static OssFailure *
make_failure(const OssFailureRule *rule, const char *code, const char *what)
{
	OssFailure *failure = palloc0(sizeof(OssFailure));
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfoString(&message, "could not get ");
	append_foreign(&message, what);
	appendStringInfo(&message, ": %s", rule->message);
	failure->sqlerrcode = rule->sqlerrcode;
	failure->retry = rule->retry;
	failure->scope = narrow_scope(rule->scope);
	failure->code = foreign_string(code);
	failure->message = message.data;
	failure->summary = rule->message;
	failure->hint = rule->hint;
	return failure;
}

OssFailure *
oss_failure_describe(const OssFailureRule *rule, const HttpAnswer *answer,
					 const OssErrorXml *xml, const char *what)
{
	const char *code = xml->code[0] ? xml->code : rule->code;
	OssFailure *failure;

	failure = make_failure(rule, code != NULL ? code :
						   psprintf("HTTP%d", answer->status), what);
	failure->http_status = answer->status;
	failure->delay_ms = oss_failure_delay(answer);
	failure->detail = detail_of(answer, xml);
	if (answer->request_id[0] != '\0')
		failure->request_id = pstrdup(answer->request_id);
	else if (xml->request_id[0] != '\0')
		failure->request_id = foreign_string(xml->request_id);
	return failure;
}

OssFailure *
oss_failure_refuse(const OssFailureRule *rule, const char *code,
				   const char *detail, const char *what)
{
	OssFailure *failure = make_failure(rule, code, what);

	failure->detail = detail != NULL ? pstrdup(detail) : NULL;
	return failure;
}

OssFailure *
oss_failure_make(const char *code, const char *detail, const char *what)
{
	return oss_failure_refuse(oss_failure_rule(code), code, detail, what);
}

void
oss_failure_throw(const OssFailure *failure)
{
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg_internal("%s", failure->message),
			 failure->detail != NULL && failure->detail[0] != '\0' ?
			 errdetail_internal("%s", failure->detail) : 0,
			 failure->hint != NULL ? errhint("%s", failure->hint) : 0));
}

char *
oss_sentence(const char *clause)
{
	char	   *sentence = psprintf("%s.", clause);

	sentence[0] = pg_toupper((unsigned char) sentence[0]);
	return sentence;
}

const char *
oss_retry_name(OssRetry retry)
{
	static const char *const names[] = {
		[OSS_RETRY_NEVER] = "never",
		[OSS_RETRY_TRANSIENT] = "transient",
		[OSS_RETRY_THROTTLED] = "throttled",
		[OSS_RETRY_CREDENTIALS] = "credentials",
		[OSS_RETRY_CLOCK] = "clock"
	};

	return names[retry];
}

const char *
oss_scope_name(OssScope scope)
{
	static const char *const names[] = {
		[OSS_SCOPE_IMAGE] = "image",
		[OSS_SCOPE_CALL] = "call",
		[OSS_SCOPE_ACCESS] = "access",
		[OSS_SCOPE_BUCKET] = "bucket",
		[OSS_SCOPE_REQUESTER] = "requester",
		[OSS_SCOPE_SERVER] = "server",
		[OSS_SCOPE_DENIAL] = "image or access",
		[OSS_SCOPE_ACCOUNT] = "account"
	};

	return names[scope];
}

bool
oss_scope_is_setup(OssScope scope)
{
	return scope != OSS_SCOPE_IMAGE && scope != OSS_SCOPE_DENIAL;
}
