/*-------------------------------------------------------------------------
 * credential_uri.c
 *	  Credentials from a URL, such as that of a helper process on the machine.
 *
 * protocol/README.md 5.2.  The URL may contain a secret, so it is never shown.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_document.h"

#define SERVICE				"the credentials URI"

static void
ask_uri(CredentialSource *source)
{
	CredentialOptions from = *source->fetch_options;
	HttpSpec	spec = {0};
	const char *problem;

	if (from.credentials_uri == NULL)
		from.credentials_uri = getenv("ALIBABA_CLOUD_CREDENTIALS_URI");
	if (from.credentials_uri == NULL)
		oss_credential_fail(source, "Neither the option credentials_uri nor the environment variable ALIBABA_CLOUD_CREDENTIALS_URI is set.");
	else if (oss_credential_options_problem(&from, CREDENTIAL_URI,
											&problem) != NULL)
		oss_credential_fail(source, "The credentials URI cannot be used. %s",
							problem);
	else
	{
		spec.method = "GET";
		spec.url = pstrdup(from.credentials_uri);
		oss_credential_set_network(&spec, source);
		spec.reach = HTTP_REACH_METADATA;
		spec.allow_http = true;
		oss_credential_send(source, &spec, 1);
	}
}

static void
uri_step(CredentialSource *source)
{
	if (source->step == 0)
		ask_uri(source);
	else
		oss_credential_deliver_answer(source, SERVICE, NULL, false);
}

const CredentialProvider oss_credential_uri = {CREDENTIAL_URI, true, uri_step, 0};
