/*-------------------------------------------------------------------------
 * credential_fetch.h
 *	  A source of credentials and the fetch that renews its key.
 *
 * For credential*.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_FETCH_H
#define OSS_CREDENTIAL_FETCH_H

#include "client/credential_cache.h"
#include "client/failure.h"
#include "client/http.h"

typedef struct CredentialSource CredentialSource;

/*
 * A kind of source.  step() runs one step of a fetch: the first with
 * source->step 0, each further one after the transfer of the step before.  It
 * runs in fetch_context, may throw, and calls exactly one of
 * oss_credential_send(), oss_credential_delegate(), oss_credential_deliver()
 * and oss_credential_fail().
 */
typedef struct CredentialProvider
{
	CredentialKind kind;
	bool		renewable;		/* fetching again can give another key */
	void		(*step) (CredentialSource *source);
} CredentialProvider;

/*
 * A source of credentials.  While fetching is not NULL, neither is transfer,
 * so that a later oss_http_turn() ends it.  All memory of a fetch is in
 * fetch_context, which outlives the query that started the fetch.
 */
struct CredentialSource
{
	MemoryContext context;
	const CredentialProvider *provider;
	CredentialOptions options;
	CredentialKey key;

	/* sharing the key with other processes */
	CredentialIdentity identity;
	CredentialTicket ticket;
	bool		waiting;		/* waiting for another process's fetch */

	/* the request of oss_credential_want() */
	TimestampTz wanted_until;	/* key must live until then; 0: any */
	TimestampTz wanted_at;		/* last renewal because of that */

	/* the fetch under way */
	MemoryContext fetch_context;
	const CredentialProvider *fetching; /* provider or the one it delegated
										 * to; NULL: no fetch */
	const CredentialOptions *fetch_options;
	HttpTransfer *transfer;
	bool		transfer_done;
	bool		transfer_repeated;	/* this step was repeated already */
	HttpSpec	spec;			/* of transfer */
	int			step;
	TimestampTz asked_at;		/* last call of oss_credential_get() */
	char	   *metadata_token; /* ECS: the token of the hardened mode */

	/* the last failed fetch */
	MemoryContext failure_context;
	const OssFailure *failure;
	TimestampTz failed_at;

	/* the last key refused by the service */
	char		refused_id[CREDENTIAL_ID_MAX + 1];
	TimestampTz refused_at;
};

/*
 * Continue the fetch under way as far as possible without waiting, or start
 * one.
 */
extern void oss_credential_fetch(CredentialSource *source, TimestampTz now);

/* Cancel the fetch under way, if any. */
extern void oss_credential_fetch_end(CredentialSource *source);

/* Remember a failed fetch; detail must be allocated in failure_context. */
extern void oss_credential_remember_failure(CredentialSource *source,
											const char *detail,
											TimestampTz failed_at);

/* Does the source have a key that has not expired? */
extern bool oss_credential_key_usable(const CredentialSource *source,
									  TimestampTz now);

/* Overwrite and free a key. */
extern void oss_credential_key_wipe(CredentialKey *key);

/*
 * For providers: end a step by sending a request; step "next" runs when the
 * transfer is done.  Everything that spec points to must live in
 * fetch_context.
 */
extern void oss_credential_send(CredentialSource *source, const HttpSpec *spec,
								int next);

/*
 * For providers: end a step by starting another provider with these options.
 */
extern void oss_credential_delegate(CredentialSource *source,
									const CredentialProvider *provider,
									const CredentialOptions *options);

/*
 * For providers: end the fetch with a key, or fail it if the key is malformed
 * or has expired.  token may be NULL or "", expires_at DT_NOEND.
 */
extern void oss_credential_deliver(CredentialSource *source, const char *id,
								   const char *secret, const char *token,
								   TimestampTz expires_at);

/*
 * For providers: end the fetch with a failure, whose DETAIL is formatted here
 * and must not contain secrets.
 */
extern void oss_credential_fail(CredentialSource *source, const char *format,...)
			pg_attribute_printf(2, 3);

/* The providers, one per kind of source. */
extern const CredentialProvider oss_credential_static;
extern const CredentialProvider oss_credential_environment;
extern const CredentialProvider oss_credential_ecs_ram_role;
extern const CredentialProvider oss_credential_oidc;
extern const CredentialProvider oss_credential_uri;
extern const CredentialProvider oss_credential_config_file;

#endif							/* OSS_CREDENTIAL_FETCH_H */
