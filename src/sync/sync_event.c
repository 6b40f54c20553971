/*-------------------------------------------------------------------------
 * sync_event.c
 *	  forget_as(): forgetting for an event, with the rights of a sync's role.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "spi/statement.h"

PG_FUNCTION_INFO_V1(oss_labels_forget_as);

static OssPlan forget_removed = {
	"SELECT oss_labels.forget($1, $2)",
	2, {TEXTOID, TEXTOID}
};

/*
 * oss_labels.forget_as(role, bucket, key): what forget() returns to the role.  An
 * error ends the (sub)transaction, which restores the user.  Errors: 42501.
 */
Datum
oss_labels_forget_as(PG_FUNCTION_ARGS)
{
	Datum		names[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	Oid			userid;
	int			context;
	OssStatementState state;
	bool		forgotten;

	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(PG_GETARG_OID(0), context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	oss_statement_begin(&state, OSS_STATEMENT_PINNED);
	oss_statement_execute(&forget_removed, names, NULL, SPI_OK_SELECT);
	forgotten = DatumGetBool(oss_result_column(0, 1, NULL));
	oss_statement_end(&state);
	SetUserIdAndSecContext(userid, context);
	PG_RETURN_BOOL(forgotten);
}
