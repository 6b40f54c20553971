/*-------------------------------------------------------------------------
 * server.c
 *	  Resolve a foreign server and a user mapping, and keep the result.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "client/failure.h"
#include "client/server_option.h"
#include "commands/defrem.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

char	   *oss_server_setting = NULL;

/* The key of the cache: a server as a role sees it. */
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
 * The cache.  stale says that a catalog changed and everything must be read
 * anew; it is set by invalidation callbacks, which must do no more than that.
 */
static HTAB *cache = NULL;
static bool stale = false;
static Oid	only_server = InvalidOid;

/* Note that servers, mappings or wrappers changed. */
static void
on_catalog_change(Datum arg, int cacheid, uint32 hashvalue)
{
	stale = true;
}

/* Overwrite what is secret in a server whose memory goes. */
static void
on_server_reset(void *arg)
{
	OssServer  *server = arg;

	/* the source, in a context below, has wiped itself already */
	oss_signing_key_wipe(&server->signing_key);
}

/* Make the cache, and register for changes, once per process. */
static void
cache_init(void)
{
	HASHCTL		ctl = {0};

	if (cache != NULL)
		return;
	ctl.keysize = sizeof(ServerKey);
	ctl.entrysize = sizeof(ServerEntry);
	ctl.hcxt = TopMemoryContext;
	cache = hash_create("OSS labels servers", 16, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change, 0);
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, on_catalog_change, 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change, 0);

	/* who is superuser decides what may be used */
	CacheRegisterSyscacheCallback(AUTHOID, on_catalog_change, 0);
}

/* Take everything out of the cache if a catalog changed. */
static void
cache_refresh(void)
{
	HASH_SEQ_STATUS seq;
	ServerEntry *entry;

	cache_init();
	if (!stale)
		return;
	stale = false;
	only_server = InvalidOid;
	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		OssServer  *server = entry->server;

		hash_search(cache, &entry->key, HASH_REMOVE, NULL);
		server->cached = false;
		oss_server_unpin(server);
	}
}

/* Is a server still as the catalogs have it? */
bool
oss_server_is_current(const OssServer *server)
{
	cache_refresh();
	return server->cached;
}

/* Keep a server across transactions. */
void
oss_server_pin(OssServer *server)
{
	server->users++;
}

/* Undo a pin; the last one frees the server. */
void
oss_server_unpin(OssServer *server)
{
	Assert(server->users > 0);
	if (--server->users == 0)
		MemoryContextDelete(server->context);
}

/* Unpin a server whose holder's memory goes. */
static void
on_holder_reset(void *arg)
{
	oss_server_unpin(arg);
}

/* Keep a server until the current memory context goes. */
void
oss_server_hold(OssServer *server)
{
	MemoryContextCallback *reset = palloc(sizeof(*reset));

	reset->func = on_holder_reset;
	reset->arg = server;
	oss_server_pin(server);
	MemoryContextRegisterResetCallback(CurrentMemoryContext, reset);
}

/* List the wrapper's servers in a string for people; *n is their number. */
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

/* Return the wrapper's OID. */
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

/* Return the only server of the wrapper, or raise what is to be done. */
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
				 errmsg("which server to use is not clear"),
				 errdetail("There are %d: %s.", n, names),
				 errhint("Name one in the argument server or the setting oss_labels.server.")));
	only_server = found;
	return found;
}

/* Return the server of a name, which must be one of the wrapper's. */
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
						name, OSS_WRAPPER_NAME)));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("server \"%s\" does not exist", name),
			 errhint("Servers of the foreign-data wrapper \"%s\": %s.",
					 OSS_WRAPPER_NAME,
					 list_servers(wrapper_oid(), &n, &other))));
	return InvalidOid;
}

/* Return the server that name, or the lack of one, means for a role. */
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

/* Does a server have a mapping of this role, or of PUBLIC (InvalidOid)? */
static bool
has_mapping(Oid serverid, Oid userid)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER,
								 ObjectIdGetDatum(userid),
								 ObjectIdGetDatum(serverid));
}

