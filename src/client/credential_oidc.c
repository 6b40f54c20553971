/*-------------------------------------------------------------------------
 * credential_oidc.c
 *	  Credentials of a RAM role for an OIDC token, by AssumeRoleWithOIDC of
 *	  STS (RRSA on ACK).
 *
 * protocol/README.md 5.2.  The token's file is read for each fetch, since the
 * Kubernetes cluster replaces it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_document.h"
#include "lib/stringinfo.h"
#include "protocol/uri.h"

#define SERVICE				"STS"
#define DEFAULT_ENDPOINT	"https://sts.aliyuncs.com"
#define DEFAULT_SESSION		"oss-labels"
#define DEFAULT_DURATION	"3600"	/* seconds */
#define CONNECT_TIMEOUT_MS	5000
#define TIMEOUT_MS			10000

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
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* Take missing options from the environment, where ACK sets them. */
static void
add_environment(CredentialOptions *options)
{
	if (options->role_arn == NULL)
		options->role_arn = getenv("ALIBABA_CLOUD_ROLE_ARN");
	if (options->oidc_provider_arn == NULL)
		options->oidc_provider_arn = getenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN");
	if (options->oidc_token_file == NULL)
		options->oidc_token_file = getenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE");
	if (options->role_session_name == NULL)
		options->role_session_name = getenv("ALIBABA_CLOUD_ROLE_SESSION_NAME");
	if (options->sts_region == NULL)
		options->sts_region = getenv("ALIBABA_CLOUD_STS_REGION");
	if (options->enable_vpc == NULL)
		options->enable_vpc = getenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED");
}

/*
 * Check that all options are set and legal.  Returns false after failing the
 * fetch.
 */
static bool
options_complete(CredentialSource *source, const CredentialOptions *options)
{
	const char *missing = NULL;
	const char *name;
	const char *problem;

	if (options->role_arn == NULL)
		missing = "option role_arn nor environment variable ALIBABA_CLOUD_ROLE_ARN";
	else if (options->oidc_provider_arn == NULL)
		missing = "option oidc_provider_arn nor environment variable ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
	else if (options->oidc_token_file == NULL)
		missing = "option oidc_token_file nor environment variable ALIBABA_CLOUD_OIDC_TOKEN_FILE";
	if (missing != NULL)
		oss_credential_fail(source, "Neither %s is set.", missing);
	else if ((name = oss_credential_options_problem(options,
													CREDENTIAL_OIDC,
													&problem)) != NULL)
		oss_credential_fail(source, "%s cannot be used. %s", name, problem);
	else
		return true;
	return false;
}

/* Return the URL of STS, without query. */
static char *
sts_url(const CredentialOptions *options)
{
	const char *endpoint = options->sts_endpoint;
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

static char *
sts_query(void)
{
	StringInfoData query;
	char		stamp[OSS_TIMESTAMP_LEN + 1];

	/* YYYYMMDDTHHMMSSZ to YYYY-MM-DDTHH:MM:SSZ */
	oss_timestamp(time(NULL), stamp);
	initStringInfo(&query);
	append_field(&query, "Action", "AssumeRoleWithOIDC");
	append_field(&query, "Version", "2015-04-01");
	append_field(&query, "Format", "JSON");
	append_field(&query, "Timestamp",
				 psprintf("%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", stamp, stamp + 4,
						  stamp + 6, stamp + 9, stamp + 11, stamp + 13));
	return query.data;
}

/* Return the request's body. */
static char *
sts_form(const CredentialOptions *options, const char *token)
{
	StringInfoData form;

	initStringInfo(&form);
	append_field(&form, "RoleArn", options->role_arn);
	append_field(&form, "OIDCProviderArn", options->oidc_provider_arn);
	append_field(&form, "OIDCToken", token);
	append_field(&form, "RoleSessionName",
				 options->role_session_name != NULL ?
				 options->role_session_name : DEFAULT_SESSION);
	append_field(&form, "DurationSeconds",
				 options->duration_seconds != NULL ?
				 options->duration_seconds : DEFAULT_DURATION);
	return form.data;
}

/* Read the token.  Returns NULL after failing the fetch. */
static char *
read_token(CredentialSource *source, const char *path)
{
	size_t		len;
	char	   *token = oss_credential_file_read(source, path, false, &len);

	if (token == NULL)
		return NULL;
	while (len > 0 && isspace((unsigned char) token[len - 1]))
		token[--len] = '\0';
	if (strlen(token) == len && oss_credential_token_problem(token) == NULL)
		return token;
	oss_credential_fail(source, "The file \"%s\" does not hold an OIDC token.",
						path);
	return NULL;
}

static void
ask_sts(CredentialSource *source)
{
	static const OssField header = {
		"Content-Type", "application/x-www-form-urlencoded"
	};
	CredentialOptions options = *source->fetch_options;
	HttpSpec	spec = {0};
	char	   *token;

	add_environment(&options);
	if (!options_complete(source, &options))
		return;
	token = read_token(source, options.oidc_token_file);
	if (token == NULL)
		return;
	spec.method = "POST";
	spec.url = psprintf("%s?%s", sts_url(&options), sts_query());
	spec.headers = &header;
	spec.nheaders = 1;
	spec.body = sts_form(&options, token);
	spec.body_len = strlen(spec.body);
	spec.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	spec.timeout_ms = TIMEOUT_MS;
	spec.max_body = CREDENTIAL_DOCUMENT_MAX;
	spec.reach = HTTP_REACH_OSS;
	spec.allow_http = true;		/* the option's check allows it for loopback
								 * only */
	explicit_bzero(token, strlen(token));
	oss_credential_send(source, &spec, 1);
}

static void
oidc_step(CredentialSource *source)
{
	if (source->step == 0)
		ask_sts(source);
	else
	{
		explicit_bzero(unconstify(char *, source->spec.body),
					   source->spec.body_len);
		oss_credential_deliver_answer(source, SERVICE, "Credentials", false);
	}
}

const CredentialProvider oss_credential_oidc = {CREDENTIAL_OIDC, true, oidc_step};
