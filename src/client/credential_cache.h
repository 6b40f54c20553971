/*-------------------------------------------------------------------------
 * credential_cache.h
 *	  Fetched keys that the processes of a cluster share.
 *
 * Middle floor, for credential.c, credential_fetch.c and the hooks that make shared memory and see
 * objects dropped.  Only where the library is preloaded; otherwise each process
 * fetches for itself.
 *
 * A key belongs to a user mapping of a database, with what the catalogs said of
 * it: who asks has resolved the same mapping with the same options, and might
 * have fetched the key.  One process at a time fetches it;
 * it holds a ticket, which others get when it ends, errors or does nothing for
 * some seconds.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_CACHE_H
#define OSS_CREDENTIAL_CACHE_H

#include "client/credential_option.h"
#include "utils/timestamp.h"

/* A failed fetch is not repeated for so long. */
#define CREDENTIAL_FAILURE_REMEMBERED	USECS_PER_SEC

/* Bytes of a failure's detail that are shared. */
#define CREDENTIAL_DETAIL_MAX	512

/* Bytes of a security token that is shared; a longer one is not. */
#define CREDENTIAL_CACHED_TOKEN_MAX	4096

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

/* Identifies a shared key; mapping may be invalid. */
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

/* A key, as it is shared. */
typedef struct CredentialCached
{
	char		id[CREDENTIAL_ID_MAX + 1];
	char		secret[CREDENTIAL_SECRET_MAX + 1];
	char		token[CREDENTIAL_CACHED_TOKEN_MAX + 1]; /* "" without one */
	TimestampTz expires_at;
	TimestampTz refresh_at;
} CredentialCached;

/* What oss_credential_cache_ask() says, and what it has filled in. */
typedef enum CredentialAdvice
{
	CREDENTIAL_FETCH,			/* begin a fetch, or go on with it */
	CREDENTIAL_TAKE,			/* key: another process fetched it */
	CREDENTIAL_FAIL,			/* detail, failed_at: its fetch failed */
	CREDENTIAL_WAIT				/* another process is fetching it */
} CredentialAdvice;

typedef struct CredentialAnswer
{
	CredentialCached key;
	char		detail[CREDENTIAL_DETAIL_MAX];
	TimestampTz failed_at;
} CredentialAnswer;

/*
 * Ask what to do for a key, with no good one at hand or while fetching one; 0,
 * or until when the key had by ticket would have to live to be good.
 * With wait, the process's latch is set when that changes, until
 * oss_credential_cache_stop_waiting(); ask again after CREDENTIAL_POLL_MS anyway.
 */
extern CredentialAdvice oss_credential_cache_ask(const CredentialIdentity *who,
												 CredentialTicket *ticket, bool wait,
												 TimestampTz until,
												 CredentialAnswer *answer);
extern void oss_credential_cache_stop_waiting(void);

/* End the fetch of a ticket, if it has one: with a key, which others take. */
extern void oss_credential_cache_store(const CredentialIdentity *who,
									   CredentialTicket *ticket,
									   const CredentialKey *key);

/*
 * The same with a failure.  refresh_at is when to try again while the key that
 * ticket has lives on, or 0.
 */
extern void oss_credential_cache_fail(const CredentialIdentity *who,
									  CredentialTicket *ticket, const char *detail,
									  TimestampTz failed_at,
									  TimestampTz refresh_at);

/* The same without a result: another process may begin. */
extern void oss_credential_cache_give_up(const CredentialIdentity *who,
										 CredentialTicket *ticket);

/*
 * The service refused a key: no process takes it any more.  Returns false when
 * it had been refused before, and was fetched again within the last span us.
 */
extern bool oss_credential_cache_refuse(const CredentialIdentity *who,
										const char *key_id, int64 span);

/* An object of a catalog was dropped: at commit its keys go. */
extern void oss_credential_cache_dropped(Oid catalog, Oid object);

/* Ask for shared memory, and start it; from the shared memory hooks. */
extern void oss_credential_cache_shared_request(void);
extern void oss_credential_cache_shared_start(void);

#endif							/* OSS_CREDENTIAL_CACHE_H */
