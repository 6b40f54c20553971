/*-------------------------------------------------------------------------
 * credential.h
 *	  Sources of access keys, and the keys that are cached and renewed.
 *
 * protocol/README.md 5.
 *
 * A source is made from the options of a user mapping.  oss_credential_get()
 * returns a cached key at once; if there is none, a fetch runs on the event
 * loop while the request waits in its state machine, so that cancel works and
 * other requests go on.  Secrets are overwritten before their memory is freed.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_H
#define OSS_CREDENTIAL_H

#include "client/credential_option.h"
#include "client/http.h"
#include "protocol/signature_v4.h"
#include "utils/timestamp.h"

struct OssFailure;

typedef struct CredentialSource CredentialSource;

typedef enum CredentialState
{
	CREDENTIAL_READY,
	CREDENTIAL_PENDING,			/* being fetched: ask again after a turn of
								 * the loop */
	CREDENTIAL_FAILED
} CredentialState;

/*
 * Make the source described by options (validated DefElems of a user
 * mapping), in a context of its own below "context".  Resetting or deleting
 * that overwrites the secrets.  Errors: 22023.
 */
extern CredentialSource *oss_credential_source_make(MemoryContext context,
													List *options);

/*
 * Complete a proxy by the mapping's user and password, and use it for fetches.
 * proxy lives as long as the source, and points into it from now on.
 */
extern void oss_credential_source_use_proxy(CredentialSource *source, HttpProxy *proxy);

/*
 * Share the source's keys with other processes that use the same mapping with
 * the same digest.  digest covers everything that the key depends on; read_at
 * is the oss_clock_us() at which that was read, or 0 if a rollback may undo
 * it, so that the keys must not be shared.
 */
extern void oss_credential_source_share(CredentialSource *source, Oid mapping,
										const uint8 *digest, int64 read_at);

/* Was the source made for this mapping, with this digest? */
extern bool oss_credential_source_is_of(const CredentialSource *source, Oid mapping,
										const uint8 *digest);

/* Copy the key of another source, if that has the same mapping and digest. */
extern void oss_credential_source_inherit(CredentialSource *source,
										  const CredentialSource *from);

/*
 * Get credentials.  READY: *out points into the source, valid until the next
 * call.  PENDING: this or another process is fetching them; ask again after
 * each oss_http_turn(), whose timeout is oss_credential_poll_ms() at most.  FAILED:
 * *failure explains, valid until the next call; the failure is returned for a
 * second before a new fetch, so that the metadata service is not flooded.
 * Throws only when out of memory.
 */
extern CredentialState oss_credential_get(CredentialSource *source,
										  OssCredentials *out,
										  const struct OssFailure **failure);

/*
 * Have oss_credential_get() fetch a key that lives until then (0: any key),
 * unless the present one does, cannot be renewed, or was renewed for this
 * reason within the last minute.  The present key stays usable meanwhile;
 * oss_credential_wanted() tells whether the longer-lived one is being
 * fetched, so that it is worth asking again after a turn.
 */
extern void oss_credential_want(CredentialSource *source, TimestampTz until);
extern bool oss_credential_wanted(const CredentialSource *source);

/*
 * Return when the present key expires: DT_NOEND if never or unknown,
 * DT_NOBEGIN without a key.
 */
extern TimestampTz oss_credential_ends_at(const CredentialSource *source);

/*
 * Discard the key with this id, which the service refused, unless a newer one
 * has replaced it.  Returns whether oss_credential_get() may give another
 * key: false for static keys, and when a newly fetched key was the same.
 */
extern bool oss_credential_refused(CredentialSource *source, const char *key_id);

/*
 * Say whether the role that uses the source may run programs: it is a
 * superuser.
 */
extern void oss_credential_source_allow_programs(CredentialSource *source, bool allow);

/* Return after how many ms, at the latest, to ask for a pending key again. */
extern int	oss_credential_poll_ms(const CredentialSource *source);

/* Return the source's name as in the option credential_source. */
extern const char *oss_credential_source_name(const CredentialSource *source);

#endif							/* OSS_CREDENTIAL_H */
