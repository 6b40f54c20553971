/*-------------------------------------------------------------------------
 * server_row.c
 *	  The catalog rows that a server is made from, and their digests.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "client/server_row.h"
#include "commands/defrem.h"
#include "common/cryptohash.h"
#include "compat.h"
#include "utils/syscache.h"

HeapTuple
oss_mapping_tuple(Oid serverid, Oid userid)
{
	HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
										ObjectIdGetDatum(userid),
										ObjectIdGetDatum(serverid));

	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
								ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(serverid));
	return tuple;
}

static void
digest_bytes(pg_cryptohash_ctx *digest, const void *bytes, size_t len)
{
	if (pg_cryptohash_update(digest, bytes, len) < 0)
		elog(ERROR, "could not compute a digest: %s",
			 pg_cryptohash_error(digest));
}

static void
digest_options(pg_cryptohash_ctx *digest, int cacheid, HeapTuple tuple,
			   AttrNumber column)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(cacheid, tuple, column, &isnull);
	struct varlena *options;
	uint32		len = 0;

	if (isnull)
	{
		digest_bytes(digest, &len, sizeof(len));
		return;
	}
	options = PG_DETOAST_DATUM_COPY(value);
	len = VARSIZE(options);
	digest_bytes(digest, &len, sizeof(len));
	digest_bytes(digest, options, len);
	explicit_bzero(options, len);
	pfree(options);
}

/* Add the server's options that fetches of keys depend on. */
static void
digest_proxy(pg_cryptohash_ctx *digest, HeapTuple server)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(FOREIGNSERVEROID, server,
										Anum_pg_foreign_server_srvoptions, &isnull);

	if (isnull)
		return;
	foreach_node(DefElem, option, untransformRelOptions(value))
	{
		const char *text = defGetString(option);

		if (strncmp(option->defname, "proxy", 5) != 0)
			continue;
		digest_bytes(digest, option->defname, strlen(option->defname) + 1);
		digest_bytes(digest, text, strlen(text) + 1);
	}
}

/*
 * Compute a digest of a mapping and of its server: of all options, or of those
 * that keys depend on.  Rewriting a mapping with the same options changes the
 * digest, so that ALTER USER MAPPING can force a new key.  Privileges, in the
 * server's row, are not included.
 */
static void
digest_rows(const OssServerRows *rows, HeapTuple server, HeapTuple mapping,
			bool whole, uint8 *result)
{
	pg_cryptohash_ctx *digest = pg_cryptohash_create(PG_SHA256);
	TransactionId writer = HeapTupleHeaderGetRawXmin(mapping->t_data);

	if (digest == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PG_TRY();
	{
		if (pg_cryptohash_init(digest) < 0)
			elog(ERROR, "could not begin a digest: %s",
				 pg_cryptohash_error(digest));
		digest_bytes(digest, &rows->mapping, sizeof(rows->mapping));
		digest_bytes(digest, &writer, sizeof(writer));
		digest_options(digest, USERMAPPINGUSERSERVER, mapping,
					   Anum_pg_user_mapping_umoptions);
		if (whole)
		{
			digest_bytes(digest, &rows->owner, sizeof(rows->owner));
			digest_options(digest, FOREIGNSERVEROID, server,
						   Anum_pg_foreign_server_srvoptions);
		}
		else
			digest_proxy(digest, server);
		if (pg_cryptohash_final(digest, result, CREDENTIAL_DIGEST_LEN) < 0)
			elog(ERROR, "could not end a digest: %s",
				 pg_cryptohash_error(digest));
	}
	PG_FINALLY();
	{
		pg_cryptohash_free(digest);
	}
	PG_END_TRY();
}

/* Was the row written by this transaction, so that it may be rolled back? */
static bool
is_tentative(HeapTuple tuple)
{
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
}

bool
oss_server_rows_read(Oid serverid, Oid userid, OssServerRows *rows)
{
	HeapTuple	server = SearchSysCache1(FOREIGNSERVEROID,
										 ObjectIdGetDatum(serverid));
	HeapTuple	mapping = oss_mapping_tuple(serverid, userid);
	bool		found = HeapTupleIsValid(server) && HeapTupleIsValid(mapping);

	if (found)
	{
		Form_pg_foreign_server form = (Form_pg_foreign_server) GETSTRUCT(server);

		rows->name = form->srvname;
		rows->owner = form->srvowner;
		rows->mapping = ((Form_pg_user_mapping) GETSTRUCT(mapping))->oid;
		rows->server_tentative = is_tentative(server);
		rows->mapping_tentative = is_tentative(mapping);
		digest_rows(rows, server, mapping, true, rows->digest);
		digest_rows(rows, server, mapping, false, rows->mapping_digest);
	}
	if (HeapTupleIsValid(mapping))
		ReleaseSysCache(mapping);
	if (HeapTupleIsValid(server))
		ReleaseSysCache(server);
	return found;
}
