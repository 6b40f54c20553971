/*-------------------------------------------------------------------------
 * credential_document.h
 *	  Read keys out of files and JSON documents.
 *
 * Middle floor, for the providers alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_DOCUMENT_H
#define OSS_CREDENTIAL_DOCUMENT_H

#include "client/credential_fetch.h"
#include "utils/jsonb.h"

/* Bytes of a credential file, token file or response that are accepted. */
#define CREDENTIAL_DOCUMENT_MAX	65536

/* Read a file, or fail the fetch and return NULL. */
extern char *oss_credential_file_read(CredentialSource *source, const char *path,
									  bool private_only, size_t *len);

/* Parse and overwrite a JSON document.  Errors: a data exception. */
extern Jsonb *oss_credential_json(const char *bytes, size_t len);
extern void oss_credential_json_wipe(Jsonb *json);

/* Return a scalar field of an object as text, or an object or array in it. */
extern char *oss_credential_json_text(JsonbContainer *object, const char *name);
extern JsonbContainer *oss_credential_json_part(JsonbContainer *object,
												const char *name);

/* Check that the last step's response has status 200, or fail the fetch. */
extern bool oss_credential_answered(CredentialSource *source, const char *service);

/* End the fetch with the key in the last step's response. */
extern void oss_credential_deliver_answer(CredentialSource *source,
										  const char *service, const char *part,
										  bool need_code);

#endif							/* OSS_CREDENTIAL_DOCUMENT_H */
