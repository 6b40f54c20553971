/*-------------------------------------------------------------------------
 * credential_static.c
 *	  Credentials of the user mapping itself, or of the environment of the
 *	  database server.
 *
 * protocol/README.md 5.1.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_fetch.h"

static void
static_step(CredentialSource *source)
{
	const CredentialOptions *options = source->fetch_options;

	if (options->access_key_id == NULL || options->access_key_secret == NULL)
		oss_credential_fail(source, "The user mapping has no access_key_id and access_key_secret.");
	else
		oss_credential_deliver(source, options->access_key_id,
							   options->access_key_secret,
							   options->security_token, DT_NOEND);
}

const CredentialProvider oss_credential_static = {
	CREDENTIAL_STATIC, false, static_step, 0
};

/*
 * End the fetch with the key in these environment variables.  Returns false
 * if they are not set.
 */
static bool
deliver_from_environment(CredentialSource *source, const char *id_name,
						 const char *secret_name, const char *token_name)
{
	const char *id = getenv(id_name);
	const char *secret = getenv(secret_name);

	if (id == NULL || id[0] == '\0' || secret == NULL || secret[0] == '\0')
		return false;
	oss_credential_deliver(source, id, secret, getenv(token_name), DT_NOEND);
	return true;
}

static bool
deliver_cloud_key(CredentialSource *source)
{
	return deliver_from_environment(source, "ALIBABA_CLOUD_ACCESS_KEY_ID",
									"ALIBABA_CLOUD_ACCESS_KEY_SECRET",
									"ALIBABA_CLOUD_SECURITY_TOKEN");
}

static void
cloud_environment_step(CredentialSource *source)
{
	if (!deliver_cloud_key(source))
		oss_credential_fail(source, "The environment of the database server has no ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.");
}

const CredentialProvider oss_credential_cloud_environment = {
	CREDENTIAL_ENVIRONMENT, false, cloud_environment_step, 0
};

static void
environment_step(CredentialSource *source)
{
	if (!deliver_from_environment(source, "OSS_ACCESS_KEY_ID",
								  "OSS_ACCESS_KEY_SECRET",
								  "OSS_SESSION_TOKEN") &&
		!deliver_cloud_key(source))
		oss_credential_fail(source, "The environment of the database server has neither OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET nor ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.");
}

const CredentialProvider oss_credential_environment = {
	CREDENTIAL_ENVIRONMENT, false, environment_step, 0
};
