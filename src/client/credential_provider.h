/*-------------------------------------------------------------------------
 * credential_provider.h
 *	  The providers, one per kind of source.
 *
 * For credential*.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_PROVIDER_H
#define OSS_CREDENTIAL_PROVIDER_H

#include "client/credential_fetch.h"

extern const CredentialProvider oss_credential_static;
extern const CredentialProvider oss_credential_environment;
extern const CredentialProvider oss_credential_ecs_ram_role;
extern const CredentialProvider oss_credential_oidc;
extern const CredentialProvider oss_credential_uri;
extern const CredentialProvider oss_credential_config_file;

#endif							/* OSS_CREDENTIAL_PROVIDER_H */
