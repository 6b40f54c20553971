/*-------------------------------------------------------------------------
 * credential_option.c
 *	  The options of a user mapping: their names, sources and legal values.
 *
 * No message shows a value, since it may be a secret given for the wrong
 * option.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_option.h"
#include "client/failure.h"
#include "commands/defrem.h"
#include "protocol/uri.h"
#include "utils/builtins.h"

#define TOKEN_MAX		16384
#define NAME_MAX_LEN	64
#define ARN_MAX			512
#define URL_MAX			2048
#define DURATION_MIN	900		/* seconds; protocol/README.md 5.2 */
#define DURATION_MAX	43200

/* The option does not belong to a single source. */
#define ANY_KIND		(-1)

/* The option has no field, as it is read where the mapping is checked. */
#define NOT_KEPT		((size_t) -1)

/*
 * An option; kind is that of its source or ANY_KIND, and problem() returns
 * what is wrong with a value as a static sentence, or NULL.
 */
typedef struct OptionDef
{
	const char *name;
	size_t		offset;			/* in CredentialOptions, or NOT_KEPT */
	int			kind;
	const char *(*problem) (const char *value);
} OptionDef;

/* by CredentialKind */
static const char *const kind_names[] = {
	"static",
	"environment",
	"ecs_ram_role",
	"oidc",
	"credentials_uri",
	"config_file"
};

StaticAssertDecl(lengthof(kind_names) == CREDENTIAL_KINDS,
				 "each kind of source has a name");

char	   *oss_metadata_endpoint = NULL;

/*
 * Check for 1 to max bytes of visible ASCII without the forbidden characters.
 */
static const char *
text_problem(const char *value, size_t max, const char *forbidden)
{
	size_t		len = strlen(value);

	if (len == 0)
		return "The value is empty.";
	if (len > max)
		return "The value is too long.";
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) value[i];

		if (c <= ' ' || c >= 0x7f)
			return "The value holds white space or a character that is not printable ASCII.";
		if (strchr(forbidden, c) != NULL)
			return "The value holds a character that is not allowed in it.";
	}
	return NULL;
}

