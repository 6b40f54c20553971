/*-------------------------------------------------------------------------
 * credential_file.c
 *	  Credentials from a profile of the configuration file of the Alibaba
 *	  Cloud CLI (JSON) or of the SDKs (INI).
 *
 * protocol/README.md 5.2.  A profile either holds a key or names another
 * source, whose provider continues the fetch, or a role to assume with either.
 * No message shows contents of the file.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_document.h"
#include "protocol/ini.h"
#include "utils/builtins.h"

#define DEFAULT_FILE	"~/.aliyun/config.json"

/* Profiles of a chain, each of which names the next as source_profile. */
#define PROFILES_MAX	5

/*
 * A profile of either kind of file, as the provider and options of an
 * equivalent user mapping.
 */
typedef struct Profile
{
	const CredentialProvider *provider; /* NULL: unsupported mode */
	bool		chained;		/* the role's key comes from source_profile */
	CredentialOptions options;
	bool		json;			/* else INI */
	bool		found;
	bool		disabled;		/* INI: enable = false */
} Profile;

/* A profile's field and the option that it sets. */
typedef struct FieldName
{
	const char *name;
	size_t		offset;
} FieldName;

#define FIELD(name, field) {name, offsetof(CredentialOptions, field)}

static const FieldName json_fields[] = {
	FIELD("access_key_id", access_key_id),
	FIELD("access_key_secret", access_key_secret),
	FIELD("sts_token", security_token),
	FIELD("ram_role_name", role_name),
	FIELD("ram_role_arn", role_arn),
	FIELD("ram_session_name", role_session_name),
	FIELD("expired_seconds", duration_seconds),
	FIELD("oidc_provider_arn", oidc_provider_arn),
	FIELD("oidc_token_file", oidc_token_file),
	FIELD("sts_region", sts_region),
	FIELD("enable_vpc", enable_vpc),
	FIELD("credentials_uri", credentials_uri),
	FIELD("policy", policy),
	FIELD("external_id", external_id),
	FIELD("source_profile", source_profile),
	FIELD("process_command", process_command),
	FIELD("cloud_sso_sign_in_url", sign_in_url),
	FIELD("cloud_sso_account_id", account_id),
	FIELD("cloud_sso_access_config", access_config),
	FIELD("access_token", access_token),
	FIELD("cloud_sso_access_token_expire", access_token_expires)
};

static const FieldName ini_fields[] = {
	FIELD("access_key_id", access_key_id),
	FIELD("access_key_secret", access_key_secret),
	FIELD("security_token", security_token),
	FIELD("role_name", role_name),
	FIELD("role_arn", role_arn),
	FIELD("role_session_name", role_session_name),
	FIELD("oidc_provider_arn", oidc_provider_arn),
	FIELD("oidc_token_file_path", oidc_token_file),
	FIELD("policy", policy),
	FIELD("credentials_uri", credentials_uri)
};

/* A mode, as the JSON file and the INI file (NULL: it has none) call it. */
typedef struct ModeName
{
	const char *json;
	const char *ini;
	const CredentialProvider *provider;
	bool		with_token;
	bool		chained;
} ModeName;

static const ModeName modes[] = {
	{"AK", "access_key", &oss_credential_static, false, false},
	{"StsToken", "sts", &oss_credential_static, true, false},
	{"RamRoleArn", "ram_role_arn", &oss_credential_ram_role_arn, false, false},
	{"ChainableRamRoleArn", NULL, &oss_credential_ram_role_arn, false, true},
	{"EcsRamRole", "ecs_ram_role", &oss_credential_ecs_ram_role, false, false},
	{"OIDC", "oidc_role_arn", &oss_credential_oidc, false, false},
	{"CredentialsURI", "credentials_uri", &oss_credential_uri, false, false},
	{"CloudSSO", NULL, &oss_credential_cloud_sso, false, false},
	{"External", NULL, &oss_credential_external, false, false}
};

/* Set the provider of a mode.  The CLI accepts modes in any case. */
static void
set_mode(Profile *profile, const char *mode)
{
	for (int i = 0; mode != NULL && i < lengthof(modes); i++)
		if (profile->json ? pg_strcasecmp(modes[i].json, mode) == 0 :
			modes[i].ini != NULL && strcmp(modes[i].ini, mode) == 0)
		{
			profile->provider = modes[i].provider;
			profile->chained = modes[i].chained;
			if (!modes[i].with_token)
				profile->options.security_token = NULL;
		}
}

