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
#define PROXY_NAME_MAX	256
#define DURATION_MIN	900		/* seconds; protocol/README.md 5.2 */
#define DURATION_MAX	43200

#define POLICY_MAX		2048
#define EXTERNAL_ID_MIN	2
#define EXTERNAL_ID_MAX	1224
#define TIMEOUT_MAX_MS	3600000
#define ROLES_MAX		4		/* on the way to another */

/* The sources that an option belongs to, as a set of kinds. */
#define OF(kind)		(1 << CREDENTIAL_##kind)
#define OF_STS			(OF(OIDC) | OF(RAM_ROLE_ARN))
#define OF_NETWORK		(OF_STS | OF(URI) | OF(CONFIG_FILE) | OF(DEFAULT))
#define ANY_KIND		(-1)

/* The option has no field, as it is read where the mapping is checked. */
#define NOT_KEPT		((size_t) -1)

/*
 * An option; kinds are those of its sources or ANY_KIND, and problem() returns
 * what is wrong with a value as a static sentence, or NULL.  Unless reserved, a
 * role may set it for a key of its own.
 */
typedef struct OptionDef
{
	const char *name;
	size_t		offset;			/* in CredentialOptions, or NOT_KEPT */
	int			kinds;
	bool		reserved;		/* to superusers */
	const char *(*problem) (const char *value);
} OptionDef;

