/*-------------------------------------------------------------------------
 * credential_file.c
 *	  Credentials from a profile of the configuration file of the Alibaba
 *	  Cloud CLI (JSON) or of the SDKs (INI).
 *
 * protocol/README.md 5.2.  A profile either holds a key or names another
 * source, whose provider continues the fetch.  No message shows contents of the
 * file.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_document.h"
#include "protocol/ini.h"
#include "utils/builtins.h"

#define DEFAULT_FILE	"~/.aliyun/config.json"

/*
 * A profile of either kind of file, as the provider and options of an
 * equivalent user mapping.
 */
typedef struct Profile
{
	const CredentialProvider *provider; /* NULL: unsupported mode */
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
	FIELD("credentials_uri", credentials_uri)
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
	FIELD("credentials_uri", credentials_uri)
};

/* A mode, as the JSON file and the INI file call it. */
typedef struct ModeName
{
	const char *json;
	const char *ini;
	const CredentialProvider *provider;
	bool		with_token;
} ModeName;

static const ModeName modes[] = {
	{"AK", "access_key", &oss_credential_static, false},
	{"StsToken", "sts", &oss_credential_static, true},
	{"EcsRamRole", "ecs_ram_role", &oss_credential_ecs_ram_role, false},
	{"OIDC", "oidc_role_arn", &oss_credential_oidc, false},
	{"CredentialsURI", "credentials_uri", &oss_credential_uri, false}
};

/* Set the provider of a mode.  The CLI accepts modes in any case. */
static void
set_mode(Profile *profile, const char *mode)
{
	for (int i = 0; mode != NULL && i < lengthof(modes); i++)
		if (profile->json ? pg_strcasecmp(modes[i].json, mode) == 0 :
			strcmp(modes[i].ini, mode) == 0)
		{
			profile->provider = modes[i].provider;
			if (profile->provider == &oss_credential_static &&
				!modes[i].with_token)
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

/* Read a profile of the CLI's file; name NULL is the current one. */
static void
read_json_profile(Profile *profile, const char *text, size_t len,
				  const char *name)
{
	Jsonb	   *json = oss_credential_json(text, len);
	JsonbContainer *object;

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
		set_mode(profile, oss_credential_json_text(object, "mode"));

		/* the CLI writes 0 for a number that is not set */
		if (profile->options.duration_seconds != NULL &&
			strcmp(profile->options.duration_seconds, "0") == 0)
			profile->options.duration_seconds = NULL;
	}
	oss_credential_json_wipe(json);
	profile->found = object != NULL;
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
 * "enable" ignore a profile in which it is false.
 */
static void
read_ini_profile(Profile *profile, const char *text, size_t len,
				 const char *name)
{
	const char *enable;
	bool		enabled;

	if (name == NULL)
		name = "default";
	profile->found = oss_ini_has_section(text, len, name);
	if (!profile->found)
		return;
	enable = ini_text(text, len, name, "enable");
	profile->disabled = enable != NULL && parse_bool(enable, &enabled) &&
		!enabled;
	for (int i = 0; i < lengthof(ini_fields); i++)
		*profile_field(profile, &ini_fields[i]) =
			ini_text(text, len, name, ini_fields[i].name);
	set_mode(profile, ini_text(text, len, name, "type"));
}

/* Read a profile; the contents tell the kind of file. */
static void
read_profile(Profile *profile, const char *text, size_t len, const char *name)
{
	size_t		begin = strspn(text, " \t\r\n");

	if (name == NULL)
		name = getenv("ALIBABA_CLOUD_PROFILE");
	profile->json = text[begin] == '{';
	if (profile->json)
		read_json_profile(profile, text, len, name);
	else
		read_ini_profile(profile, text, len, name);
}

/* Continue the fetch with the profile's provider, or fail it. */
static void
use_profile(CredentialSource *source, Profile *profile, const char *path)
{
	const char *problem = NULL;
	const char *name = NULL;

	if (profile->provider != NULL)
		name = oss_credential_options_problem(&profile->options,
											  profile->provider->kind,
											  &problem);

	if (!profile->found)
		oss_credential_fail(source, "File \"%s\" does not have the profile. It was taken for %s.",
							path, profile->json ?
							"a configuration file of the Alibaba Cloud CLI, for it begins with \"{\"" :
							"an INI file, for it does not begin with \"{\"");
	else if (profile->disabled)
		oss_credential_fail(source, "The profile in file \"%s\" is not to be used: it has enable = false.",
							path);
	else if (profile->provider == NULL)
		oss_credential_fail(source, "The profile in file \"%s\" has a mode that is not supported; AK, StsToken, EcsRamRole, OIDC and CredentialsURI are (access_key, sts, ecs_ram_role, oidc_role_arn and credentials_uri in an INI file).",
							path);
	else if (name != NULL)
		oss_credential_fail(source, "The %s in the profile in file \"%s\" cannot be used. %s",
							name, path, problem);
	else if (profile->provider == &oss_credential_static &&
			 (profile->options.access_key_id == NULL ||
			  profile->options.access_key_secret == NULL))
		oss_credential_fail(source, "The profile in file \"%s\" has no access_key_id and access_key_secret.",
							path);
	else
		oss_credential_delegate(source, profile->provider, &profile->options);
}

static void
config_file_step(CredentialSource *source)
{
	CredentialOptions options = *source->fetch_options;
	Profile    *profile = palloc0(sizeof(*profile));
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
	read_profile(profile, text, len, options.profile);
	use_profile(source, profile, options.config_file);
	oss_credential_options_wipe(&profile->options);
	explicit_bzero(text, len);
}

const CredentialProvider oss_credential_config_file = {
	CREDENTIAL_CONFIG_FILE, true, config_file_step
};
