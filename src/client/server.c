/*-------------------------------------------------------------------------
 * server.c
 *	  Resolving and caching foreign servers with user mappings.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "client/failure.h"
#include "client/server_option.h"
#include "client/server_row.h"
#include "commands/defrem.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

char	   *oss_server_setting = NULL;

/* Key of the cache. */
typedef struct ServerKey
{
	Oid			serverid;
	Oid			userid;
} ServerKey;

typedef struct ServerEntry
{
	ServerKey	key;
	OssServer  *server;
} ServerEntry;

/*
 * The cache.  Invalidation callbacks only count changes of catalogs; all
 * entries were compared with the catalogs after change number "checked".
 */
static HTAB *cache = NULL;
static uint64 changes = 0;
static uint64 checked = 0;
static Oid	only_server = InvalidOid;

/* Invalidation callback for servers, mappings, wrappers and roles. */
static void
on_catalog_change(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
}

/* Reset callback: overwrite secrets. */
static void
on_server_reset(void *arg)
{
	OssServer  *server = arg;

	/* the source, in a child context, has overwritten its own already */
	oss_signing_key_wipe(&server->signing_key);
}

/* Make the cache and register the callbacks, once per process. */
static void
cache_init(void)
{
	HASHCTL		ctl = {0};

	if (cache != NULL)
		return;
	ctl.keysize = sizeof(ServerKey);
	ctl.entrysize = sizeof(ServerEntry);
	ctl.hcxt = TopMemoryContext;
	cache = hash_create("oss_labels servers", 16, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change, 0);
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, on_catalog_change, 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change, 0);

	/* losing or gaining superuser affects is_trusted() */
	CacheRegisterSyscacheCallback(AUTHOID, on_catalog_change, 0);
}

/*
 * Return why the server's owner must be a superuser, as a sentence for DETAIL,
 * or NULL if anyone may own it.
 */
static const char *
trust_needed(const OssServer *server)
{
	if (server->machine_credentials)
		return "The user mapping uses credentials of the server machine, which the owner of the foreign server could send anywhere.";
	if (server->ca_file != NULL)
		return "The option ca_file reads a file of the server machine.";
	if (server->proxy.url != NULL || server->proxy.ca_file != NULL)
		return "The options proxy and proxy_ca_file say where requests of the server machine go, and which of its files are read.";
	if (server->private_http)
		return "The option plain_http lets unencrypted requests reach hosts of the private network, which the owner of the foreign server could choose.";
	return NULL;
}

/* Are owner and user superusers, where the options require it? */
static bool
is_trusted(const OssServer *server)
{
	return (trust_needed(server) == NULL || superuser_arg(server->owner)) &&
		(!server->superusers_only || superuser_arg(server->userid));
}

/* Update a server from its rows, except for the options. */
static void
take_rows(OssServer *server, const OssServerRows *rows, int64 now)
{
	if (strcmp(server->name, NameStr(rows->name)) != 0)
		server->name = MemoryContextStrdup(server->context, NameStr(rows->name));
	server->current_at = rows->server_tentative ? 0 : now;
	oss_credential_source_share(server->source, rows->mapping, rows->mapping_digest,
								rows->mapping_tentative ? 0 : now);
	oss_credential_source_allow_programs(server->source, superuser_arg(server->userid));
}

/*
 * Compare a cached server with the catalogs.  One that differs is
 * invalidated; it stays in the cache if its mapping is the same, since the
 * key is still good.
 */
static void
check_entry(ServerEntry *entry)
{
	int64		now = oss_clock_us();
	OssServer  *server = entry->server;
	OssServerRows rows;
	bool		found = oss_server_rows_read(server->serverid, server->userid, &rows);

	if (server->cached && found && is_trusted(server) &&
		memcmp(rows.digest, server->digest, sizeof(rows.digest)) == 0)
	{
		take_rows(server, &rows, now);
		return;
	}
	if (server->cached)
		elog(DEBUG1, "server \"%s\" has changed for role %u: its options are read anew",
			 server->name, server->userid);
	server->cached = false;
	if (found && oss_credential_source_is_of(server->source, rows.mapping,
											 rows.mapping_digest))
		return;
	hash_search(cache, &entry->key, HASH_REMOVE, NULL);
	oss_server_unpin(server);
}

