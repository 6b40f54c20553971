/*-------------------------------------------------------------------------
 * credential_mapping.c
 *	  Whether the options of a user mapping go together.
 *
 * No message shows a value that may be a secret.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_option.h"
#include "commands/defrem.h"
#include "compat.h"
#include "fmgr.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* Return the names of the kinds in a set as text. */
static char *
names_of_kinds(int kinds)
{
	char	   *names = NULL;

	for (int i = 0; i < CREDENTIAL_KINDS; i++)
	{
		if ((kinds & (1 << i)) == 0)
			continue;
		names = names == NULL ? psprintf("\"%s\"", oss_credential_kind_name(i)) :
			psprintf("%s or \"%s\"", names, oss_credential_kind_name(i));
	}
	return names;
}

/* Check that an option belongs to one of these kinds of source. */
static void
check_option_belongs(const char *name, CredentialKind kind, int kinds)
{
	char	   *names;
	int			own = oss_credential_option_kinds(name);

	if ((own & kinds) != 0)
		return;
	names = names_of_kinds(own);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" belongs to credential source %s, not \"%s\"",
					name, names, oss_credential_kind_name(kind)),
			 errhint("Set %s to %s, or leave the option out.",
					 kind == CREDENTIAL_RAM_ROLE_ARN ? "role_source" : "credential_source",
					 names)));
}

/* Refuse a mapping because of a missing option. */
static void
refuse_missing(const char *name, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" is missing", name),
			 detail != NULL ? errdetail("%s", detail) : 0,
			 errhint("%s", hint)));
}

/* Refuse a chain in which a role occurs twice. */
static void
check_circle(const CredentialOptions *options)
{
	const char *rest = options->source_role_arn;
	List	   *roles = list_make1(makeString(options->role_arn));
	char	   *arn;

	while ((arn = oss_credential_next_role(&rest)) != NULL)
	{
		String	   *role = makeString(arn);

		if (list_member(roles, role))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("role \"%s\" occurs twice in the chain of roles", arn),
					 errdetail("source_role_arn and role_arn name the roles in the order in which they are assumed."),
					 errhint("Name each role once.")));
		roles = lappend(roles, role);
	}
}

/*
 * Refuse a policy that is no JSON before STS does.  jsonb_in() has no side
 * effects that need a rollback.
 */
static void
check_policy(const char *policy)
{
	MemoryContext old = CurrentMemoryContext;

	PG_TRY();
	{
		(void) DirectFunctionCall1(jsonb_in, CStringGetDatum(policy));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", "policy"),
				 errdetail("It is not valid JSON."),
				 errhint("Give a RAM policy, such as '{\"Version\": \"1\", \"Statement\": [...]}'.")));
	}
	PG_END_TRY();
}

/* Check what assuming a role needs. */
static void
check_role_options(const CredentialOptions *options)
{
	CredentialKind from = oss_credential_role_source(options);

	if (options->role_arn == NULL)
		refuse_missing("role_arn", NULL, "Give the ARN of the role to assume, such as 'acs:ram::1234567890123456:role/reader'.");
	if (from == CREDENTIAL_STATIC &&
		(options->access_key_id == NULL || options->access_key_secret == NULL))
		refuse_missing(options->access_key_id == NULL ? "access_key_id" : "access_key_secret",
					   "A key assumes the role.",
					   "Give access_key_id and access_key_secret, or let a superuser choose another role_source.");
	check_circle(options);
}

/*
 * Accept a mapping without options: pg_dump writes that if it may not see them.
 */
static void
check_static_options(const CredentialOptions *options, bool has_any)
{
	if (!has_any ||
		(options->access_key_id != NULL && options->access_key_secret != NULL))
		return;
	refuse_missing(options->access_key_id != NULL ? "access_key_secret" : "access_key_id",
				   NULL, "Give access_key_id and access_key_secret, or choose another credential_source.");
}

void
oss_credential_options_check(List *defelems)
{
	CredentialKind kind = oss_credential_kind(defelems);
	int			kinds = 1 << kind;
	bool		has_any = false;
	CredentialOptions options;

	oss_credential_options_read(&options, CurrentMemoryContext, defelems);
	if (kind == CREDENTIAL_RAM_ROLE_ARN)
		kinds |= 1 << oss_credential_role_source(&options);
	foreach_node(DefElem, elem, defelems)
	{
		if (oss_credential_option_kinds(elem->defname) == 0)
			continue;
		check_option_belongs(elem->defname, kind, kinds);
		has_any = true;
	}
	if (options.proxy_password != NULL && options.proxy_user == NULL)
		refuse_missing("proxy_user", NULL, "Give proxy_user, or leave proxy_password out.");

	if (options.enable_vpc != NULL && options.sts_region == NULL)
		refuse_missing("sts_region", "Each region has its own endpoint of STS inside a VPC.",
					   "Give sts_region the region of the database server's VPC, such as 'cn-hangzhou'.");
	if (options.policy != NULL)
		check_policy(options.policy);
	if (kind == CREDENTIAL_RAM_ROLE_ARN)
		check_role_options(&options);
	if (kind == CREDENTIAL_STATIC)
		check_static_options(&options, has_any);
	oss_credential_options_wipe(&options);
}
