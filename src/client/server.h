/*-------------------------------------------------------------------------
 * server.h
 *	  Foreign servers and user mappings of the wrapper oss_labels: their
 *	  options, and the resolved pair that requests go to.
 *
 * Middle floor.  For users: sql/README.md, "Servers".
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SERVER_H
#define OSS_SERVER_H

#include "postgres.h"

#include "client/credential.h"
#include "protocol/signature_v4.h"
#include "protocol/uri.h"

#define OSS_WRAPPER_NAME "oss_labels"

/*
 * A foreign server as one role sees it, with what is remembered about it from
 * one request to the next.  Immutable but for the name and the last block;
 * lives in its own memory context, counted by users: the cache and every
 * request that uses it hold one.  It leaves the cache when its options, its
 * owner or the role's mapping change, or a superuser is needed and gone;
 * requests in flight finish with what they began with.  What other servers,
 * mappings and roles do leaves it alone.
 */
typedef struct OssServer
{
	Oid			serverid;
	Oid			owner;
	bool		machine_credentials;	/* their source is the machine's */
	bool		superusers_only;	/* may use the mapping */
	uint8		digest[CREDENTIAL_DIGEST_LEN];
	bool		public_mapping; /* PUBLIC's, not the role's own */
	Oid			userid;
	char	   *name;
	char	   *region;
	char	   *product;
	OssEndpoint endpoint;
	OssAddressing addressing;
	char	   *ca_file;		/* NULL: the system's store */
	int			connect_timeout_ms;
	int			timeout_ms;		/* deadline over all attempts */
	int			max_attempts;
	int			max_concurrency;	/* requests in flight, per process */
	double		max_requests_per_second;	/* 0: no limit */
	bool		requester_pays;
	int64		read_at;		/* oss_clock_us() before the catalogs were
								 * read, 0 when a rollback may undo what was */
	int64		current_at;		/* the same of the last look that found them
								 * unchanged */
	CredentialSource *source;

	MemoryContext context;
	int			users;
	bool		cached;			/* the cache still holds it */
	int			in_flight;
	int			unreachable;	/* attempts in a row without any answer, each
								 * begun after the end of the one before */
	int64		unreachable_at; /* oss_http_now() at the end of the last */
	OssSigningKey signing_key;
	struct HTAB *buckets;		/* access.c's, in context, or NULL */
	char		owing[OSS_BUCKET_MAX + 1];	/* the last that said so of an
											 * account, or empty */
} OssServer;

/*
 * Resolve a server for a role: name NULL takes the setting oss_labels.server,
 * else the only server of the wrapper.  Checks USAGE on the server and finds
 * the role's mapping, else PUBLIC's.  Needs a transaction.  The result stays
 * valid until the next oss_server_get(), oss_server_oid() or
 * oss_server_is_current(), unless pinned.
 *
 * Errors: 42704 no such server or mapping; 42809 a server of another wrapper;
 * 55000 none or several to choose from (DETAIL lists them); 42501 no USAGE, or
 * an option that needs a superuser; 22023 bad option.
 */
extern OssServer *oss_server_get(const char *name, Oid userid);

/*
 * Read the catalogs anew, once a transaction, rather than believe caches that a
 * commit has not reached yet.
 */
extern void oss_server_look_anew(void);

/* Is a server still as the catalogs have it?  Needs a transaction. */
extern bool oss_server_is_current(const OssServer *server);

/* Keep a server across transactions; undo it with oss_server_unpin(). */
extern void oss_server_pin(OssServer *server);
extern void oss_server_unpin(OssServer *server);

/* Keep a server until CurrentMemoryContext is reset or deleted. */
extern void oss_server_pin_in_context(OssServer *server);

/* OID of the server that name (or NULL) means for a role, USAGE checked. */
extern Oid	oss_server_oid(const char *name, Oid userid);

/*
 * Return the server's credentials, waiting on the event loop for them to be
 * fetched, for timeout_ms at most.  Errors: 28000 they could not be fetched; 57014 and
 * so on while waiting.
 */
extern void oss_server_credentials(OssServer *server, OssCredentials *who);

/*
 * The same for a use of so many seconds: a key that ends before is renewed if
 * that can help.  Returns the whole seconds that the key lives on, -1 when it
 * is not known to end.
 */
extern long oss_server_credentials_for(OssServer *server, long seconds,
									   OssCredentials *who);

/* The setting oss_labels.server. */
extern char *oss_server_setting;

#endif							/* OSS_SERVER_H */