/*
 * Invalidate cached servers that differ from the catalogs.  Changes that
 * arrive meanwhile are left to the next call.
 */
static void
cache_refresh(void)
{
	uint64		seen = changes;
	HASH_SEQ_STATUS seq;
	ServerEntry *entry;

	cache_init();
	if (checked == seen)
		return;
	only_server = InvalidOid;
	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
		check_entry(entry);
	checked = seen;
}

/*
 * A commit is visible before its invalidation messages are sent, and may wake
 * the worker in between, so that accepting the messages is not enough.
 */
void
oss_server_look_anew(void)
{
	static TimestampTz looked_at = 0;

	if (looked_at == GetCurrentTransactionStartTimestamp())
		return;
	InvalidateSystemCaches();
	looked_at = GetCurrentTransactionStartTimestamp();
}

bool
oss_server_is_current(const OssServer *server)
{
	if (server->cached)
		oss_server_look_anew();
	cache_refresh();
	return server->cached;
}

void
oss_server_pin(OssServer *server)
{
	server->users++;
}

void
oss_server_unpin(OssServer *server)
{
	Assert(server->users > 0);
	if (--server->users == 0)
		MemoryContextDelete(server->context);
}

static void
on_holder_reset(void *arg)
{
	oss_server_unpin(arg);
}

void
oss_server_pin_in_context(OssServer *server)
{
	MemoryContextCallback *reset = palloc(sizeof(*reset));

	reset->func = on_holder_reset;
	reset->arg = server;
	oss_server_pin(server);
	MemoryContextRegisterResetCallback(CurrentMemoryContext, reset);
}

/*
 * Return the quoted names of the wrapper's servers, their number and the last
 * OID.
 */
static char *
list_servers(Oid wrapper, int *n, Oid *last)
{
	Relation	rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	StringInfoData names;
	HeapTuple	tuple;

	initStringInfo(&names);
	*n = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server form = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (form->srvfdw != wrapper)
			continue;
		appendStringInfo(&names, "%s\"%s\"", *n > 0 ? ", " : "",
						 NameStr(form->srvname));
		*last = form->oid;
		(*n)++;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return names.data;
}

static Oid
wrapper_oid(void)
{
	Oid			wrapper = get_foreign_data_wrapper_oid(OSS_WRAPPER_NAME, true);

	if (!OidIsValid(wrapper))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("foreign-data wrapper \"%s\" does not exist",
						OSS_WRAPPER_NAME),
				 errhint("Run CREATE EXTENSION oss_labels.")));
	return wrapper;
}

/* Return the only server of the wrapper.  Errors: 55000 none or several. */
static Oid
find_only_server(void)
{
	Oid			found = InvalidOid;
	char	   *names;
	int			n;

	if (OidIsValid(only_server))
		return only_server;
	names = list_servers(wrapper_oid(), &n, &found);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no server of the foreign-data wrapper \"%s\"",
						OSS_WRAPPER_NAME),
				 errhint("Create one: CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou').")));
	if (n > 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there are several servers of the foreign-data wrapper \"%s\"",
						OSS_WRAPPER_NAME),
				 errdetail("The servers are %s.", names),
				 errhint("Name one in the argument server or the setting oss_labels.server.")));
	only_server = found;
	return found;
}

