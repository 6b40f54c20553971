/*-------------------------------------------------------------------------
 * identity.c
 *	  A job's requester, source table and server, across dumps.
 *
 * An OID survives renaming but is another object's in another cluster or
 * database, where only the name identifies the object.  A job must never run
 * with the rights of a role that happens to have the same OID.  All are plain
 * values without dependencies, so that a dump can be restored whatever objects
 * are missing.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "queue/identity.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(oss_labels_origin);
PG_FUNCTION_INFO_V1(oss_labels_role_of);
PG_FUNCTION_INFO_V1(oss_labels_server_of);
PG_FUNCTION_INFO_V1(oss_labels_table_of);
PG_FUNCTION_INFO_V1(oss_labels_table_gone);

int64
oss_origin(void)
{
	Datum		hash = DirectFunctionCall2(hashint8extended,
										   Int64GetDatum((int64) GetSystemIdentifier()),
										   Int64GetDatum(0));

	return (int64) ((DatumGetUInt64(hash) & ~UINT64CONST(0xFFFFFFFF)) |
					MyDatabaseId);
}

/*
 * Return a table by its qualified name, which a user may have written, or
 * InvalidOid.
 */
static Oid
table_named(const char *name)
{
	List	   *names;
	Oid			schema;

	if (!SplitIdentifierString(pstrdup(name), '.', &names) ||
		list_length(names) != 2)
		return InvalidOid;
	schema = get_namespace_oid(linitial(names), true);
	return OidIsValid(schema) ? get_relname_relid(lsecond(names), schema) :
		InvalidOid;
}

/*
 * In the database of the origin the OID decides if the table exists, else the
 * qualified name.
 */
Oid
oss_table_of(int64 origin, Oid table, const char *name)
{
	if (origin == oss_origin() &&
		SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
		return table;
	return name ? table_named(name) : InvalidOid;
}

/*
 * In the database of the origin the OID decides if the server exists, else
 * the name.
 */
const char *
oss_server_of(int64 origin, Oid server, const char *name)
{
	ForeignServer *found = NULL;

	if (OidIsValid(server) && origin == oss_origin())
		found = GetForeignServerExtended(server, FSV_MISSING_OK);
	return found ? found->servername : name;
}

char *
oss_table_name(Oid table)
{
	char	   *name = get_rel_name(table);
	char	   *schema = get_namespace_name(get_rel_namespace(table));

	if (name == NULL || schema == NULL ||
		get_rel_persistence(table) == RELPERSISTENCE_TEMP)
		return NULL;
	return quote_qualified_identifier(schema, name);
}

/* oss_labels.origin() */
Datum
oss_labels_origin(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(oss_origin());
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
}

/*
 * oss_labels.role_of(origin, role, name): the requester of a row of the queue,
 * NULL if it was dropped.  In the cluster of the origin the OID decides,
 * elsewhere the name (NULL: unknown).
 */
Datum
oss_labels_role_of(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);
	Oid			role;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	role = PG_GETARG_OID(1);
	if ((uint64) PG_GETARG_INT64(0) >> 32 != (uint64) oss_origin() >> 32)
		role = name ? get_role_oid(name, true) : InvalidOid;
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		PG_RETURN_NULL();
	PG_RETURN_OID(role);
}

/* oss_labels.table_of(origin, source, name) */
Datum
oss_labels_table_of(PG_FUNCTION_ARGS)
{
	Oid			table = InvalidOid;

	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
		table = oss_table_of(PG_GETARG_INT64(0), PG_GETARG_OID(1),
							 name_argument(fcinfo));
	if (!OidIsValid(table))
		PG_RETURN_NULL();
	PG_RETURN_OID(table);
}

/* oss_labels.server_of(origin, server_id, name) */
Datum
oss_labels_server_of(PG_FUNCTION_ARGS)
{
	const char *name = name_argument(fcinfo);

	if (name && !PG_ARGISNULL(0) && !PG_ARGISNULL(1))
		name = oss_server_of(PG_GETARG_INT64(0), PG_GETARG_OID(1), name);
	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/*
 * oss_labels.table_gone(origin, source, name): was the table dropped?  NULL
 * if unknown, as where a dump was restored without the table.
 */
Datum
oss_labels_table_gone(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) ||
		PG_GETARG_INT64(0) != oss_origin())
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(!OidIsValid(oss_table_of(PG_GETARG_INT64(0), PG_GETARG_OID(1),
											name_argument(fcinfo))));
}
