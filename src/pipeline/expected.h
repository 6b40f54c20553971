/*-------------------------------------------------------------------------
 * expected.h
 *	  The requests that the planner expects of a plan.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_EXPECTED_H
#define OSS_EXPECTED_H


#include "nodes/plannodes.h"

/*
 * How many of so many rows need a request, if they name so many distinct images:
 * equal requests are shared while the answers fit into work_mem.
 */
extern double oss_expected_of(double rows, double images);

/* Return a Float for each call that is made for the rows of a plan. */
extern List *oss_expected_requests(Plan *plan, List *calls);

#endif							/* OSS_EXPECTED_H */