/* Return the role's mapping of a server, else PUBLIC's; raise without one. */
static UserMapping *
find_mapping(Oid serverid, Oid userid)
{
	char	   *role;
	char	   *server;

	if (has_mapping(serverid, userid) || has_mapping(serverid, InvalidOid))
		return GetUserMapping(userid, serverid);
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
 * Refuse what only superusers may use.  The validator checked who defined the
 * options; this checks who can have changed their meaning since: the owner of
 * the server chooses the endpoint, to which tokens are sent.
 */
static void
check_trust(const OssServer *server, Oid owner, List *mapping_options)
{
	bool		machine = credential_uses_machine(mapping_options);

	if ((machine || server->ca_file != NULL) && !superuser_arg(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("server \"%s\" must be owned by a superuser", server->name),
				 machine ?
				 errdetail("The user mapping uses credentials of the server machine, which the owner of the foreign server could send anywhere.") :
				 errdetail("The option ca_file reads a file of the server machine."),
				 errhint("ALTER SERVER ... OWNER TO a superuser.")));
	if (credential_needs_superuser(mapping_options) &&
		!superuser_arg(server->userid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only superusers may use this user mapping of server \"%s\"",
						server->name),
				 errdetail("Its credential_source uses the identity, files or environment of the server machine."),
				 errhint("A superuser may set superuser_required 'false' in the user mapping.")));
}

/* Overwrite option values that were copied out of the catalog. */
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

/* Has this transaction written a server's row, so that it may be rolled back? */
static bool
is_tentative(Oid serverid)
{
	HeapTuple	tuple = SearchSysCache1(FOREIGNSERVEROID,
										ObjectIdGetDatum(serverid));
	TransactionId writer;

	if (!HeapTupleIsValid(tuple))
		return false;
	writer = HeapTupleHeaderGetXmin(tuple->t_data);
	ReleaseSysCache(tuple);
	return TransactionIdIsCurrentTransactionId(writer);
}

/*
 * Read a server and a mapping out of the catalogs, into a child of
 * CurrentMemoryContext.
 */
static OssServer *
read_server(Oid serverid, Oid userid)
{
	int64		now = http_clock_us();
	UserMapping *mapping = find_mapping(serverid, userid);
	ForeignServer *foreign = GetForeignServer(serverid);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "OSS labels server",
												  ALLOCSET_SMALL_SIZES);
	OssServer  *server = MemoryContextAllocZero(context, sizeof(OssServer));
	MemoryContextCallback *reset = MemoryContextAlloc(context, sizeof(*reset));

	server->context = context;
	server->serverid = serverid;
	server->read_at = is_tentative(serverid) ? 0 : now;
	server->public_mapping = !OidIsValid(mapping->userid);
	server->userid = userid;
	server->name = MemoryContextStrdup(context, foreign->servername);
	server_options_read(server, foreign->options);
	check_trust(server, foreign->owner, mapping->options);
	server->source = credential_source_make(context, mapping->options);
	reset->func = on_server_reset;
	reset->arg = server;
	MemoryContextRegisterResetCallback(context, reset);
	wipe_options(mapping->options);
	return server;
}

/* Resolve a server by OID for a role; USAGE has been checked. */
static OssServer *
lookup(Oid serverid, Oid userid)
{
	ServerKey	key = {serverid, userid};
	ServerEntry *entry = hash_search(cache, &key, HASH_FIND, NULL);
	OssServer  *server;

	if (entry != NULL)
		return entry->server;

	/* an invalidation that this brings is for the next refresh to obey */
	server = read_server(serverid, userid);
	entry = hash_search(cache, &key, HASH_ENTER, NULL);

	/* nothing can fail from here on */
	MemoryContextSetParent(server->context, TopMemoryContext);
	entry->server = server;
	server->cached = true;
	server->users = 1;
	return server;
}

/* Resolve a server for a role. */
OssServer *
oss_server_get(const char *name, Oid userid)
{
	return lookup(oss_server_oid(name, userid), userid);
}

/* Return the server's credentials, waiting for them. */
void
oss_server_credentials(OssServer *server, OssCredentials *who)
{
	const OssFailure *failure = NULL;
	CredentialState state;

	while ((state = credential_get(server->source, who, &failure)) == CREDENTIAL_PENDING)
		http_turn(-1);
	if (state == CREDENTIAL_FAILED)
		oss_failure_throw(failure);
}
