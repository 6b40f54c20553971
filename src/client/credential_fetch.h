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
#include "protocol/error_xml.h"

/* Largest credential file, token file or response, in bytes. */
#define CREDENTIAL_DOCUMENT_MAX	65536

typedef struct CredentialSource CredentialSource;

/*
 * A kind of source.  step() runs one step of a fetch: the first with
 * source->step 0, each further one after the transfer of the step before, or
 * again and again while source->program runs.  It runs in fetch_context, may
 * throw, and, unless it leaves a program running, calls exactly one of
 * oss_credential_send(), oss_credential_delegate(), oss_credential_deliver()
 * and oss_credential_fail().
 */
typedef struct CredentialProvider
{
	CredentialKind kind;
	bool		renewable;		/* fetching again can give another key */
	void		(*step) (CredentialSource *source);
	int			signed_step;	/* the step that sends a request signed with
								 * source->base, each attempt anew; 0: none */
} CredentialProvider;

/*
 * Something to be done with the key that the steps of a fetch give: the last
 * one pushed is the first one done.
 */
typedef struct CredentialUse
{
	const CredentialProvider *provider;
	const CredentialOptions *options;
	struct CredentialUse *next;
} CredentialUse;

/*
 * A source of credentials.  While fetching is not NULL, neither is transfer, so
 * that a later oss_http_turn() ends it, or program.  All memory of a fetch is in
 * fetch_context, which outlives the query that started the fetch.
 */
struct CredentialSource
{
	MemoryContext context;
	const CredentialProvider *provider;
	const CredentialProvider *const *providers; /* by CredentialKind */
	CredentialOptions options;
	bool		uses_machine;	/* may read files and the environment */
	bool		may_run_programs;	/* the role is a superuser */
	const HttpProxy *proxy;		/* for all but the metadata service */
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
	TimestampTz resume_at;		/* 0, or when a throttled step is repeated */
	int			throttled;		/* times that this step was */
	struct OssProgram *program; /* External: runs, or has ended */
	bool		from_program;	/* the key, or the one it is fetched with */
	char	   *metadata_token; /* ECS: the token of the hardened mode */
	CredentialUse *uses;		/* of the key that is being fetched */
	const CredentialProvider *fallback; /* its fallback_step is run if a step
										 * fails; or NULL */
	int			fallback_step;
	CredentialUse *fallback_uses;	/* uses when it was set */
	const CredentialOptions *fallback_options;
	char	   *fallback_reasons;	/* why steps before it failed, or NULL */
	bool		again;			/* run another step at once */
	const CredentialOptions *base;	/* key to sign with, in signed_step */
	time_t		sts_clock_ahead;	/* of the local clock, as far as known */

	/*
	 * CREDENTIAL_DEFAULT: as in the key, of the fetch under way or the last
	 * one
	 */
	int			default_found;

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
											CredentialTrouble trouble,
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
 * For providers: have the key that the fetch will give signed with by this
 * provider, whose signed_step is then run, instead of ending the fetch.  The
 * options live in fetch_context.
 */
extern void oss_credential_use_by(CredentialSource *source,
								  const CredentialProvider *provider,
								  const CredentialOptions *options);

/*
 * For providers: overwrite bytes in fetch_context when the fetch ends.
 */
extern void oss_credential_wipe_later(CredentialSource *source, char *bytes,
									  size_t len);

/*
 * For providers: set CA file, time-outs and limit of a request to a service
 * that is neither OSS nor the metadata service, as the mapping says.
 */
extern void oss_credential_set_network(HttpSpec *spec, const CredentialSource *source);

/*
 * Read an error document of a service, JSON or XML, into *error.  Returns
 * false if there is none.
 */
extern bool oss_credential_error_read(const HttpAnswer *answer, OssErrorXml *error);

/* Skip a UTF-8 byte order mark, which some editors write. */
extern const char *oss_credential_skip_bom(const char *bytes, size_t *len);

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
extern void oss_credential_fail_as(CredentialSource *source, CredentialTrouble trouble,
								   const char *format,...)
			pg_attribute_printf(3, 4);

/* The providers, one per kind of source. */
extern const CredentialProvider oss_credential_static;
extern const CredentialProvider oss_credential_environment;
extern const CredentialProvider oss_credential_cloud_environment;
extern const CredentialProvider oss_credential_ecs_ram_role;
extern const CredentialProvider oss_credential_oidc;
extern const CredentialProvider oss_credential_ram_role_arn;
extern const CredentialProvider oss_credential_uri;
extern const CredentialProvider oss_credential_config_file;
extern const CredentialProvider oss_credential_default;
extern const CredentialProvider oss_credential_external;
extern const CredentialProvider oss_credential_cloud_sso;

#endif							/* OSS_CREDENTIAL_FETCH_H */