/* Return the server of a name.  Errors: 42704, 42809 if of another wrapper. */
static Oid
find_named_server(const char *name)
{
	Oid			serverid = get_foreign_server_oid(name, true);
	Oid			other;
	int			n;

	if (OidIsValid(serverid))
	{
		HeapTuple	tuple = SearchSysCache1(FOREIGNSERVEROID,
											ObjectIdGetDatum(serverid));
		bool		ours = false;

		if (HeapTupleIsValid(tuple))
		{
			ours = ((Form_pg_foreign_server) GETSTRUCT(tuple))->srvfdw == wrapper_oid();
			ReleaseSysCache(tuple);
		}
		if (ours)
			return serverid;
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" does not belong to the foreign-data wrapper \"%s\"",
						name, OSS_WRAPPER_NAME),
				 errhint("Name a server of this wrapper, or NULL for the only one.")));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("server \"%s\" does not exist", name),
			 errhint("Servers of the foreign-data wrapper \"%s\": %s.",
					 OSS_WRAPPER_NAME,
					 list_servers(wrapper_oid(), &n, &other))));
	return InvalidOid;
}

Oid
oss_server_oid(const char *name, Oid userid)
{
	Oid			serverid;
	AclResult	acl;

	cache_refresh();
	if (name == NULL && oss_server_setting != NULL && oss_server_setting[0] != '\0')
		name = oss_server_setting;
	serverid = name != NULL ? find_named_server(name) : find_only_server();
	acl = oss_server_aclcheck(serverid, userid, ACL_USAGE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(serverid)->servername);
	return serverid;
}

/* Return the role's mapping of a server, else PUBLIC's.  Errors: 42704. */
static UserMapping *
find_mapping(Oid serverid, Oid userid)
{
	HeapTuple	tuple = oss_mapping_tuple(serverid, userid);
	char	   *role;
	char	   *server;

	if (HeapTupleIsValid(tuple))
	{
		ReleaseSysCache(tuple);
		return GetUserMapping(userid, serverid);
	}
	role = GetUserNameFromId(userid, false);
	server = GetForeignServer(serverid)->servername;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("role \"%s\" has no user mapping for server \"%s\"",
					role, server),
			 errhint("Create one: CREATE USER MAPPING FOR %s SERVER %s OPTIONS (access_key_id '...', access_key_secret '...').",
					 quote_identifier(role), quote_identifier(server))));
	return NULL;
}

/*
 * Check who may use options that are reserved to superusers.  The validator
 * checked the role that set them; but the server's owner may have changed the
 * endpoint since, to which tokens are sent, so the owner is checked here.
 */
static void
check_trust(const OssServer *server)
{
	if (is_trusted(server))
		return;
	if (trust_needed(server) != NULL && !superuser_arg(server->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("server \"%s\" must be owned by a superuser", server->name),
				 errdetail_internal("%s", trust_needed(server)),
				 errhint("Make a superuser its owner with ALTER SERVER ... OWNER TO.")));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("only superusers may use this user mapping of server \"%s\"",
					server->name),
			 errdetail("Its credential_source uses the identity, files or environment of the server machine."),
			 errhint("A superuser may set superuser_required 'false' in the user mapping.")));
}

static void
wipe_options(List *options)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		char	   *value = defGetString(lfirst(cell));

		explicit_bzero(value, strlen(value));
	}
}

/*
 * Make a server from the catalogs, in a child of CurrentMemoryContext.  The
 * digest is computed first, so that a concurrent change is found at the next
 * comparison.
 */
