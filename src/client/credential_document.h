/*-------------------------------------------------------------------------
 * credential_document.h
 *	  Reading keys from files and JSON documents.
 *
 * For the providers alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_DOCUMENT_H
#define OSS_CREDENTIAL_DOCUMENT_H

#include "client/credential_fetch.h"
#include "utils/jsonb.h"

/*
 * Read a file into CurrentMemoryContext, without byte order mark,
 * NUL-terminated.  With private_only, owner and mode must be those of a
 * private key.  Returns NULL after failing the fetch if the file cannot be
 * used.
 */
extern char *oss_credential_file_read(CredentialSource *source, const char *path,
									  bool private_only, size_t *len);

/*
 * Parse a JSON document in UTF-8, in any database encoding and without a
 * transaction; values are reliable only if they are ASCII.  Errors: class 22.
 * oss_credential_json_wipe() overwrites the result.
 */
extern Jsonb *oss_credential_json(const char *bytes, size_t len);
extern void oss_credential_json_wipe(Jsonb *json);

/* Parse a time of RFC 3339, ignoring fractions of seconds. */
extern bool oss_credential_expiration_read(const char *text, TimestampTz *when);

/*
 * Return a scalar field of an object as palloc'd text, or an object or array
 * in it; NULL if there is none or object is NULL.
 */
extern char *oss_credential_json_text(JsonbContainer *object, const char *name);
extern JsonbContainer *oss_credential_json_part(JsonbContainer *object,
												const char *name);

/*
 * Check that the last step's response has status 200.  Returns false after
 * failing the fetch otherwise; service names the service in the failure's
 * detail.
 */
extern bool oss_credential_answered(CredentialSource *source, const char *service);

/*
 * End the fetch with the key in the last step's response: in its member
 * "part", or at top level if that is NULL.  With need_code its Code must be
 * Success.
 */
extern void oss_credential_deliver_answer(CredentialSource *source,
										  const char *service, const char *part,
										  bool need_code);

#endif							/* OSS_CREDENTIAL_DOCUMENT_H */
