/*-------------------------------------------------------------------------
 * expected.c
 *	  The requests that the planner expects of a plan.
 *
 * The images that a call's arguments can name are at most the combinations of the rows
 * of the scans that they come from, whatever is joined to those.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "pipeline/expected.h"
#include "pipeline/find_calls.h"

/* Estimated memory of an answer that is kept for equal requests. */
#define ANSWER_BYTES		8192.0

double
oss_expected_of(double rows, double images)
{
	if (images > work_mem * 1024.0 / ANSWER_BYTES)
		return rows;
	return Min(images, rows);
}

static List *origins_of(Plan *plan, Node *expr, List *origins);

/* Add the plans from which a column comes. */
static List *
origins_of_column(Plan *above, Plan *plan, AttrNumber attno, List *origins)
{
	TargetEntry *entry = plan ? get_tle_by_resno(plan->targetlist, attno) : NULL;

	if (entry == NULL)
		return list_append_unique_ptr(origins, above);
	return origins_of(plan, (Node *) entry->expr, origins);
}

/* Add the plans from which the columns in an expression of a plan come. */
static List *
origins_of(Plan *plan, Node *expr, List *origins)
{
	ListCell   *lc;

	foreach(lc, pull_var_clause(expr, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS |
								PVC_RECURSE_PLACEHOLDERS))
	{
		Var		   *var = lfirst(lc);

		if (var->varno == OUTER_VAR)
			origins = origins_of_column(plan, outerPlan(plan), var->varattno, origins);
		else if (var->varno == INNER_VAR && innerPlan(plan) != NULL &&
				 !(IsA(plan, NestLoop) && ((NestLoop *) plan)->nestParams != NIL))
			origins = origins_of_column(plan, innerPlan(plan), var->varattno, origins);
		else if (IsA(plan, SubqueryScan))
			origins = origins_of_column(plan, ((SubqueryScan *) plan)->subplan,
										var->varattno, origins);
		else if (var->varno == INDEX_VAR && IsA(plan, CustomScan))
			origins = origins_of_column(plan, outerPlan(plan), var->varattno, origins);
		else
			origins = list_append_unique_ptr(origins, plan);
	}
	return origins;
}

List *
oss_expected_requests(Plan *plan, List *calls)
{
	List	   *expected = NIL;
	ListCell   *call;

	foreach(call, calls)
	{
		List	   *args = list_nth(lfirst(call), OSS_CALL_ARGUMENTS);
		List	   *origins = NIL;
		double		images = 1;
		ListCell   *lc;

		foreach(lc, pull_var_clause((Node *) args, 0))
			origins = origins_of_column(plan, plan, lfirst_node(Var, lc)->varattno, origins);
		foreach(lc, origins)
			images *= Max(((Plan *) lfirst(lc))->plan_rows, 1);
		expected = lappend(expected,
						   makeFloat(psprintf("%.0f", oss_expected_of(plan->plan_rows, images))));
	}
	return expected;
}
