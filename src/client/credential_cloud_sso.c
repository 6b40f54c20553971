/*-------------------------------------------------------------------------
 * credential_cloud_sso.c
 *	  Credentials for the access token of a profile of mode CloudSSO, which the
 *	  CLI's sign-in left in the file.
 *
 * protocol/README.md 5.2.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_document.h"
#include "lib/stringinfo.h"
#include "protocol/endpoint.h"
#include "utils/json.h"

#define SERVICE		"CloudSSO"
#define SIGN_IN		"Sign in again with the CLI as the operating system's user of the database server: aliyun configure --mode CloudSSO --profile NAME."

/*
 * Return the URL that gives keys, on the host of the sign-in URL; NULL if that
 * is none.
 */
static char *
credentials_url(const char *sign_in_url)
{
	const char *scheme_end = strstr(sign_in_url, "://");
	const char *host = scheme_end != NULL ? scheme_end + 3 : sign_in_url;
	char	   *origin = pnstrdup(sign_in_url, host - sign_in_url + strcspn(host, "/?#\\"));
	OssEndpoint ignored;

	if (scheme_end == NULL || oss_endpoint_parse(origin, false, &ignored) != NULL)
		return NULL;
	return psprintf("%s/cloud-credentials", origin);
}

static void
ask_cloud_sso(CredentialSource *source)
{
	const CredentialOptions *options = source->fetch_options;
	OssField   *headers = palloc(2 * sizeof(*headers));
	HttpSpec	spec = {0};
	StringInfoData body;
	char	   *bearer;

	if (options->access_token == NULL || options->access_token_expires == NULL ||
		strtoll(options->access_token_expires, NULL, 10) <= (long long) time(NULL))
	{
		oss_credential_fail(source, "The access token of the CloudSSO profile is missing or has expired. %s",
							SIGN_IN);
		return;
	}
	spec.url = options->sign_in_url != NULL ? credentials_url(options->sign_in_url) : NULL;
	if (spec.url == NULL || options->account_id == NULL || options->access_config == NULL ||
		oss_credential_token_problem(options->access_token) != NULL)
	{
		oss_credential_fail(source, "The CloudSSO profile lacks a proper cloud_sso_sign_in_url, cloud_sso_account_id, cloud_sso_access_config or access_token. %s",
							SIGN_IN);
		return;
	}
	initStringInfo(&body);
	appendStringInfoString(&body, "{\"AccountId\":");
	escape_json(&body, options->account_id);
	appendStringInfoString(&body, ",\"AccessConfigurationId\":");
	escape_json(&body, options->access_config);
	appendStringInfoChar(&body, '}');
	bearer = psprintf("Bearer %s", options->access_token);
	oss_credential_wipe_later(source, bearer, strlen(bearer));
	headers[0] = oss_field("Content-Type", "application/json");
	headers[1] = oss_field("Authorization", bearer);
	spec.method = "POST";
	spec.headers = headers;
	spec.nheaders = 2;
	spec.body = body.data;
	spec.body_len = body.len;
	oss_credential_set_network(&spec, source);
	spec.reach = HTTP_REACH_OSS;
	spec.allow_http = true;		/* oss_endpoint_parse() allows it for loopback
								 * only */
	oss_credential_send(source, &spec, 1);
}

static void
cloud_sso_step(CredentialSource *source)
{
	if (source->step == 0)
		ask_cloud_sso(source);
	else
		oss_credential_deliver_answer(source, SERVICE, "CloudCredential", false);
}

const CredentialProvider oss_credential_cloud_sso = {
	CREDENTIAL_CLOUD_SSO, true, cloud_sso_step, 0
};
