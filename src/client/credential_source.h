/*-------------------------------------------------------------------------
 * credential_source.h
 *	  What the parts of the credential sources share: the source, the fetch
 *	  that is under way, and what a provider may do in a step of it.
 *
 * Middle floor, for credential*.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_SOURCE_H
#define OSS_CREDENTIAL_SOURCE_H

#include "client/credential.h"
#include "client/failure.h"
#include "client/http.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Bytes of a credential file, token file or answer that are accepted. */
#define CREDENTIAL_DOCUMENT_MAX	65536

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

/*
 * A kind of source.  step() does one step of a fetch: the first with
 * source->step 0, the next ones when the transfer that it started is done.
 * It runs in the fetch's memory context, may throw, and does exactly one of
 * oss_credential_send(), oss_credential_delegate(), oss_credential_deliver() and
 * oss_credential_fail().
 */
typedef struct CredentialProvider
{
	const char *name;			/* value of the option credential_source */
	bool		renewable;		/* asking again can give another key */
	void		(*step) (CredentialSource *source);
} CredentialProvider;

extern const CredentialProvider oss_credential_static;
extern const CredentialProvider oss_credential_environment;
extern const CredentialProvider oss_credential_ecs_ram_role;
extern const CredentialProvider oss_credential_oidc;
extern const CredentialProvider oss_credential_uri;
extern const CredentialProvider oss_credential_config_file;

/*
 * A key with what is known of its life.  The strings are allocated in the
 * source's context; id is NULL when there is no key.
 */
typedef struct CredentialKey
{
	char	   *id;
	char	   *secret;
	char	   *token;			/* NULL without one */
	bool		expires;
	TimestampTz expires_at;		/* on our clock, a margin already taken off */
	TimestampTz refresh_at;		/* from when a newer one is looked for,
								 * DT_NOEND for never */
} CredentialKey;

/* Whose key a source gives, for those who share it; mapping may be invalid. */
typedef struct CredentialIdentity
{
	Oid			mapping;
	int64		read_at;		/* when the digest's rows were; 0: not shared */
	uint8		digest[CREDENTIAL_DIGEST_LEN];
} CredentialIdentity;

/* A source's part in the sharing: what it has, and may fetch for others. */
typedef struct CredentialTicket
{
	uint64		version;		/* of the shared key at hand, 0: none */
	uint64		number;			/* of the fetch, 0: none for others */
} CredentialTicket;

/* A failed fetch is not repeated for so long. */
#define CREDENTIAL_FAILURE_REMEMBERED	USECS_PER_SEC

/*
 * Invariant: while fetching is not NULL, transfer is not NULL and belongs to
 * fetch_context, so that some later oss_http_turn() ends it; everything of a
 * fetch lives in fetch_context, whatever query happened to begin it.
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

/*
 * End a step by sending a request and going on with step next when it is
 * done.  What spec points to must live in the fetch's context.
 */
extern void oss_credential_send(CredentialSource *source, const HttpSpec *spec,
								int next);

/* End a step by letting another provider begin, with other options. */
extern void oss_credential_delegate(CredentialSource *source,
									const CredentialProvider *provider,
									const CredentialOptions *options);

/*
 * End the fetch with a key.  token NULL or "" is none; expiration NULL or ""
 * means that the key does not expire, else it is for oss_credential_expiration().
 * Fails the fetch when any of them is malformed.
 */
extern void oss_credential_deliver(CredentialSource *source, const char *id,
								   const char *secret, const char *token,
								   const char *expiration);

/* End the fetch with what went wrong, for DETAIL; no secret may be in it. */
extern void oss_credential_fail(CredentialSource *source, const char *format,...)
			pg_attribute_printf(2, 3);

/* credential_document.c */

/*
 * Read the time at which a key expires: YYYY-MM-DDThh:mm:ss, perhaps a fraction,
 * and Z, +hh:mm or -hh:mm.  Returns whether it has that form.
 */
extern bool oss_credential_expiration(const char *text, TimestampTz *when);

/*
 * Parse a JSON document in CurrentMemoryContext.  Throws for what is not JSON
 * (a data exception, which do_step() words).
 */
extern Jsonb *oss_credential_json(const char *bytes, size_t len);

/*
 * Return where a document in UTF-8 begins that may have a byte order mark, which
 * is taken off *len.
 */
extern const char *oss_credential_skip_bom(const char *bytes, size_t *len);

/* Overwrite a parsed document. */
extern void oss_credential_json_wipe(Jsonb *json);

/*
 * Return a string, number or Boolean of an object as text, or NULL when there
 * is none or the string is empty.
 */
extern char *oss_credential_json_text(JsonbContainer *object, const char *name);

/* Return an array or object that is part of an object, or NULL. */
extern JsonbContainer *oss_credential_json_part(JsonbContainer *object,
												const char *name);

/*
 * Check that the transfer of the last step was answered with status 200; fail
 * the fetch otherwise, service being who should have answered.
 */
extern bool oss_credential_answered(CredentialSource *source, const char *service);

/*
 * End the fetch with the document in the answer of the last step.  part names
 * the object in it that holds the key, or is NULL; need_code says that a field
 * Code must equal Success.
 */
extern void oss_credential_deliver_answer(CredentialSource *source,
										  const char *service, const char *part,
										  bool need_code);

/* credential_file.c */

/*
 * Read a file of at most CREDENTIAL_DOCUMENT_MAX bytes into
 * CurrentMemoryContext, a leading "~/" being the home directory of the
 * database server's user.  With private_only, a file that others may read or
 * write is refused.  Returns NULL after failing the fetch.
 */
extern char *oss_credential_file_read(CredentialSource *source, const char *path,
									  bool private_only, size_t *len);

/* credential_option.c */

/* Copy the options of a mapping into context. */
extern void oss_credential_options_read(CredentialOptions *options,
										MemoryContext context, List *defelems);

/* The provider that a value of credential_source names, or NULL. */
extern const CredentialProvider *oss_credential_provider_by_name(const char *name);

/*
 * Find the first of a provider's own options that can't be used, its value
 * coming from a file, the environment or an answer.  Returns its name and sets
 * *problem, or returns NULL.
 */
extern const char *oss_credential_options_problem(const CredentialOptions *options,
												  const CredentialProvider *provider,
												  const char **problem);

/* Is a value that has passed the check, or NULL, true? */
extern bool oss_credential_option_is_true(const char *value);

/*
 * Each returns NULL when the value can be used in a request, otherwise what is
 * wrong with it as a sentence for DETAIL (a static string).
 */
extern const char *oss_credential_id_problem(const char *value);
extern const char *oss_credential_secret_problem(const char *value);
extern const char *oss_credential_token_problem(const char *value);

#endif							/* OSS_CREDENTIAL_SOURCE_H */