const char *
oss_credential_id_problem(const char *value)
{
	const char *problem = text_problem(value, CREDENTIAL_ID_MAX, "");

	if (problem == NULL &&
		strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ._=-") != strlen(value))
		problem = "An access key id is made of letters, digits, \".\", \"_\", \"=\" and \"-\".";
	return problem;
}

const char *
oss_credential_secret_problem(const char *value)
{
	return text_problem(value, CREDENTIAL_SECRET_MAX, "");
}

const char *
oss_credential_token_problem(const char *value)
{
	return text_problem(value, TOKEN_MAX, "");
}

/* The name of a role becomes part of a URL. */
static const char *
role_problem(const char *value)
{
	const char *problem = text_problem(value, NAME_MAX_LEN, "");

	if (problem == NULL &&
		strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ._@-") != strlen(value))
		problem = "A name is made of letters, digits, \".\", \"_\", \"@\" and \"-\".";
	return problem;
}

static const char *
arn_problem(const char *value)
{
	if (strncmp(value, "acs:ram::", 9) != 0)
		return "An ARN begins with \"acs:ram::\".";
	return text_problem(value, ARN_MAX, "\"'\\");
}

static const char *
path_problem(const char *value)
{
	if (value[0] != '/' && strncmp(value, "~/", 2) != 0)
		return "The name of a file begins with \"/\" or \"~/\".";
	for (const char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || (unsigned char) *c >= 0x7f)
			return "The value holds a character that is not printable ASCII.";
	return strlen(value) < MAXPGPATH ? NULL : "The value is too long.";
}

static const char *
url_problem(const char *value)
{
	if (pg_strncasecmp(value, "http://", 7) != 0 &&
		pg_strncasecmp(value, "https://", 8) != 0)
		return "The value is a URL that begins with \"http://\" or \"https://\".";
	return text_problem(value, URL_MAX, "\"'\\<>{}|^`#");
}

/* Make a sentence of a clause from the ground floor; NULL for NULL. */
static const char *
problem_sentence(const char *problem)
{
	return problem != NULL ? oss_sentence(problem) : NULL;
}

static const char *
sts_endpoint_problem(const char *value)
{
	OssEndpoint ignored;

	return problem_sentence(oss_endpoint_parse(value, false, &ignored));
}

static const char *
region_problem(const char *value)
{
	return problem_sentence(oss_region_problem(value));
}

static const char *
duration_problem(const char *value)
{
	char	   *end;
	long		seconds = strtol(value, &end, 10);

	if (end == value || *end != '\0' ||
		seconds < DURATION_MIN || seconds > DURATION_MAX)
		return "The value is a number of seconds from 900 to 43200.";
	return NULL;
}

static const char *
bool_problem(const char *value)
{
	bool		ignored;

	return parse_bool(value, &ignored) ? NULL : "The value is true or false.";
}

static const char *
profile_problem(const char *value)
{
	return value[0] == '\0' ? "The value is empty." : NULL;
}

/* Return the CredentialKind of a name, or -1. */
static int
kind_by_name(const char *name)
{
	for (int i = 0; i < lengthof(kind_names); i++)
		if (strcmp(kind_names[i], name) == 0)
			return i;
	return -1;
}

static const char *
source_problem(const char *value)
{
	if (kind_by_name(value) < 0)
		return "Credential sources are static, environment, ecs_ram_role, oidc, credentials_uri and config_file.";
	return NULL;
}

#define OPTION(field, kind, problem) \
	{#field, offsetof(CredentialOptions, field), kind, problem}

static const OptionDef option_defs[] = {
	{"credential_source", NOT_KEPT, ANY_KIND, source_problem},
	OPTION(access_key_id, CREDENTIAL_STATIC, oss_credential_id_problem),
	OPTION(access_key_secret, CREDENTIAL_STATIC, oss_credential_secret_problem),
	OPTION(security_token, CREDENTIAL_STATIC, oss_credential_token_problem),
	OPTION(role_name, CREDENTIAL_ECS_RAM_ROLE, role_problem),
	OPTION(disable_imds_v1, CREDENTIAL_ECS_RAM_ROLE, bool_problem),
	OPTION(role_arn, CREDENTIAL_OIDC, arn_problem),
	OPTION(oidc_provider_arn, CREDENTIAL_OIDC, arn_problem),
	OPTION(oidc_token_file, CREDENTIAL_OIDC, path_problem),
	OPTION(role_session_name, CREDENTIAL_OIDC, role_problem),
	OPTION(duration_seconds, CREDENTIAL_OIDC, duration_problem),
	OPTION(sts_endpoint, CREDENTIAL_OIDC, sts_endpoint_problem),
	OPTION(sts_region, CREDENTIAL_OIDC, region_problem),
	OPTION(enable_vpc, CREDENTIAL_OIDC, bool_problem),
	OPTION(credentials_uri, CREDENTIAL_URI, url_problem),
	OPTION(config_file, CREDENTIAL_CONFIG_FILE, path_problem),
	OPTION(profile, CREDENTIAL_CONFIG_FILE, profile_problem),
	{"superuser_required", NOT_KEPT, ANY_KIND, bool_problem}
};

const char *
oss_credential_option_name(int i)
{
	return i < lengthof(option_defs) ? option_defs[i].name : NULL;
}

static const OptionDef *
find_option(const char *name)
{
	for (int i = 0; i < lengthof(option_defs); i++)
		if (strcmp(option_defs[i].name, name) == 0)
			return &option_defs[i];
	return NULL;
}

bool
oss_credential_option_is_true(const char *value)
{
	bool		result = false;

	return value != NULL && parse_bool(value, &result) && result;
}

void
oss_credential_options_read(CredentialOptions *options, MemoryContext context,
							List *defelems)
{
	memset(options, 0, sizeof(*options));
	foreach_node(DefElem, elem, defelems)
	{
		const OptionDef *def = find_option(elem->defname);

		if (def != NULL && def->offset != NOT_KEPT)
			*(char **) ((char *) options + def->offset) =
				MemoryContextStrdup(context, defGetString(elem));
	}
}

void
oss_credential_options_wipe(CredentialOptions *options)
{
	if (options->access_key_secret != NULL)
		explicit_bzero(options->access_key_secret,
					   strlen(options->access_key_secret));
	if (options->security_token != NULL)
		explicit_bzero(options->security_token,
					   strlen(options->security_token));
}

const char *
oss_credential_options_problem(const CredentialOptions *options,
							   CredentialKind kind, const char **problem)
{
	for (int i = 0; i < lengthof(option_defs); i++)
	{
		const OptionDef *def = &option_defs[i];
		const char *value;

		if (def->kind != kind)
			continue;
		value = *(char *const *) ((const char *) options + def->offset);
		if (value != NULL && (*problem = def->problem(value)) != NULL)
			return def->name;
	}
	return NULL;
}

bool
oss_credential_metadata_endpoint_check(char **newval, void **extra,
									   GucSource source)
{
	const char *problem = url_problem(*newval);

	if (problem != NULL)
		GUC_check_errdetail("%s", problem);
	return problem == NULL;
}

const char *
oss_credential_kind_name(CredentialKind kind)
{
	return kind_names[kind];
}

CredentialKind
oss_credential_kind(List *options)
{
	int			kind = -1;

	foreach_node(DefElem, elem, options)
	{
		if (strcmp(elem->defname, "credential_source") == 0)
			kind = kind_by_name(defGetString(elem));
	}
	return kind >= 0 ? kind : CREDENTIAL_STATIC;
}

/* Does this value let a role use the machine's identity or files? */
static bool
option_needs_superuser(const OptionDef *def, const char *value)
{
	if (def->problem == source_problem)
		return strcmp(value, kind_names[CREDENTIAL_STATIC]) != 0;
	return def->kind != CREDENTIAL_STATIC;
}

void
oss_credential_option_check(const char *name, const char *value,
							bool superuser_defines)
{
	const OptionDef *def = find_option(name);
	const char *problem;

	Assert(def != NULL);
	problem = def->problem(value);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("%s", problem),
				 errhint("Give a valid value, or leave the option out.")));
	if (!superuser_defines && option_needs_superuser(def, value))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a superuser may set option \"%s\" to this value",
						name),
				 errdetail("It lets a role use the identity or the files of the database server's machine."),
				 errhint("Use access_key_id and access_key_secret, or ask a superuser to define the user mapping.")));
}

