/*-------------------------------------------------------------------------
 * credential.h
 *	  Where access keys come from, and the cache of those that expire.
 *
 * Middle floor.  protocol/README.md 5.
 *
 * A source is made from the options of a user mapping.  oss_credential_get()
 * answers at once when it has a key that is fresh enough; otherwise a fetch
 * runs on the process's event loop and the request waits in its state machine
 * (cancel works, other requests go on).  Secrets are wiped when dropped.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_H
#define OSS_CREDENTIAL_H

#include "postgres.h"

#include "client/credential_option.h"
#include "protocol/signature_v4.h"
#include "utils/timestamp.h"

/*
 * A request that waits for credentials asks again after this time at the
 * latest: it must notice when another process that fetches them dies.
 */
#define CREDENTIAL_POLL_MS	500

struct OssFailure;

typedef struct CredentialSource CredentialSource;

typedef enum CredentialState
{
	CREDENTIAL_READY,
	CREDENTIAL_PENDING,			/* being fetched: ask again after a turn */
	CREDENTIAL_FAILED
} CredentialState;

/*
 * Make the source that the options (DefElems of a user mapping, already
 * validated) describe, in context.  Its secrets are overwritten when that is
 * reset or deleted.  Errors: 22023.
 */
extern CredentialSource *oss_credential_source_make(MemoryContext context,
													List *options);

/*
 * Let a source share its keys with the processes that make the same source from
 * the same mapping.  digest is of all that the key depends on, read at the time
 * read_at by oss_clock_us(); 0 if a rollback may undo it, then nothing is
 * shared.
 */
extern void oss_credential_source_share(CredentialSource *source, Oid mapping,
										const uint8 *digest, int64 read_at);

/* Is a source that of this mapping, with this digest? */
extern bool oss_credential_source_is_of(const CredentialSource *source, Oid mapping,
										const uint8 *digest);

/* Take over the key of another source, if it is one of the same mapping. */
extern void oss_credential_source_inherit(CredentialSource *source,
										  const CredentialSource *from);

/*
 * Ask for credentials.  READY: *out points into the source and is valid until
 * the next call; PENDING: a fetch is under way, here or in another process, and
 * the caller asks again after each oss_http_turn() of CREDENTIAL_POLL_MS at most;
 * FAILED: *failure explains (valid like *out until the next
 * call; it is remembered for a second, so that a thousand requests do not
 * hammer the metadata service).  Never throws but for lack of memory.
 */
extern CredentialState oss_credential_get(CredentialSource *source,
										  OssCredentials *out,
										  const struct OssFailure **failure);

/*
 * Have oss_credential_get() look for a key that lives until then (0: any), unless
 * the one at hand does, cannot be renewed, or was renewed for that within the
 * last minute.  The old one stays good meanwhile: oss_credential_wanted() says
 * whether it is worth while to ask again after a turn.
 */
extern void oss_credential_want(CredentialSource *source, TimestampTz until);
extern bool oss_credential_wanted(const CredentialSource *source);

/* Return when the key at hand ends as far as is known, DT_NOEND if never. */
extern TimestampTz oss_credential_ends_at(const CredentialSource *source);

/*
 * The service refused the key that oss_credential_get() gave with key_id: forget it
 * unless a newer one is there already.  Returns whether asking again can give
 * another one (false for static keys).
 */
extern bool oss_credential_refused(CredentialSource *source, const char *key_id);

/* Name of the source as in the option, for the doctor: static, environment… */
extern const char *oss_credential_source_name(const CredentialSource *source);

#endif							/* OSS_CREDENTIAL_H */
