/*-------------------------------------------------------------------------
 * sync_event.c
 *	  forget_as(): forgetting for an event, with the rights of a sync's role.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "sync/sync_row.h"

PG_FUNCTION_INFO_V1(oss_labels_forget_as);

/* oss_labels.forget_as(role, bucket, key): what forget() returns to the role. */
Datum
oss_labels_forget_as(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(oss_sync_forget_as(PG_GETARG_OID(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)));
}
