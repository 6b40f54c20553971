/*-------------------------------------------------------------------------
 * run_as.h
 *	  The role and the settings with which a function runs.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RUN_AS_H
#define OSS_RUN_AS_H


#include "access/htup.h"
#include "utils/array.h"

/* What SECURITY DEFINER and SET of a function say; zeroed: nothing. */
typedef struct OssRunAs
{
	Oid			owner;			/* or InvalidOid */
	ArrayType  *config;			/* or NULL */
} OssRunAs;

/* What was before. */
typedef struct OssRanAs
{
	Oid			userid;
	int			context;
	int			level;			/* of settings, or 0 */
} OssRanAs;

/* Read them of a row of pg_proc, in CurrentMemoryContext. */
extern OssRunAs oss_run_as_of(HeapTuple proc);

/*
 * Become that, as fmgr_security_definer() does, and what was before.  An error in
 * between is undone by the end of the (sub)transaction.
 */
extern OssRanAs oss_run_as_begin(const OssRunAs *as);
extern void oss_run_as_end(const OssRanAs *before);

#endif							/* OSS_RUN_AS_H */
