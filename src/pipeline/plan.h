/*-------------------------------------------------------------------------
 * plan.h
 *	  What the planner's side of the pipeline hands to the executor's.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PLAN_H
#define OSS_PLAN_H

#include "postgres.h"

#include "nodes/extensible.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "pipeline/pipeline.h"

/*
 * custom_private of the plan: Integers, in this order.  FIRST_RELID is the
 * lowest member of custom_relids when the plan was made, so that the
 * function's own range table index can be found after setrefs moved both.
 */
typedef enum OssPlanPrivate
{
	OSS_PLAN_FUNCTION,			/* OssFunction */
	OSS_PLAN_JOINTYPE,			/* JoinType: INNER, LEFT, SEMI or ANTI */
	OSS_PLAN_OUTER_COLUMNS,		/* columns of the outer plan */
	OSS_PLAN_RELID,				/* the function's range table index */
	OSS_PLAN_FIRST_RELID
} OssPlanPrivate;

/*
 * custom_exprs of the plan.  The columns of the joined row (custom_scan_tlist)
 * are the outer plan's, then Vars of the function.
 */
typedef enum OssPlanExprs
{
	OSS_PLAN_CALL,				/* FuncExpr; its arguments refer to the outer
								 * columns and to parameters alone */
	OSS_PLAN_MATCH,				/* list: when does a label row match (unless
								 * INNER, where all is in the plan's qual) */
	OSS_PLAN_BEFORE				/* list: parts of MATCH that need no label row */
} OssPlanExprs;

/* Integer number i of custom_private. */
#define oss_plan_private(cscan, i) \
	intVal(list_nth((cscan)->custom_private, (i)))

/*
 * Return the call of detect, try_detect or tag that a base relation is, and set
 * *which; or return NULL.
 */
extern FuncExpr *oss_pipeline_call(PlannerInfo *root, RelOptInfo *rel,
								   OssFunction *which);

/* Make the plan of a path: its PlanCustomPath method. */
extern Plan *oss_pipeline_plan(PlannerInfo *root, RelOptInfo *rel,
							   CustomPath *best_path, List *tlist,
							   List *clauses, List *custom_plans);

/* Turns the plan into its state: node.c. */
extern const CustomScanMethods oss_pipeline_scan_methods;

#endif							/* OSS_PLAN_H */