static OssServer *
read_server(Oid serverid, Oid userid)
{
	int64		now = oss_clock_us();
	OssServerRows rows = {0};
	UserMapping *mapping;
	ForeignServer *foreign;
	MemoryContext context;
	OssServer  *server;
	MemoryContextCallback *reset;

	(void) oss_server_rows_read(serverid, userid, &rows);
	mapping = find_mapping(serverid, userid);
	foreign = GetForeignServer(serverid);
	context = AllocSetContextCreate(CurrentMemoryContext, "oss_labels server",
									ALLOCSET_SMALL_SIZES);
	server = MemoryContextAllocZero(context, sizeof(OssServer));
	reset = MemoryContextAlloc(context, sizeof(*reset));
	server->context = context;
	server->serverid = serverid;
	server->userid = userid;
	server->owner = foreign->owner;
	server->public_mapping = !OidIsValid(mapping->userid);
	memcpy(server->digest, rows.digest, sizeof(server->digest));
	server->machine_credentials = oss_credential_uses_machine(mapping->options);
	server->superusers_only = oss_credential_needs_superuser(mapping->options);
	server->name = MemoryContextStrdup(context, foreign->servername);
	oss_server_options_read(server, foreign->options);
	check_trust(server);
	server->source = oss_credential_source_make(context, mapping->options);
	oss_credential_source_use_proxy(server->source, &server->proxy);
	memcpy(server->proxy.whose, rows.digest, sizeof(server->proxy.whose));
	namestrcpy(&rows.name, foreign->servername);
	take_rows(server, &rows, now);
	server->read_at = server->current_at;
	reset->func = on_server_reset;
	reset->arg = server;
	MemoryContextRegisterResetCallback(context, reset);
	wipe_options(mapping->options);
	return server;
}

/*
 * Return the cached server for a role, making it if needed.  The caller has
 * checked USAGE.
 */
static OssServer *
look_up_server(Oid serverid, Oid userid)
{
	ServerKey	key = {serverid, userid};
	bool		found;
	ServerEntry *entry = hash_search(cache, &key, HASH_FIND, &found);
	OssServer  *server;

	if (entry != NULL && entry->server->cached)
		return entry->server;

	/*
	 * invalidations that arrive here are handled by the next cache_refresh()
	 */
	server = read_server(serverid, userid);
	if (entry != NULL)
		oss_credential_source_inherit(server->source, entry->server->source);
	else
		entry = hash_search(cache, &key, HASH_ENTER, &found);

	/* nothing can throw from here on */
	if (found)
		oss_server_unpin(entry->server);
	MemoryContextSetParent(server->context, TopMemoryContext);
	entry->server = server;
	server->cached = true;
	server->users = 1;
	return server;
}

OssServer *
oss_server_get(const char *name, Oid userid)
{
	return look_up_server(oss_server_oid(name, userid), userid);
}

OssServer *
oss_server_by_oid(Oid serverid, Oid userid)
{
	cache_refresh();
	return look_up_server(serverid, userid);
}

void
oss_server_credentials(OssServer *server, OssCredentials *who)
{
	const OssFailure *failure = NULL;
	CredentialState state;
	int64		end = oss_http_now() + server->timeout_ms * INT64CONST(1000);

	while ((state = oss_credential_get(server->source, who, &failure)) == CREDENTIAL_PENDING ||
		   (oss_credential_wanted(server->source) && oss_http_now() < end))
	{
		if (oss_http_now() >= end)
			oss_failure_throw(oss_failure_make("CredentialsUnavailable",
											   psprintf("The credentials did not arrive within timeout_ms (%d ms).",
														server->timeout_ms),
											   psprintf("credentials from source \"%s\"",
														oss_credential_source_name(server->source))));
		oss_http_turn(oss_credential_poll_ms(server->source));
	}
	if (state == CREDENTIAL_FAILED)
		oss_failure_throw(failure);
}

long
oss_server_credentials_for(OssServer *server, long seconds, OssCredentials *who)
{
	TimestampTz ends_at;

	oss_credential_want(server->source,
						GetCurrentTimestamp() + seconds * USECS_PER_SEC);
	oss_server_credentials(server, who);
	oss_credential_want(server->source, 0);
	ends_at = oss_credential_ends_at(server->source);
	if (ends_at == DT_NOEND)
		return -1;
	return (long) ((ends_at - GetCurrentTimestamp()) / USECS_PER_SEC);
}
