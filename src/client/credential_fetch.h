/*-------------------------------------------------------------------------
 * credential_fetch.h
 *	  A source of credentials and the fetch that renews its key.
 *
 * Middle floor, for credential*.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_FETCH_H
#define OSS_CREDENTIAL_FETCH_H

#include "client/credential_cache.h"
#include "client/failure.h"
#include "client/http.h"

typedef struct CredentialSource CredentialSource;

/*
 * A kind of source.  step() does one step of a fetch: the first with
 * source->step 0, the next ones when the transfer that it started is done.
 * It runs in the fetch's memory context, may throw, and does exactly one of
 * oss_credential_send(), oss_credential_delegate(), oss_credential_deliver() and
 * oss_credential_fail().
 */
typedef struct CredentialProvider
{
	CredentialKind kind;
	bool		renewable;		/* asking again can give another key */
	void		(*step) (CredentialSource *source);
} CredentialProvider;

/*
 * Invariant: while fetching is not NULL, transfer is not NULL and belongs to
 * fetch_context, so that some later oss_http_turn() ends it; everything of a
 * fetch lives in fetch_context, which outlives the query that began it.
 */
struct CredentialSource
{
	MemoryContext context;
	const CredentialProvider *provider;
	CredentialOptions options;
	CredentialKey key;

	/* the processes that share the key */
	CredentialIdentity identity;
	CredentialTicket ticket;
	bool		waiting;		/* for another process's fetch */

	/* what oss_credential_want() asked for */
	TimestampTz wanted_until;	/* a key that lives so long; 0: any */
	TimestampTz wanted_at;		/* when a key was fetched anew for that */

	/* the fetch under way */
	MemoryContext fetch_context;
	const CredentialProvider *fetching; /* provider, or the one it delegated
										 * to; NULL without a fetch */
	const CredentialOptions *fetch_options;
	HttpTransfer *transfer;
	bool		transfer_done;
	bool		transfer_repeated;	/* this step has had its second try */
	HttpSpec	spec;			/* what transfer was started with */
	int			step;
	TimestampTz asked_at;		/* last call of oss_credential_get() */
	char	   *metadata_token; /* ECS: the token of the hardened mode */

	/* the last fetch that failed */
	MemoryContext failure_context;
	const OssFailure *failure;
	TimestampTz failed_at;

	/* the last key refused by the service */
	char		refused_id[CREDENTIAL_ID_MAX + 1];
	TimestampTz refused_at;
};

/* Go on with the fetch under way, or begin one. */
extern void oss_credential_fetch(CredentialSource *source, TimestampTz now);

/* Give up the fetch under way, if any. */
extern void oss_credential_fetch_end(CredentialSource *source);

/* Remember why there is no key; detail lives in the failure's context. */
extern void oss_credential_remember_failure(CredentialSource *source,
											const char *detail,
											TimestampTz failed_at);

/* Return whether the source has a key that has not expired. */
extern bool oss_credential_key_usable(const CredentialSource *source,
									  TimestampTz now);

/* Overwrite and free a key. */
extern void oss_credential_key_wipe(CredentialKey *key);

/*
 * For providers: end a step by sending a request, and go on with step next when
 * it is done.  What spec points to must live in the fetch's context.
 */
extern void oss_credential_send(CredentialSource *source, const HttpSpec *spec,
								int next);

/* End a step by letting another provider begin, with other options. */
extern void oss_credential_delegate(CredentialSource *source,
									const CredentialProvider *provider,
									const CredentialOptions *options);

/*
 * End the fetch with a key, or fail it when the key is malformed or expired.
 * token NULL or "" is none, expires_at DT_NOEND is never.
 */
extern void oss_credential_deliver(CredentialSource *source, const char *id,
								   const char *secret, const char *token,
								   TimestampTz expires_at);

/* End the fetch with a failure, for DETAIL; no secret may be in it. */
extern void oss_credential_fail(CredentialSource *source, const char *format,...)
			pg_attribute_printf(2, 3);

#endif							/* OSS_CREDENTIAL_FETCH_H */
