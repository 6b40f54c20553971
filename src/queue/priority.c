/*-------------------------------------------------------------------------
 * priority.c
 *	  The privilege to use priorities above 0.
 *
 * It is EXECUTE on oss_labels.may_prioritize(), so that PostgreSQL stores,
 * inherits and dumps it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "queue/priority.h"
#include "spi/statement.h"
#include "utils/acl.h"

#define PRIORITY_HINT \
	"The extension's owner grants priorities above 0: CALL oss_labels.grant_priority('role')."

bool
oss_may_prioritize(Oid role)
{
	List	   *name = list_make2(makeString("oss_labels"),
								  makeString("may_prioritize"));
	Oid			marker = LookupFuncName(name, 0, NULL, true);

	return OidIsValid(marker) ?
		oss_function_aclcheck(marker, role) == ACLCHECK_OK : superuser_arg(role);
}

void
oss_check_priority(int32 priority)
{
	if (priority > 0 && !oss_may_prioritize(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for priority %d", priority),
				 errhint(PRIORITY_HINT)));
}

int32
oss_table_priority(int32 priority, Oid table)
{
	static TimestampTz warned = 0;
	Oid			owner;

	if (priority <= 0 || oss_may_prioritize(GetUserId()))
		return priority;
	owner = oss_table_owner(table);
	if (OidIsValid(owner) && oss_may_prioritize(owner))
		return priority;
	if (warned != GetCurrentTransactionStartTimestamp())
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for priority %d: images are queued with priority 0",
						priority),
				 errhint(PRIORITY_HINT)));
	warned = GetCurrentTransactionStartTimestamp();
	return 0;
}
