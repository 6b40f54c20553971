/*-------------------------------------------------------------------------
 * run_as.c
 *	  The role and the settings with which a function runs.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "pipeline/run_as.h"
#include "utils/guc.h"
#include "utils/syscache.h"

OssRunAs
oss_run_as_of(HeapTuple proc)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(proc);
	OssRunAs	as = {InvalidOid, NULL};
	bool		isnull;
	Datum		config = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_proconfig, &isnull);

	if (form->prosecdef)
		as.owner = form->proowner;
	if (!isnull)
		as.config = DatumGetArrayTypePCopy(config);
	return as;
}

OssRanAs
oss_run_as_begin(const OssRunAs *as)
{
	OssRanAs	before = {.level = 0};

	GetUserIdAndSecContext(&before.userid, &before.context);
	if (OidIsValid(as->owner))
		SetUserIdAndSecContext(as->owner, before.context | SECURITY_LOCAL_USERID_CHANGE);
	if (as->config != NULL)
	{
		before.level = NewGUCNestLevel();
		ProcessGUCArray(as->config, superuser() ? PGC_SUSET : PGC_USERSET,
						PGC_S_SESSION, GUC_ACTION_SAVE);
	}
	return before;
}

void
oss_run_as_end(const OssRanAs *before)
{
	if (before->level > 0)
		AtEOXact_GUC(true, before->level);
	SetUserIdAndSecContext(before->userid, before->context);
}
