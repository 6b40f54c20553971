/*-------------------------------------------------------------------------
 * credential_option.h
 *	  The options of user mappings, and the setting, for sources of access
 *	  keys.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_OPTION_H
#define OSS_CREDENTIAL_OPTION_H

#include "nodes/pg_list.h"
#include "utils/guc.h"

/* Maximal lengths of an access key id and of its secret, in bytes. */
#define CREDENTIAL_ID_MAX	128
#define CREDENTIAL_SECRET_MAX	256

/* Length of the digest of a server's and mapping's catalog rows, in bytes. */
#define CREDENTIAL_DIGEST_LEN	32

typedef enum CredentialKind
{
	CREDENTIAL_STATIC,
	CREDENTIAL_ENVIRONMENT,
	CREDENTIAL_ECS_RAM_ROLE,
	CREDENTIAL_OIDC,
	CREDENTIAL_URI,
	CREDENTIAL_CONFIG_FILE,
	CREDENTIAL_RAM_ROLE_ARN,
	CREDENTIAL_DEFAULT,

	/* modes of profiles only */
	CREDENTIAL_EXTERNAL,
	CREDENTIAL_CLOUD_SSO
} CredentialKind;

/* Those that a user mapping can choose. */
#define CREDENTIAL_KINDS	(CREDENTIAL_DEFAULT + 1)

/*
 * The values that a source needs: options of a mapping, or of a profile of a
 * configuration file; NULL if not given.
 */
typedef struct CredentialOptions
{
	char	   *access_key_id;
	char	   *access_key_secret;
	char	   *security_token;
	char	   *role_name;
	char	   *disable_imds_v1;
	char	   *role_arn;
	char	   *oidc_provider_arn;
	char	   *oidc_token_file;
	char	   *role_session_name;
	char	   *duration_seconds;
	char	   *sts_endpoint;
	char	   *sts_region;
	char	   *enable_vpc;
	char	   *credentials_uri;
	char	   *config_file;
	char	   *profile;
	char	   *role_source;
	char	   *source_role_arn;	/* roles on the way, separated by commas */
	char	   *external_id;
	char	   *policy;
	char	   *ca_file;
	char	   *connect_timeout_ms;
	char	   *timeout_ms;
	char	   *proxy_user;
	char	   *proxy_password;

	/* of profiles only */
	char	   *source_profile;
	char	   *process_command;
	char	   *sign_in_url;
	char	   *account_id;
	char	   *access_config;
	char	   *access_token;
	char	   *access_token_expires;
} CredentialOptions;

/* Return the name of a kind of source, as in the option credential_source. */
extern const char *oss_credential_kind_name(CredentialKind kind);

/*
 * Return the kind of source that a mapping's options (DefElems) choose;
 * static if they do not choose.
 */
extern CredentialKind oss_credential_kind(List *options);

/* Return the kind of the source of the key that assumes a role. */
extern CredentialKind oss_credential_role_source(const CredentialOptions *options);

/*
 * Return the first role of a legal source_role_arn, palloc'd, and set *list to
 * the rest; NULL at the end, where *list is NULL.
 */
extern char *oss_credential_next_role(const char **list);

/*
 * Copy a mapping's options (DefElems) into context, ignoring unknown ones;
 * overwrite the secrets among them.
 */
extern void oss_credential_options_read(CredentialOptions *options,
										MemoryContext context, List *defelems);
extern void oss_credential_options_wipe(CredentialOptions *options);

/*
 * Find the first option of a kind of source whose value is illegal.  Returns
 * its name and sets *problem to a sentence, or returns NULL.
 */
extern const char *oss_credential_options_problem(const CredentialOptions *options,
												  CredentialKind kind,
												  const char **problem);

/* Return the value of a legal Boolean; false for NULL. */
extern bool oss_credential_option_is_true(const char *value);

/* Is an environment variable of the database server "true", in any case? */
extern bool oss_credential_environment_is_true(const char *name);

/*
 * Each returns NULL if the value can be used in a request, else the problem
 * as a sentence for DETAIL (a static string).
 */
extern const char *oss_credential_id_problem(const char *value);
extern const char *oss_credential_secret_problem(const char *value);
extern const char *oss_credential_token_problem(const char *value);

/*
 * Return the kinds of source that an option belongs to, as a set of bits; 0 if
 * there is no such option.
 */
extern int	oss_credential_option_kinds(const char *name);

/* Return the name of the i-th option (from 0), NULL after the last. */
extern const char *oss_credential_option_name(int i);

/*
 * Check one option of a user mapping, whose name must be known.  Errors:
 * 22023 bad value, 42501 it may be set by superusers only.
 */
extern void oss_credential_option_check(const char *name, const char *value,
										bool superuser_defines);

/*
 * In credential_mapping.c: check that a mapping's options go together.  Errors:
 * 22023.
 */
extern void oss_credential_options_check(List *options);

/* Does the mapping use the machine's identity, files or environment? */
extern bool oss_credential_uses_machine(List *options);

/* Must the role that uses the mapping be a superuser? */
extern bool oss_credential_needs_superuser(List *options);

/*
 * The setting oss_labels.metadata_endpoint, the URL of the metadata service
 * of ECS, and its check hook.  Only tests change it.
 */
#define OSS_METADATA_ENDPOINT	"http://100.100.100.200"
extern char *oss_metadata_endpoint;
extern bool oss_credential_metadata_endpoint_check(char **newval, void **extra,
												   GucSource source);

#endif							/* OSS_CREDENTIAL_OPTION_H */
