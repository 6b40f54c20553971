/*-------------------------------------------------------------------------
 * credential_role.c
 *	  Credentials of a RAM role, by AssumeRole of STS with the key of another
 *	  source, or through a chain of roles.
 *
 * protocol/README.md 5.2 and 5.3.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_sts.h"
#include "compat.h"

/* Steps of the fetch. */
enum
{
	STEP_BEGIN,
	STEP_ASK,					/* the key to sign with is there */
	STEP_KEY
};

/*
 * Begin with the source of the first key; each role that is to be assumed with
 * it is put on the stack, the last one first.
 */
static void
begin_chain(CredentialSource *source)
{
	const CredentialOptions *options = source->fetch_options;
	CredentialOptions *first = palloc(sizeof(*first));
	const CredentialProvider *provider = source->providers[oss_credential_role_source(options)];
	const char *rest = options->source_role_arn;
	List	   *roles = NIL;
	char	   *arn;

	*first = *options;
	first->role_arn = provider->kind == CREDENTIAL_OIDC ?
		oss_credential_next_role(&rest) : NULL;
	while ((arn = oss_credential_next_role(&rest)) != NULL)
		roles = lcons(arn, roles);
	oss_credential_use_by(source, &oss_credential_ram_role_arn, options);
	foreach_ptr(char, role, roles)
	{
		CredentialOptions *way = palloc(sizeof(*way));

		*way = *options;
		way->role_arn = role;
		way->external_id = NULL;
		way->policy = NULL;
		way->duration_seconds = NULL;
		oss_credential_use_by(source, &oss_credential_ram_role_arn, way);
	}
	first->policy = NULL;
	first->duration_seconds = NULL;
	oss_credential_delegate(source, provider, first);
}

static void
ask_for_role(CredentialSource *source)
{
	CredentialOptions options = *source->fetch_options;
	OssCredentials who = {
		source->base->access_key_id, source->base->access_key_secret,
		source->base->security_token
	};
	const char *name;
	const char *problem;

	if (source->uses_machine)
		oss_sts_add_environment(&options);
	if (options.role_arn == NULL)
		oss_credential_fail(source, "No role to assume is given.");
	else if ((name = oss_credential_options_problem(&options, CREDENTIAL_RAM_ROLE_ARN,
													&problem)) != NULL)
		oss_credential_fail(source, "%s cannot be used. %s", name, problem);
	else
	{
		const OssField form[] = {
			{"RoleArn", options.role_arn},
			{"RoleSessionName", options.role_session_name != NULL ?
			options.role_session_name : OSS_STS_DEFAULT_SESSION},
			{"DurationSeconds", options.duration_seconds != NULL ?
			options.duration_seconds : OSS_STS_DEFAULT_DURATION},
			{"Policy", options.policy},
			{"ExternalId", options.external_id}
		};

		oss_sts_call(source, &options, "AssumeRole", form, lengthof(form), &who,
					 STEP_KEY);
	}
}

static void
role_step(CredentialSource *source)
{
	if (source->step == STEP_BEGIN)
		begin_chain(source);
	else if (source->step == STEP_ASK || oss_sts_clock_differs(source))
		ask_for_role(source);
	else
		oss_credential_deliver_answer(source,
									  psprintf("STS for role \"%s\"",
											   source->fetch_options->role_arn != NULL ?
											   source->fetch_options->role_arn : ""),
									  "Credentials", false);
}

const CredentialProvider oss_credential_ram_role_arn = {
	CREDENTIAL_RAM_ROLE_ARN, true, role_step, STEP_ASK
};
