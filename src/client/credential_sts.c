/*-------------------------------------------------------------------------
 * credential_sts.c
 *	  Calls of STS, signed and not.
 *
 * protocol/README.md 5.2 and 5.3.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_sts.h"
#include "lib/stringinfo.h"
#include "protocol/signature_rpc.h"
#include "protocol/uri.h"
#include "utils/builtins.h"

#define DEFAULT_ENDPOINT	"https://sts.aliyuncs.com"
#define NONCE_BYTES			16

static void
refuse_for_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory"),
			 errhint("Lower the memory settings, or end other sessions.")));
}

/* Append a field to a form or query string, escaped. */
static void
append_field(StringInfo form, const char *name, const char *value)
{
	OssText		escaped = {0};
	bool		failed;

	/*
	 * make room first: nothing may throw while escaped holds malloc'd memory
	 */
	enlargeStringInfo(form, strlen(name) + 3 * strlen(value) + 3);
	oss_escape(&escaped, value, strlen(value), false);
	failed = escaped.failed;
	if (!failed)
	{
		if (form->len > 0)
			appendStringInfoChar(form, '&');
		appendStringInfoString(form, name);
		appendStringInfoChar(form, '=');
		appendBinaryStringInfo(form, escaped.data ? escaped.data : "",
							   escaped.len);
	}
	oss_text_free(&escaped);
	if (failed)
		refuse_for_memory();
}

/* Write fields as a form or query string. */
static char *
form_of(const OssField *fields, int nfields)
{
	StringInfoData form;

	initStringInfo(&form);
	for (int i = 0; i < nfields; i++)
		append_field(&form, fields[i].name, fields[i].value);
	return form.data;
}

void
oss_sts_add_environment(CredentialOptions *options)
{
	if (options->role_arn == NULL)
		options->role_arn = getenv("ALIBABA_CLOUD_ROLE_ARN");
	if (options->role_session_name == NULL)
		options->role_session_name = getenv("ALIBABA_CLOUD_ROLE_SESSION_NAME");
	if (options->sts_region == NULL)
		options->sts_region = getenv("ALIBABA_CLOUD_STS_REGION");
	if (options->enable_vpc == NULL)
		options->enable_vpc = getenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED");
}

/*
 * Return the URL of STS, without query.  Profiles of files have no endpoint, but
 * their mapping may.
 */
static char *
sts_url(const CredentialSource *source, const CredentialOptions *options)
{
	const char *endpoint = source->options.sts_endpoint;
	bool		has_scheme;
	int			len;

	if (endpoint == NULL && options->sts_region != NULL)
		return psprintf("https://sts%s.%s.aliyuncs.com/",
						oss_credential_option_is_true(options->enable_vpc) ?
						"-vpc" : "", options->sts_region);
	if (endpoint == NULL)
		endpoint = DEFAULT_ENDPOINT;
	has_scheme = strstr(endpoint, "://") != NULL;
	len = strlen(endpoint);
	if (endpoint[len - 1] == '/')
		len--;
	return psprintf("%s%.*s/", has_scheme ? "" : "https://", len, endpoint);
}

/* Return the time of STS, as far as it is known, as YYYY-MM-DDTHH:MM:SSZ. */
static char *
sts_time(const CredentialSource *source)
{
	char		stamp[OSS_TIMESTAMP_LEN + 1];

	oss_timestamp(time(NULL) + source->sts_clock_ahead, stamp);
	return psprintf("%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", stamp, stamp + 4,
					stamp + 6, stamp + 9, stamp + 11, stamp + 13);
}

/* Return a number that no other call has. */
static char *
make_nonce(void)
{
	char		bytes[NONCE_BYTES];
	char	   *nonce = palloc(2 * NONCE_BYTES + 1);

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("no random number could be made"),
				 errhint("Check the random numbers of the system's libcrypto.")));
	nonce[hex_encode(bytes, NONCE_BYTES, nonce)] = '\0';
	return nonce;
}

/* Return the signature of a call, palloc'd. */
static char *
sts_signature(const OssField *fields, int nfields, const char *secret)
{
	char	   *signature = palloc(64);
	OssText		made = {0};
	bool		ok = oss_sign_rpc(&made, "POST", fields, nfields, secret);

	if (ok)
		strlcpy(signature, made.data, 64);
	oss_text_free(&made);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("the call of STS could not be signed"),
				 errhint("Check that the system's libcrypto allows HMAC-SHA1.")));
	return signature;
}

void
oss_sts_call(CredentialSource *source, const CredentialOptions *options,
			 const char *action, const OssField *form, int nform,
			 const OssCredentials *who, int next)
{
	static const OssField header = {
		"Content-Type", "application/x-www-form-urlencoded"
	};
	OssField	fields[OSS_RPC_FIELDS_MAX];
	HttpSpec	spec = {0};
	char	   *body;
	char	   *query;
	char	   *url;
	int			nquery = 0;
	int			nfields;

	Assert(nform <= OSS_STS_FIELDS_MAX);
	fields[nquery++] = oss_field("Action", action);
	fields[nquery++] = oss_field("Version", "2015-04-01");
	fields[nquery++] = oss_field("Format", "JSON");
	fields[nquery++] = oss_field("Timestamp", sts_time(source));
	if (who != NULL)
	{
		fields[nquery++] = oss_field("SignatureMethod", "HMAC-SHA1");
		fields[nquery++] = oss_field("SignatureVersion", "1.0");
		fields[nquery++] = oss_field("SignatureNonce", make_nonce());
		fields[nquery++] = oss_field("AccessKeyId", who->key_id);
		if (who->token != NULL)
			fields[nquery++] = oss_field("SecurityToken", who->token);
	}
	nfields = nquery;
	for (int i = 0; i < nform; i++)
		if (form[i].value != NULL)
			fields[nfields++] = form[i];
	body = form_of(fields + nquery, nfields - nquery);
	oss_credential_wipe_later(source, body, strlen(body));
	if (who != NULL)
	{
		/* the form has been written: its first field may be overwritten */
		char	   *signature = sts_signature(fields, nfields, who->secret);

		fields[nquery++] = oss_field("Signature", signature);
	}
	spec.method = "POST";
	query = form_of(fields, nquery);
	url = psprintf("%s?%s", sts_url(source, options), query);
	oss_credential_wipe_later(source, query, strlen(query));
	oss_credential_wipe_later(source, url, strlen(url));
	spec.url = url;
	spec.body = body;
	spec.body_len = strlen(body);
	spec.headers = &header;
	spec.nheaders = 1;
	oss_credential_set_network(&spec, source);
	spec.reach = HTTP_REACH_OSS;
	spec.allow_http = true;		/* the option's check allows it for loopback
								 * only */
	oss_credential_send(source, &spec, next);
}

bool
oss_sts_clock_differs(CredentialSource *source)
{
	const HttpAnswer *answer = oss_http_answer(source->transfer);
	OssErrorXml error;
	time_t		date;

	if (answer->end != HTTP_ANSWERED || answer->status / 100 != 4 ||
		source->sts_clock_ahead != 0 ||
		!oss_credential_error_read(answer, &error) ||
		strncmp(error.code, "InvalidTimeStamp", strlen("InvalidTimeStamp")) != 0)
		return false;
	date = oss_http_parse_date(answer->date);
	if (date == (time_t) -1)
		return false;
	source->sts_clock_ahead = date - time(NULL);
	return source->sts_clock_ahead != 0;
}