static void
check_option_belongs(const OptionDef *def, CredentialKind kind)
{
	if (def->kind == kind || def->kind == ANY_KIND)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" belongs to credential source \"%s\", not \"%s\"",
					def->name, kind_names[def->kind], kind_names[kind]),
			 errhint("Set credential_source to \"%s\", or leave the option out.",
					 kind_names[def->kind])));
}

void
oss_credential_options_check(List *options)
{
	CredentialKind kind = oss_credential_kind(options);
	bool		has_id = false;
	bool		has_secret = false;
	bool		has_region = false;
	bool		has_vpc = false;
	bool		has_other = false;

	foreach_node(DefElem, elem, options)
	{
		const OptionDef *def = find_option(elem->defname);

		if (def == NULL)
			continue;
		check_option_belongs(def, kind);
		has_id |= def->offset == offsetof(CredentialOptions, access_key_id);
		has_secret |= def->offset == offsetof(CredentialOptions,
											  access_key_secret);
		has_region |= def->offset == offsetof(CredentialOptions, sts_region);
		has_vpc |= def->offset == offsetof(CredentialOptions, enable_vpc);
		has_other = true;
	}

	if (has_vpc && !has_region)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is missing", "sts_region"),
				 errdetail("Each region has its own endpoint of STS inside a VPC."),
				 errhint("Give sts_region the region of the database server's VPC, such as 'cn-hangzhou'.")));

	/*
	 * Accept a mapping without options: pg_dump writes that if it may not see
	 * them.
	 */
	if (kind == CREDENTIAL_STATIC && has_other &&
		!(has_id && has_secret))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is missing",
						has_id ? "access_key_secret" : "access_key_id"),
				 errhint("Give access_key_id and access_key_secret, or choose another credential_source.")));
}

bool
oss_credential_uses_machine(List *options)
{
	return oss_credential_kind(options) != CREDENTIAL_STATIC;
}

bool
oss_credential_needs_superuser(List *options)
{
	if (!oss_credential_uses_machine(options))
		return false;
	foreach_node(DefElem, elem, options)
	{
		if (strcmp(elem->defname, "superuser_required") == 0)
			return oss_credential_option_is_true(defGetString(elem));
	}
	return true;
}
