/*-------------------------------------------------------------------------
 * bucket_domain.c
 *	  Writing to the view bucket_domain.
 *
 * Its rows are in the option bucket_domains of the server, and are written by
 * ALTER SERVER: so the server's owner alone may do that, values are checked by
 * the validator, all sessions see them at once, and they are renamed, dropped,
 * dumped and restored with the server.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "client/endpoint_option.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(oss_labels_bucket_domain_write);

#define DOMAINS "bucket_domains"

/* A row of the view. */
typedef struct DomainRow
{
	char	   *server;
	char	   *bucket;
	char	   *host;
} DomainRow;

/* Return a column of a row.  Errors: 23502 it is null. */
static char *
row_value(Relation view, HeapTuple tuple, const char *column)
{
	char	   *value = SPI_getvalue(tuple, RelationGetDescr(view),
									 SPI_fnumber(RelationGetDescr(view), column));

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in column \"%s\" of view \"%s\"", column,
						RelationGetRelationName(view)),
				 errhint("Name a server, a bucket, and the host that is the bucket's domain.")));
	return value;
}

static DomainRow
domain_row(Relation view, HeapTuple tuple)
{
	DomainRow	row;

	row.server = row_value(view, tuple, "server");
	row.bucket = row_value(view, tuple, "bucket");
	row.host = row_value(view, tuple, "host");
	return row;
}

/* Refuse what would be read as another entry of the list. */
static void
check_value(const char *value, const char *column)
{
	if (value[0] == '\0' || value[strcspn(value, ",= \t\r\n")] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s \"%s\"", column, value),
				 errdetail("It is empty, or has blanks, commas or equals signs."),
				 errhint("Give a single bucket, and a host such as \"img.example.com\".")));
}

/*
 * Return a server of the wrapper by its name, locked against others who write its
 * domains.  Errors: 42704, 42809, 42501 not its owner.
 */
static ForeignServer *
lock_named_server(const char *name)
{
	Oid			serverid = oss_server_oid(name, GetUserId());
	ForeignServer *server;

	if (!oss_server_ownercheck(serverid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_SERVER, name);
	LockDatabaseObject(ForeignServerRelationId, serverid, 0, ShareUpdateExclusiveLock);
	server = GetForeignServerExtended(serverid, FSV_MISSING_OK);
	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Another session has dropped it.")));
	return server;
}

/* Set the option of a server; NULL drops it. */
static void
set_domains(const ForeignServer *server, const char *old, const char *value)
{
	AlterForeignServerStmt *alter = makeNode(AlterForeignServerStmt);
	PlannedStmt *planned = makeNode(PlannedStmt);
	DefElemAction action = value == NULL ? DEFELEM_DROP :
	old == NULL ? DEFELEM_ADD : DEFELEM_SET;
	char	   *query = psprintf("ALTER SERVER %s OPTIONS (%s %s%s%s)",
								 quote_identifier(server->servername),
								 value == NULL ? "DROP" : old == NULL ? "ADD" : "SET",
								 DOMAINS, value == NULL ? "" : " ",
								 value == NULL ? "" : quote_literal_cstr(value));

	alter->servername = server->servername;
	alter->options = list_make1(makeDefElemExtended(NULL, DOMAINS,
													value == NULL ? NULL :
													(Node *) makeString(pstrdup(value)),
													action, -1));
	planned->commandType = CMD_UTILITY;
	planned->utilityStmt = (Node *) alter;
	planned->canSetTag = false;
	ProcessUtility(planned, query, false, PROCESS_UTILITY_QUERY, NULL, NULL,
				   None_Receiver, NULL);
	CommandCounterIncrement();
}

/*
 * Remove a bucket's domain, and add another one; either may be NULL.  Returns
 * false if that to be removed is not there.  Errors: 23505 the bucket has one.
 */
static bool
change_domains(const char *name, const DomainRow *gone, const DomainRow *added)
{
	ForeignServer *server = lock_named_server(name);
	const char *old = oss_option_value(server->options, DOMAINS);
	const char *rest = old;
	bool		found = gone == NULL;
	StringInfoData value;
	char	   *bucket;
	char	   *host;

	initStringInfo(&value);
	while (rest != NULL && oss_domain_next(&rest, &bucket, &host))
	{
		if (gone != NULL && strcmp(bucket, gone->bucket) == 0)
		{
			found = true;
			continue;
		}
		if (added != NULL && strcmp(bucket, added->bucket) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("bucket \"%s\" has a domain at server \"%s\" already",
							bucket, server->servername),
					 errdetail("The domain is \"%s\".", host),
					 errhint("Use UPDATE to change it.")));
		appendStringInfo(&value, "%s%s=%s", value.len > 0 ? ", " : "", bucket, host);
	}
	if (!found)
		return false;
	if (added != NULL)
		appendStringInfo(&value, "%s%s=%s", value.len > 0 ? ", " : "",
						 added->bucket, added->host);
	set_domains(server, old, value.len > 0 ? value.data : NULL);
	return true;
}

/* INSTEAD OF trigger of the view. */
Datum
oss_labels_bucket_domain_write(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	HeapTuple	result;
	DomainRow	gone;
	DomainRow	added;
	bool		there = true;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("bucket_domain_write() must be called as an INSTEAD OF trigger"),
				 errhint("Write to the view bucket_domain.")));
	result = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	if (!TRIGGER_FIRED_BY_INSERT(data->tg_event))
		gone = domain_row(data->tg_relation, data->tg_trigtuple);
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		there = change_domains(gone.server, &gone, NULL);
	else
	{
		added = domain_row(data->tg_relation, result);
		check_value(added.bucket, "bucket");
		check_value(added.host, "host");
		if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
			(void) change_domains(added.server, NULL, &added);
		else if (strcmp(gone.server, added.server) == 0)
			there = change_domains(gone.server, &gone, &added);
		else if ((there = change_domains(gone.server, &gone, NULL)))
			(void) change_domains(added.server, NULL, &added);
	}
	return PointerGetDatum(there ? result : NULL);
}
