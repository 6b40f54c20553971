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

#include "client/credential_sts.h"

/* Take missing options from the environment, where ACK sets them. */
static void
add_environment(CredentialOptions *options)
{
	oss_sts_add_environment(options);
	if (options->oidc_provider_arn == NULL)
		options->oidc_provider_arn = getenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN");
	if (options->oidc_token_file == NULL)
		options->oidc_token_file = getenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE");
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
	CredentialOptions options = *source->fetch_options;
	char	   *token;

	add_environment(&options);
	if (!options_complete(source, &options))
		return;
	token = read_token(source, options.oidc_token_file);
	if (token != NULL)
	{
		const OssField form[] = {
			{"RoleArn", options.role_arn},
			{"OIDCProviderArn", options.oidc_provider_arn},
			{"OIDCToken", token},
			{"RoleSessionName", options.role_session_name != NULL ?
			options.role_session_name : OSS_STS_DEFAULT_SESSION},
			{"DurationSeconds", options.duration_seconds != NULL ?
			options.duration_seconds : OSS_STS_DEFAULT_DURATION},
			{"Policy", options.policy}
		};

		oss_credential_wipe_later(source, token, strlen(token));
		oss_sts_call(source, &options, "AssumeRoleWithOIDC", form, lengthof(form),
					 NULL, 1);
	}
}

static void
oidc_step(CredentialSource *source)
{
	if (source->step == 0 || oss_sts_clock_differs(source))
		ask_sts(source);
	else
		oss_credential_deliver_answer(source, "STS", "Credentials", false);
}

const CredentialProvider oss_credential_oidc = {CREDENTIAL_OIDC, true, oidc_step, 0};
