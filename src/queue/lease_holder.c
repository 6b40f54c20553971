/*-------------------------------------------------------------------------
 * lease_holder.c
 *	  The holder of a lease, and the fingerprint of an automatic pause: facts
 *	  that SQL shows to superusers only, which the extension's owner need not
 *	  be.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "common/hashfn.h"
#include "compat.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "queue/job.h"
#include "spi/statement.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_lease_holder);
PG_FUNCTION_INFO_V1(oss_labels_fingerprint);

/* Return the lease number of a process from its start and pid. */
static int64
token_of(TimestampTz start, int pid)
{
	int64		days = POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE;
	int64		epoch = days * SECS_PER_DAY * 1000;

	return (start / 1000 + epoch) * (INT64CONST(1) << 22) + pid;
}

int64
oss_lease_token(void)
{
	return token_of(MyStartTimestamp, MyProcPid);
}

/* Is this an idle session? */
static bool
is_idle(const PgBackendStatus *status)
{
	return status->st_backendType == B_BACKEND &&
		(status->st_state == STATE_IDLE ||
		 status->st_state == STATE_IDLEINTRANSACTION ||
		 status->st_state == STATE_IDLEINTRANSACTION_ABORTED);
}

/*
 * oss_labels.lease_holder(lease): 'idle' for an idle session, 'busy' for any
 * other process, NULL if it does not exist.
 */
Datum
oss_labels_lease_holder(PG_FUNCTION_ARGS)
{
	int64		lease = PG_GETARG_INT64(0);
	int			n = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= n; i++)
	{
		PgBackendStatus *status = &oss_local_beentry(i)->backendStatus;

		if (status->st_procpid > 0 &&
			token_of(status->st_proc_start_timestamp, status->st_procpid) == lease)
			PG_RETURN_TEXT_P(cstring_to_text(is_idle(status) ? "idle" : "busy"));
	}
	PG_RETURN_NULL();
}

/*
 * Hash the versions of a server's user mappings, of all roles or of the
 * requester.
 */
static uint64
hash_mappings(Oid serverid, Oid requester)
{
	Relation	relation = table_open(UserMappingRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	uint64		hash = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_user_mapping mapping = (Form_pg_user_mapping) GETSTRUCT(tuple);
		uint32		version[2];

		if (mapping->umserver != serverid ||
			(OidIsValid(requester) && OidIsValid(mapping->umuser) &&
			 mapping->umuser != requester))
			continue;
		version[0] = mapping->oid;
		version[1] = HeapTupleHeaderGetRawXmin(tuple->t_data);

		/* a sum, independent of the order of rows */
		hash += hash_bytes_extended((const unsigned char *) version,
									sizeof(version), 0);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return hash;
}

static bool
is_superuser(Oid role)
{
	HeapTuple	row = oss_catalog_row(AuthIdRelationId, AuthIdOidIndexId,
									  Anum_pg_authid_oid, role);

	return HeapTupleIsValid(row) && ((Form_pg_authid) GETSTRUCT(row))->rolsuper;
}

/*
 * oss_labels.fingerprint(server, requester): a hash of the versions of a
 * server and of its mappings (of all roles if requester is NULL), and of
 * whether its owner and the requester are superusers; NULL if the server does
 * not exist.
 */
Datum
oss_labels_fingerprint(PG_FUNCTION_ARGS)
{
	Oid			serverid;
	HeapTuple	server;
	Oid			requester = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	serverid = get_foreign_server_oid(text_to_cstring(PG_GETARG_TEXT_PP(0)), true);
	/* caches may not reflect the commit that woke the worker */
	server = oss_catalog_row(ForeignServerRelationId, ForeignServerOidIndexId,
							 Anum_pg_foreign_server_oid, serverid);
	if (!HeapTupleIsValid(server))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%u %u " UINT64_FORMAT " %d%d",
											  serverid,
											  HeapTupleHeaderGetRawXmin(server->t_data),
											  hash_mappings(serverid, requester),
											  is_superuser(((Form_pg_foreign_server) GETSTRUCT(server))->srvowner),
											  is_superuser(requester))));
}