static char **
profile_field(Profile *profile, const FieldName *field)
{
	return (char **) ((char *) &profile->options + field->offset);
}

static JsonbContainer *
find_json_profile(JsonbContainer *profiles, const char *name)
{
	for (uint32 i = 0; profiles != NULL && JsonContainerIsArray(profiles) &&
		 i < JsonContainerSize(profiles); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(profiles, i);
		char	   *found;

		if (value->type != jbvBinary)
			continue;
		found = oss_credential_json_text(value->val.binary.data, "name");
		if (found != NULL && strcmp(found, name) == 0)
			return value->val.binary.data;
	}
	return NULL;
}

/*
 * Read a profile of the CLI's file; name NULL is the current one.  Returns its
 * mode, or NULL.
 */
static char *
read_json_profile(Profile *profile, const char *text, size_t len,
				  const char *name)
{
	Jsonb	   *json = oss_credential_json(text, len);
	JsonbContainer *object;
	char	   *mode = NULL;

	if (name == NULL)
		name = oss_credential_json_text(&json->root, "current");
	if (name == NULL)
		name = "default";
	object = find_json_profile(oss_credential_json_part(&json->root, "profiles"),
							   name);
	if (object != NULL)
	{
		for (int i = 0; i < lengthof(json_fields); i++)
			*profile_field(profile, &json_fields[i]) =
				oss_credential_json_text(object, json_fields[i].name);
		mode = oss_credential_json_text(object, "mode");

		/* the CLI writes 0 for a number that is not set */
		if (profile->options.duration_seconds != NULL &&
			strcmp(profile->options.duration_seconds, "0") == 0)
			profile->options.duration_seconds = NULL;
	}
	oss_credential_json_wipe(json);
	profile->found = object != NULL;
	return mode;
}

/* Return a value of a section, or NULL if it is missing or empty. */
static char *
ini_text(const char *text, size_t len, const char *section, const char *name)
{
	const char *value;
	size_t		value_len;

	if (!oss_ini_find(text, len, section, name, &value, &value_len) ||
		value_len == 0)
		return NULL;
	return pnstrdup(value, value_len);
}

/*
 * Read a profile of the SDKs' file; name NULL is "default".  SDKs that know
 * "enable" ignore a profile in which it is false.  Returns its mode, or NULL.
 */
static char *
read_ini_profile(Profile *profile, const char *text, size_t len,
				 const char *name)
{
	const char *enable;
	bool		enabled;

	if (name == NULL)
		name = "default";
	profile->found = oss_ini_has_section(text, len, name);
	if (!profile->found)
		return NULL;
	enable = ini_text(text, len, name, "enable");
	profile->disabled = enable != NULL && parse_bool(enable, &enabled) &&
		!enabled;
	for (int i = 0; i < lengthof(ini_fields); i++)
		*profile_field(profile, &ini_fields[i]) =
			ini_text(text, len, name, ini_fields[i].name);
	return ini_text(text, len, name, "type");
}

/* Overwrite the secrets of a profile when the fetch ends. */
static void
wipe_profile_later(CredentialSource *source, const CredentialOptions *options)
{
	char	   *const secrets[] = {
		options->access_key_secret, options->security_token, options->access_token,
		options->process_command
	};

	for (int i = 0; i < lengthof(secrets); i++)
		if (secrets[i] != NULL)
			oss_credential_wipe_later(source, secrets[i], strlen(secrets[i]));
}

/* Read a profile; the contents tell the kind of file. */
static Profile *
read_profile(CredentialSource *source, const char *text, size_t len, const char *name)
{
	Profile    *profile = palloc0(sizeof(*profile));
	size_t		begin = strspn(text, " \t\r\n");
	char	   *mode;

	profile->json = text[begin] == '{';
	mode = profile->json ? read_json_profile(profile, text, len, name) :
		read_ini_profile(profile, text, len, name);

	/* before the mode drops a token that it does not use */
	wipe_profile_later(source, &profile->options);
	set_mode(profile, mode);
	return profile;
}

