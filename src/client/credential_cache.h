/*-------------------------------------------------------------------------
 * credential_cache.h
 *	  Fetched keys that the processes of a cluster share.
 *
 * For credential.c, credential_fetch.c and the hooks for shared memory and
 * dropped objects.  Keys are shared only if the library is preloaded;
 * otherwise each process fetches its own.
 *
 * A shared key is identified by database, user mapping and a digest of its
 * catalog rows, so that a process gets no key which it could not fetch itself.
 * One process at a time fetches a key.  It holds a ticket with a lease of some
 * seconds, which each step of the fetch extends.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_CACHE_H
#define OSS_CREDENTIAL_CACHE_H

#include "client/credential_option.h"
#include "utils/timestamp.h"

/* A failed fetch is not repeated within this time. */
#define CREDENTIAL_FAILURE_REMEMBERED	USECS_PER_SEC

#define CREDENTIAL_DETAIL_MAX	512

/* Why a fetch failed: what may help. */
typedef enum CredentialTrouble
{
	CREDENTIAL_UNAVAILABLE,		/* the source, or anything else */
	CREDENTIAL_ROLE_REFUSED,	/* the role, or who may assume it */
	CREDENTIAL_ROLE_KEY_REFUSED,	/* the key that assumes it */
	CREDENTIAL_ROLE_CALL_REFUSED	/* how it is assumed */
} CredentialTrouble;

/*
 * Longest security token of a shared key; a key with a longer one is not
 * shared.
 */
#define CREDENTIAL_CACHED_TOKEN_MAX	4096

/*
 * A key and its lifetime.  Its strings are allocated in the source's context;
 * id is NULL if there is no key.
 */
typedef struct CredentialKey
{
	char	   *id;
	char	   *secret;
	char	   *token;			/* NULL without one */
	bool		expires;
	bool		own;			/* not to be shared: others could not fetch it */
	int			default_found;	/* the step of the default order that gave it,
								 * 0: none */
	TimestampTz expires_at;		/* by the local clock, less a margin */
	TimestampTz refresh_at;		/* when to renew it, DT_NOEND for never */
} CredentialKey;

/* Identifies a shared key; nothing is shared if mapping is invalid. */
typedef struct CredentialIdentity
{
	Oid			mapping;
	int64		read_at;		/* when the digest's rows were read; 0: not
								 * shared */
	uint8		digest[CREDENTIAL_DIGEST_LEN];
} CredentialIdentity;

/* A source's references to a shared key. */
typedef struct CredentialTicket
{
	uint64		version;		/* of the shared key that it uses, 0: none */
	uint64		number;			/* of its fetch for others, 0: none */
} CredentialTicket;

typedef struct CredentialCached
{
	char		id[CREDENTIAL_ID_MAX + 1];
	char		secret[CREDENTIAL_SECRET_MAX + 1];
	char		token[CREDENTIAL_CACHED_TOKEN_MAX + 1]; /* "" without one */
	int			default_found;
	TimestampTz expires_at;
	TimestampTz refresh_at;
} CredentialCached;

/* Result of oss_credential_cache_ask(), and the fields that it sets. */
typedef enum CredentialAdvice
{
	CREDENTIAL_FETCH,			/* start or continue a fetch */
	CREDENTIAL_TAKE,			/* key: another process fetched it */
	CREDENTIAL_FAIL,			/* trouble, detail, failed_at: another's fetch
								 * failed */
	CREDENTIAL_WAIT				/* another process is fetching it */
} CredentialAdvice;

typedef struct CredentialAnswer
{
	CredentialCached key;
	CredentialTrouble trouble;
	char		detail[CREDENTIAL_DETAIL_MAX];
	TimestampTz failed_at;
} CredentialAnswer;

/*
 * Ask what to do for a key: when there is none, when it is due for renewal,
 * or while fetching it.  A shared key is good only if it lives until "until"
 * (0: any).  With wait, WAIT makes the table set the process's latch when
 * that changes, until oss_credential_cache_stop_waiting(); ask again after
 * half a second anyway.
 */
extern CredentialAdvice oss_credential_cache_ask(const CredentialIdentity *who,
												 CredentialTicket *ticket, bool wait,
												 TimestampTz until,
												 CredentialAnswer *answer);
extern void oss_credential_cache_stop_waiting(void);

/* End the ticket's fetch, if any, and share its key. */
extern void oss_credential_cache_store(const CredentialIdentity *who,
									   CredentialTicket *ticket,
									   const CredentialKey *key);

/*
 * End the ticket's fetch with a failure.  refresh_at is when to renew the
 * ticket's key, which is still usable, or 0.
 */
extern void oss_credential_cache_fail(const CredentialIdentity *who,
									  CredentialTicket *ticket,
									  CredentialTrouble trouble, const char *detail,
									  TimestampTz failed_at,
									  TimestampTz refresh_at);

/* End the ticket's fetch without a result: another process may start one. */
extern void oss_credential_cache_give_up(const CredentialIdentity *who,
										 CredentialTicket *ticket);

/*
 * Remove a key that the service refused.  Returns false if it was refused
 * before and fetched again within the last span us.
 */
extern bool oss_credential_cache_refuse(const CredentialIdentity *who,
										const char *key_id, int64 span);

/* Remove the keys of a dropped user mapping or database, at commit. */
extern void oss_credential_cache_dropped(Oid catalog, Oid object);

/* For the shared memory hooks: reserve; attach or initialize. */
extern void oss_credential_cache_shared_request(void);
extern void oss_credential_cache_shared_start(void);

#endif							/* OSS_CREDENTIAL_CACHE_H */
