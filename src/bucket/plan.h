/*-------------------------------------------------------------------------
 * plan.h
 *	  The planner's side of a foreign table, for its handler, and its data for
 *	  the executor's side.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BUCKET_PLAN_H
#define OSS_BUCKET_PLAN_H

#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

/*
 * fdw_private of the plan: this many Integers, then the kinds of the conditions
 * whose values are fdw_exprs.
 */
typedef enum OssBucketPrivate
{
	OSS_BUCKET_ORDERED,			/* does the plan rely on the order of keys? */
	OSS_BUCKET_KINDS
} OssBucketPrivate;

/* For _PG_init(): install the planner hook. */
extern void oss_bucket_init(void);

/* GetForeignRelSize, GetForeignPaths and GetForeignPlan. */
extern void oss_bucket_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid tableid);
extern void oss_bucket_paths(PlannerInfo *root, RelOptInfo *rel, Oid tableid);
extern ForeignScan *oss_bucket_plan(PlannerInfo *root, RelOptInfo *rel, Oid tableid,
									ForeignPath *path, List *tlist,
									List *clauses, Plan *outer_plan);

#endif							/* OSS_BUCKET_PLAN_H */