/* Fail the fetch if the profile cannot be used. */
static bool
profile_is_good(CredentialSource *source, const Profile *profile, const char *path)
{
	const CredentialOptions *options = &profile->options;
	bool		has_key = options->access_key_id != NULL && options->access_key_secret != NULL;
	bool		needs_key = profile->provider == &oss_credential_static ||
	(profile->provider == &oss_credential_ram_role_arn && !profile->chained);
	const char *problem = NULL;
	const char *name = NULL;

	if (profile->provider != NULL)
		name = oss_credential_options_problem(options, profile->provider->kind, &problem);
	if (name == NULL && needs_key)
		name = oss_credential_options_problem(options, CREDENTIAL_STATIC, &problem);

	if (!profile->found)
		oss_credential_fail(source, "File \"%s\" does not have the profile. It was taken for %s.",
							path, profile->json ?
							"a configuration file of the Alibaba Cloud CLI, for it begins with \"{\"" :
							"an INI file, for it does not begin with \"{\"");
	else if (profile->disabled)
		oss_credential_fail(source, "The profile in file \"%s\" is not to be used: it has enable = false.",
							path);
	else if (profile->provider == NULL)
		oss_credential_fail(source, "The profile in file \"%s\" has a mode that is not supported; AK, StsToken, RamRoleArn, ChainableRamRoleArn, EcsRamRole, OIDC, CredentialsURI, CloudSSO and External are (access_key, sts, ram_role_arn, ecs_ram_role, oidc_role_arn and credentials_uri in an INI file).",
							path);
	else if (name != NULL)
		oss_credential_fail(source, "The %s in the profile in file \"%s\" cannot be used. %s",
							name, path, problem);
	else if (needs_key && !has_key)
		oss_credential_fail(source, "The profile in file \"%s\" has no access_key_id and access_key_secret.",
							path);
	else if (profile->chained && options->source_profile == NULL)
		oss_credential_fail(source, "The profile in file \"%s\" has no source_profile.",
							path);
	else
		return true;
	return false;
}

/*
 * Continue the fetch with the profile's provider, or fail it.  A chained
 * profile names the one whose key assumes its role, and so on; a profile that is
 * its own source would be too long a chain too.
 */
static void
use_profile(CredentialSource *source, const char *text, size_t len,
			const char *name, const char *path)
{
	for (int i = 0; i < PROFILES_MAX; i++)
	{
		Profile    *profile = read_profile(source, text, len, name);

		if (!profile_is_good(source, profile, path))
			return;
		if (profile->provider == &oss_credential_ram_role_arn)
			oss_credential_use_by(source, profile->provider, &profile->options);
		if (!profile->chained)
		{
			oss_credential_delegate(source,
									profile->provider == &oss_credential_ram_role_arn ?
									&oss_credential_static : profile->provider,
									&profile->options);
			return;
		}
		name = profile->options.source_profile;
	}
	oss_credential_fail(source, "The chain of profiles in file \"%s\" is a circle, or has more than %d profiles.",
						path, PROFILES_MAX);
}

static void
config_file_step(CredentialSource *source)
{
	CredentialOptions options = *source->fetch_options;
	const char *name = options.profile;
	const char *problem;
	char	   *text;
	size_t		len;

	if (options.config_file == NULL)
		options.config_file = getenv("ALIBABA_CLOUD_CONFIG_FILE");
	if (options.config_file == NULL)
		options.config_file = pstrdup(DEFAULT_FILE);
	if (oss_credential_options_problem(&options, CREDENTIAL_CONFIG_FILE,
									   &problem) != NULL)
	{
		oss_credential_fail(source, "The name of the configuration file cannot be used. %s",
							problem);
		return;
	}
	text = oss_credential_file_read(source, options.config_file, true, &len);
	if (text == NULL)
		return;
	oss_credential_wipe_later(source, text, len);
	if (name == NULL)
		name = getenv("ALIBABA_CLOUD_PROFILE");
	use_profile(source, text, len, name, options.config_file);
}

const CredentialProvider oss_credential_config_file = {
	CREDENTIAL_CONFIG_FILE, true, config_file_step, 0
};
