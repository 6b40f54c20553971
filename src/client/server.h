/*-------------------------------------------------------------------------
 * server.h
 *	  Foreign servers of the wrapper oss_labels, resolved with the user
 *	  mapping of a role.
 *
 * For users: sql/README.md, "Servers".
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SERVER_H
#define OSS_SERVER_H

#include "client/credential.h"
#include "protocol/signature_v4.h"
#include "protocol/uri.h"

#define OSS_WRAPPER_NAME "oss_labels"

/* Attempts without a response, to one host or the server's. */
typedef struct OssReach
{
	int			failed;			/* in a row, each started after the end of the
								 * one before */
	int64		failed_at;		/* oss_http_now() at the end of the last one */
} OssReach;

/* A bucket's own domain, by the option bucket_domains. */
typedef struct OssDomain
{
	const char *bucket;
	OssEndpoint endpoint;
} OssDomain;

/*
 * A foreign server resolved for one role, with state kept from request to
 * request.  Immutable but for the name, current_at and the last block.  It
 * has its own memory context and a count of users: the cache and each request
 * hold a reference.  The cache drops it when the options or the owner of the
 * server or the role's mapping change, or when the mapping needs a superuser
 * and the role no longer is one; requests in flight finish with the server
 * that they started with.  Changes of other servers, mappings and roles do
 * not affect it.
 */
typedef struct OssServer
{
	Oid			serverid;
	Oid			owner;
	bool		machine_credentials;	/* the mapping uses those of the
										 * machine */
	bool		superusers_only;	/* only superusers may use the mapping */
	uint8		digest[CREDENTIAL_DIGEST_LEN];
	bool		public_mapping; /* PUBLIC's, not the role's own */
	Oid			userid;
	char	   *name;
	char	   *region;
	char	   *product;
	OssEndpoint endpoint;		/* see client/route.h for a bucket's */
	OssAddressing addressing;
	char	   *endpoint_template;	/* with {bucket}, in place of endpoint, or
									 * NULL */
	OssDomain  *domains;		/* in the order of their buckets */
	int			ndomains;
	bool		private_http;	/* plain http to private addresses */
	char	   *ca_file;		/* NULL: the system's store */
	HttpProxy	proxy;
	int			connect_timeout_ms;
	int			timeout_ms;		/* deadline over all attempts */
	int			max_attempts;
	int			max_concurrency;	/* requests in flight, per process */
	double		max_requests_per_second;	/* 0: no limit */
	bool		requester_pays;
	double		stored_threshold;	/* asked for what is stored, at most */
	int64		read_at;		/* oss_clock_us() before reading the catalogs,
								 * 0 if a rollback may undo them */
	int64		current_at;		/* the same for the last check that found them
								 * unchanged */
	CredentialSource *source;

	MemoryContext context;
	int			users;
	bool		cached;			/* in the cache */
	int			in_flight;
	OssReach	reach;			/* but of buckets with hosts of their own */
	OssSigningKey signing_key;
	struct HTAB *buckets[3];	/* of access.c, in context, or NULL: one a
								 * kind of request */
	char		owing[OSS_BUCKET_MAX + 1];	/* the last bucket with a failure
											 * of scope ACCOUNT, or empty */
} OssServer;

/*
 * Resolve a server for a role.  name NULL means the setting
 * oss_labels.server, or else the only server of the wrapper.  Checks USAGE on
 * the server and finds the role's mapping, else PUBLIC's.  Needs a
 * transaction.  The result is valid until the next oss_server_get(),
 * oss_server_oid() or oss_server_is_current(), unless pinned.
 *
 * Errors: 42704 no such server or mapping; 42809 a server of another wrapper;
 * 55000 no server or several to choose from (DETAIL lists them); 42501 no
 * USAGE, or an option that needs a superuser; 22023 bad option.
 */
extern OssServer *oss_server_get(const char *name, Oid userid);

/*
 * The same for a foreign table's server: without checking USAGE, which whoever
 * made the table had.
 */
extern OssServer *oss_server_by_oid(Oid serverid, Oid userid);

/*
 * Have the catalogs read again, once per transaction, since the caches may
 * not have got the invalidation of a recent commit yet.
 */
extern void oss_server_look_anew(void);

/* Does a server still agree with the catalogs?  Needs a transaction. */
extern bool oss_server_is_current(const OssServer *server);

/* Keep a server across transactions, until oss_server_unpin(). */
extern void oss_server_pin(OssServer *server);
extern void oss_server_unpin(OssServer *server);

/* Keep a server until CurrentMemoryContext is reset or deleted. */
extern void oss_server_pin_in_context(OssServer *server);

/*
 * Return the OID of a server as oss_server_get() finds it, after checking
 * USAGE.
 */
extern Oid	oss_server_oid(const char *name, Oid userid);

/*
 * Return the server's credentials, fetching them within timeout_ms if
 * necessary.  They are valid until the next call for this server.  Errors:
 * 28000 they cannot be fetched; 57014 and so on while waiting.
 */
extern void oss_server_credentials(OssServer *server, OssCredentials *who);

/*
 * The same for a use of that many seconds: a key that expires earlier is
 * renewed if possible.  Returns how many whole seconds the key lives, -1 if
 * it does not expire as far as known.
 */
extern long oss_server_credentials_for(OssServer *server, long seconds,
									   OssCredentials *who);

/* The setting oss_labels.server. */
extern char *oss_server_setting;

#endif							/* OSS_SERVER_H */