/* by CredentialKind */
static const char *const kind_names[] = {
	"static",
	"environment",
	"ecs_ram_role",
	"oidc",
	"credentials_uri",
	"config_file",
	"ram_role_arn",
	"default"
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
role_arn_problem(const char *value)
{
	const char *problem = arn_problem(value);

	if (problem == NULL && strstr(value, ":role/") == NULL)
		problem = "The ARN of a role looks like \"acs:ram::1234567890123456:role/reader\".";
	return problem;
}

/* Each of up to ROLES_MAX ARNs, separated by commas and blanks. */
static const char *
role_list_problem(const char *value)
{
	char		role[ARN_MAX + 1];
	int			n = 0;

	for (;;)
	{
		size_t		len = strcspn(value, ",");
		const char *problem;

		while (len > 0 && value[0] == ' ')
			value++, len--;
		if (len > ARN_MAX)
			return "The value is too long.";
		memcpy(role, value, len);
		role[len] = '\0';
		if (++n > ROLES_MAX)
			return "There are at most 4 roles on the way to another.";
		if ((problem = role_arn_problem(role)) != NULL)
			return problem;
		value += len;
		if (*value++ == '\0')
			return NULL;
	}
}

static const char *
external_id_problem(const char *value)
{
	size_t		len = strlen(value);

	if (len < EXTERNAL_ID_MIN || len > EXTERNAL_ID_MAX)
		return "An external id has 2 to 1224 characters.";
	if (strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ+=,.@:/_-") != len)
		return "An external id is made of letters, digits, \"+\", \"=\", \",\", \".\", \"@\", \":\", \"/\", \"_\" and \"-\".";
	return NULL;
}

static const char *
policy_problem(const char *value)
{
	if (value[0] != '{' || strlen(value) > POLICY_MAX)
		return "A policy is a JSON object of at most 2048 bytes.";
	for (const char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c >= 0x7f || ((unsigned char) *c < ' ' && !isspace((unsigned char) *c)))
			return "A policy is ASCII text; write other characters as \\uXXXX.";
	return NULL;
}

/* Is it a number from min to max? */
static bool
is_number_of(const char *value, long min, long max)
{
	char	   *end;
	long		number = strtol(value, &end, 10);

	return end != value && *end == '\0' && number >= min && number <= max;
}

static const char *
timeout_problem(const char *value)
{
	return is_number_of(value, 1, TIMEOUT_MAX_MS) ? NULL :
		"The value is a number of milliseconds from 1 to 3600000.";
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
ca_file_problem(const char *value)
{
	if (value[0] != '/')
		return "The name of the file begins with \"/\".";
	return path_problem(value);
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

/* Basic authentication ends the user at the first colon. */
static const char *
proxy_user_problem(const char *value)
{
	return text_problem(value, PROXY_NAME_MAX, ":");
}

static const char *
duration_problem(const char *value)
{
	return is_number_of(value, DURATION_MIN, DURATION_MAX) ? NULL :
		"The value is a number of seconds from 900 to 43200.";
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
		return "Credential sources are static, environment, ecs_ram_role, oidc, credentials_uri, config_file, ram_role_arn and default.";
	return NULL;
}

static const char *
role_source_problem(const char *value)
{
	if (kind_by_name(value) < 0 || kind_by_name(value) == CREDENTIAL_RAM_ROLE_ARN)
		return "Sources of the key that assumes a role are static, environment, ecs_ram_role, oidc, credentials_uri, config_file and default; roles on the way stand in source_role_arn.";
	return NULL;
}

#define OPTION(field, kinds, reserved, problem) \
	{#field, offsetof(CredentialOptions, field), kinds, reserved, problem}

static const OptionDef option_defs[] = {
	{"credential_source", NOT_KEPT, ANY_KIND, false, source_problem},
	OPTION(access_key_id, OF(STATIC), false, oss_credential_id_problem),
	OPTION(access_key_secret, OF(STATIC), false, oss_credential_secret_problem),
	OPTION(security_token, OF(STATIC), false, oss_credential_token_problem),
	OPTION(role_name, OF(ECS_RAM_ROLE), true, role_problem),
	OPTION(disable_imds_v1, OF(ECS_RAM_ROLE), true, bool_problem),
	OPTION(role_arn, OF_STS, false, role_arn_problem),
	OPTION(role_source, OF(RAM_ROLE_ARN), false, role_source_problem),
	OPTION(source_role_arn, OF(RAM_ROLE_ARN), false, role_list_problem),
	OPTION(external_id, OF(RAM_ROLE_ARN), false, external_id_problem),
	OPTION(policy, OF_STS, false, policy_problem),
	OPTION(oidc_provider_arn, OF(OIDC), true, arn_problem),
	OPTION(oidc_token_file, OF(OIDC), true, path_problem),
	OPTION(role_session_name, OF_STS, false, role_problem),
	OPTION(duration_seconds, OF_STS, false, duration_problem),
	OPTION(sts_endpoint, OF_STS | OF(CONFIG_FILE) | OF(DEFAULT), true, sts_endpoint_problem),
	OPTION(sts_region, OF_STS, false, region_problem),
	OPTION(enable_vpc, OF_STS, false, bool_problem),
	OPTION(credentials_uri, OF(URI), true, url_problem),
	OPTION(config_file, OF(CONFIG_FILE), true, path_problem),
	OPTION(profile, OF(CONFIG_FILE), true, profile_problem),
	OPTION(ca_file, OF_NETWORK, true, ca_file_problem),
	OPTION(connect_timeout_ms, OF_NETWORK, false, timeout_problem),
	OPTION(timeout_ms, OF_NETWORK, false, timeout_problem),
	OPTION(proxy_user, ANY_KIND, false, proxy_user_problem),
	OPTION(proxy_password, ANY_KIND, false, oss_credential_secret_problem),
	{"superuser_required", NOT_KEPT, ANY_KIND, true, bool_problem}
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

int
oss_credential_option_kinds(const char *name)
{
	const OptionDef *def = find_option(name);

	return def != NULL ? def->kinds : 0;
}

bool
oss_credential_environment_is_true(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && pg_strcasecmp(value, "true") == 0;
}

CredentialKind
oss_credential_role_source(const CredentialOptions *options)
{
	return options->role_source == NULL ? CREDENTIAL_STATIC :
		kind_by_name(options->role_source);
}

char *
oss_credential_next_role(const char **list)
{
	size_t		len;
	char	   *role;

	if (*list == NULL)
		return NULL;
	*list += strspn(*list, " ");
	len = strcspn(*list, ",");
	role = pnstrdup(*list, len);
	*list = (*list)[len] == ',' ? *list + len + 1 : NULL;
	return role;
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
	char	   *const secrets[] = {
		options->access_key_secret, options->security_token,
		options->access_token, options->proxy_password
	};

	for (int i = 0; i < lengthof(secrets); i++)
		if (secrets[i] != NULL)
			explicit_bzero(secrets[i], strlen(secrets[i]));
}

const char *
oss_credential_options_problem(const CredentialOptions *options,
							   CredentialKind kind, const char **problem)
{
	for (int i = 0; i < lengthof(option_defs); i++)
	{
		const OptionDef *def = &option_defs[i];
		const char *value;

		if (def->offset == NOT_KEPT || (def->kinds & (1 << kind)) == 0)
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
		return strcmp(value, kind_names[CREDENTIAL_STATIC]) != 0 &&
			strcmp(value, kind_names[CREDENTIAL_RAM_ROLE_ARN]) != 0;
	if (def->problem == role_source_problem)
		return strcmp(value, kind_names[CREDENTIAL_STATIC]) != 0;
	return def->reserved;
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

bool
oss_credential_uses_machine(List *options)
{
	CredentialKind kind = oss_credential_kind(options);

	if (kind != CREDENTIAL_RAM_ROLE_ARN)
		return kind != CREDENTIAL_STATIC;
	foreach_node(DefElem, elem, options)
	{
		if (strcmp(elem->defname, "role_source") == 0)
			return strcmp(defGetString(elem), kind_names[CREDENTIAL_STATIC]) != 0;
	}
	return false;
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
