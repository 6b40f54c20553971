/*-------------------------------------------------------------------------
 * plan.h
 *	  The interface between the pipeline's planner and executor sides.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PLAN_H
#define OSS_PLAN_H


#include "nodes/extensible.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "pipeline/pipeline.h"

/*
 * custom_private of the plan: Integers, in this order, then a Float.  FIRST_RELID is
 * the lowest member of custom_relids at planning, from which the function's range
 * table index is found after setrefs has shifted both.
 */
typedef enum OssPlanPrivate
{
	OSS_PLAN_FUNCTION,			/* OssFunction */
	OSS_PLAN_JOINTYPE,			/* JoinType: INNER, LEFT, SEMI or ANTI */
	OSS_PLAN_OUTER_COLUMNS,		/* columns of the outer plan */
	OSS_PLAN_RELID,				/* the function's range table index */
	OSS_PLAN_FIRST_RELID,
	OSS_PLAN_REQUESTS			/* that the planner expects */
} OssPlanPrivate;

/*
 * custom_exprs of the plan.  The columns of the joined row
 * (custom_scan_tlist) are those of the outer plan, then Vars of the function.
 */
typedef enum OssPlanExprs
{
	OSS_PLAN_CALL,				/* FuncExpr; its arguments refer only to outer
								 * columns and parameters */
	OSS_PLAN_MATCH,				/* list: conditions on a label row (not for
								 * INNER, whose conditions are all in the
								 * plan's qual) */
	OSS_PLAN_BEFORE				/* list: those of MATCH that need no label row */
} OssPlanExprs;

/* Number of the expected requests in custom_private of the path. */
#define OSS_PATH_REQUESTS 4

/* Return Integer number i of custom_private. */
#define oss_plan_private(cscan, i) \
	intVal(list_nth((cscan)->custom_private, (i)))

/*
 * Return the call of detect, try_detect or tag that a base relation consists
 * of, and set *which; else return NULL.
 */
extern FuncExpr *oss_pipeline_call(PlannerInfo *root, RelOptInfo *rel,
								   OssFunction *which);

/* PlanCustomPath method. */
extern Plan *oss_pipeline_plan(PlannerInfo *root, RelOptInfo *rel,
							   CustomPath *best_path, List *tlist,
							   List *clauses, List *custom_plans);

/* In node.c. */
extern const CustomScanMethods oss_pipeline_scan_methods;

#endif							/* OSS_PLAN_H */
