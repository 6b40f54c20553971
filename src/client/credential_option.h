/*-------------------------------------------------------------------------
 * credential_option.h
 *	  The options of user mappings, and the setting, that say where access keys
 *	  come from.
 *
 * Middle floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_OPTION_H
#define OSS_CREDENTIAL_OPTION_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/guc.h"

/* Bytes of an access key id and of its secret. */
#define CREDENTIAL_ID_MAX	128
#define CREDENTIAL_SECRET_MAX	256

/* Bytes of a digest of the catalog rows of a server and a mapping. */
#define CREDENTIAL_DIGEST_LEN	32

/* The kinds of sources, in the order of the option's documentation. */
typedef enum CredentialKind
{
	CREDENTIAL_STATIC,
	CREDENTIAL_ENVIRONMENT,
	CREDENTIAL_ECS_RAM_ROLE,
	CREDENTIAL_OIDC,
	CREDENTIAL_URI,
	CREDENTIAL_CONFIG_FILE
} CredentialKind;

#define CREDENTIAL_KINDS	(CREDENTIAL_CONFIG_FILE + 1)

/*
 * The options of a mapping, or of a profile of a configuration file: NULL
 * where not given.  Names as in the mapping.
 */
typedef struct CredentialOptions
{
	char	   *credential_source;
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
	char	   *superuser_required;
} CredentialOptions;

/* Name of a kind of source, as in the option credential_source. */
extern const char *oss_credential_kind_name(CredentialKind kind);

/* The kind of source that the options of a mapping choose. */
extern CredentialKind oss_credential_kind(List *options);

/* Copy the options of a mapping into context; overwrite their secrets. */
extern void oss_credential_options_read(CredentialOptions *options,
										MemoryContext context, List *defelems);
extern void oss_credential_options_wipe(CredentialOptions *options);

/*
 * Find the first unusable option of a kind of source.  Returns its name and sets
 * *problem, or returns NULL.
 */
extern const char *oss_credential_options_problem(const CredentialOptions *options,
												  CredentialKind kind,
												  const char **problem);

/* Return whether a valid Boolean, or NULL, is true. */
extern bool oss_credential_option_is_true(const char *value);

/*
 * Return NULL when the value can be used in a request, otherwise the problem as
 * a sentence for DETAIL (a static string).
 */
extern const char *oss_credential_id_problem(const char *value);
extern const char *oss_credential_secret_problem(const char *value);
extern const char *oss_credential_token_problem(const char *value);

/* Name of the i-th option that belongs to credentials; NULL after the last. */
extern const char *oss_credential_option_name(int i);

/* Check one option of a user mapping.  Errors: 22023, 42501. */
extern void oss_credential_option_check(const char *name, const char *value,
										bool superuser_defines);

/* Check the options of a mapping together.  Errors: 22023. */
extern void oss_credential_options_check(List *options);

/* Do a mapping's options use the machine's identity, files or environment? */
extern bool oss_credential_uses_machine(List *options);

/* Must the role that uses the mapping be a superuser? */
extern bool oss_credential_needs_superuser(List *options);

/*
 * The setting oss_labels.metadata_endpoint: the address of the metadata service
 * of ECS, which only tests change.
 */
#define OSS_METADATA_ENDPOINT	"http://100.100.100.200"
extern char *oss_metadata_endpoint;
extern bool oss_credential_metadata_endpoint_check(char **newval, void **extra,
												   GucSource source);

#endif							/* OSS_CREDENTIAL_OPTION_H */
