/*-------------------------------------------------------------------------
 * credential_default.c
 *	  Credentials of the first source that has any, in the order of the
 *	  vendor's SDKs.
 *
 * protocol/README.md 5.4.  A source is tried only if its variables or files
 * are there.  While a key is usable, it is renewed by the source it is from, so
 * that a failing renewal does not bring the key of another identity.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_fetch.h"

#define INI_FILE	"~/.alibabacloud/credentials"

/* The sources in their order; source->step is the index of the next. */
enum
{
	TRY_ENVIRONMENT,
	TRY_OIDC,
	TRY_CLI_FILE,
	TRY_INI_FILE,
	TRY_ECS,
	TRY_URI,
	TRY_NONE
};

/* Is an environment variable set, to something? */
static bool
is_set(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0';
}

/* Is a source of the order there at all? */
static bool
may_try(int which)
{
	switch (which)
	{
		case TRY_OIDC:
			return is_set("ALIBABA_CLOUD_ROLE_ARN") &&
				is_set("ALIBABA_CLOUD_OIDC_PROVIDER_ARN") &&
				is_set("ALIBABA_CLOUD_OIDC_TOKEN_FILE");
		case TRY_CLI_FILE:
			return !oss_credential_environment_is_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED");
		case TRY_ECS:
			return !oss_credential_environment_is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED");
		case TRY_URI:
			return is_set("ALIBABA_CLOUD_CREDENTIALS_URI");
		default:
			return true;
	}
}

static void
try_source(CredentialSource *source, int which)
{
	CredentialOptions *options = palloc(sizeof(*options));

	*options = *source->fetch_options;
	switch (which)
	{
		case TRY_ENVIRONMENT:
			oss_credential_delegate(source, &oss_credential_cloud_environment, options);
			break;
		case TRY_OIDC:
			oss_credential_delegate(source, &oss_credential_oidc, options);
			break;
		case TRY_CLI_FILE:
			oss_credential_delegate(source, &oss_credential_config_file, options);
			break;
		case TRY_INI_FILE:
			options->config_file = getenv("ALIBABA_CLOUD_CREDENTIALS_FILE");
			if (options->config_file == NULL)
				options->config_file = pstrdup(INI_FILE);
			oss_credential_delegate(source, &oss_credential_config_file, options);
			break;
		case TRY_ECS:
			oss_credential_delegate(source, &oss_credential_ecs_ram_role, options);
			break;
		default:
			oss_credential_delegate(source, &oss_credential_uri, options);
			break;
	}
}

static void
default_step(CredentialSource *source)
{
	int			which = source->step;
	const char *reasons = source->fallback_reasons;

	/* keep to the source of a key that is still good */
	if (which == TRY_ENVIRONMENT && source->key.default_found > 0 &&
		oss_credential_key_usable(source, GetCurrentTimestamp()))
	{
		source->default_found = source->key.default_found;
		try_source(source, source->default_found - 1);
		return;
	}
	while (which < TRY_NONE && !may_try(which))
		which++;
	if (which == TRY_NONE)
	{
		source->fallback = NULL;
		oss_credential_fail(source, "No source of the default order has a key. %s",
							reasons != NULL ? reasons : "");
		return;
	}
	source->fallback = &oss_credential_default;
	source->fallback_step = which + 1;
	source->fallback_uses = source->uses;
	source->fallback_options = source->fetch_options;
	try_source(source, which);
}

const CredentialProvider oss_credential_default = {
	CREDENTIAL_DEFAULT, true, default_step, 0
};
