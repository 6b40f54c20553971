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
 * The plan is a CustomScan whose scan tuple (custom_scan_tlist) is the row of its
 * lefttree.  custom_exprs are its calls (find_calls.h), whose Vars are columns of that
 * row.  Its target list and qual may be those that stood in the node below.
 * custom_private has a Float for each call: the requests that the planner expects.
 */

/*
 * Put pipelines into a finished plan, which can be read backward if scroll is set.
 * Returns false if there is no place for any, or if they are there already.
 */
extern bool oss_pipeline_insert(PlannedStmt *stmt, bool scroll);

/* In node.c. */
extern const CustomScanMethods oss_pipeline_scan_methods;

/* Return the IDs of the executor parameters in an expression. */
extern Bitmapset *oss_params_of(Node *expr);

#endif							/* OSS_PLAN_H */
