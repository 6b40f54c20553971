/*-------------------------------------------------------------------------
 * explain.c
 *	  EXPLAIN of a pipeline node.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "account/price.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "compat.h"
#include "nodes/makefuncs.h"
#include "pipeline/find_calls.h"
#include "pipeline/node.h"
#include "pipeline/plan.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

static void
explain_expression(const char *label, Node *expr, CustomScanState *css,
				   List *ancestors, ExplainState *es)
{
	List	   *context = set_deparse_context_plan(es->deparse_cxt,
												   css->ss.ps.plan, ancestors);
	bool		prefix = list_length(es->rtable) > 1 || es->verbose;

	ExplainPropertyText(label,
						deparse_expression(expr, context, prefix, false), es);
}

/* Return arguments as one expression. */
static Node *
row_of(List *args)
{
	RowExpr    *row = makeNode(RowExpr);

	row->args = args;
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	return (Node *) row;
}

/* Print the properties of the plan. */
static void
explain_plan(PipelineState *state, List *ancestors, ExplainState *es)
{
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, cscan->custom_exprs)
	{
		List	   *call = lfirst_node(List, lc);
		Oid			wrapper = oss_call_id(call, 2);
		Oid			funcid = OidIsValid(wrapper) ? wrapper : oss_call_id(call, 1);

		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 quote_qualified_identifier(get_namespace_name(get_func_namespace(funcid)),
													get_func_name(funcid)));
	}
	ExplainPropertyText("Function", names.data, es);
	foreach(lc, cscan->custom_exprs)
	{
		List	   *call = lfirst_node(List, lc);
		List	   *conditions = list_nth(call, OSS_CALL_CONDITIONS);

		if (es->verbose)
			explain_expression("Arguments",
							   row_of(list_nth(call, OSS_CALL_ARGUMENTS)),
							   &state->css, ancestors, es);
		if (conditions != NIL)
			explain_expression("Call Filter", (Node *) make_ands_explicit(conditions),
							   &state->css, ancestors, es);
	}
	ExplainPropertyInteger("Concurrency", NULL,
						   oss_pipeline_member_concurrency(state->window.member), es);
}

/*
 * Return the share of a plan's rows that LIMITs above it ask for, as their costs
 * tell, where nothing between needs all rows.
 */
static double
wanted_share(const Plan *plan, List *ancestors)
{
	double		share = 1;
	ListCell   *cell;

	foreach(cell, ancestors)
	{
		const Plan *parent = lfirst(cell);
		double		run = plan->total_cost - plan->startup_cost;

		switch (nodeTag(parent))
		{
			case T_Limit:
				if (run > 0)
					share *= Min((parent->total_cost - plan->startup_cost) / run, 1);
				break;
			case T_NestLoop:
			case T_HashJoin:
				if (outerPlan(parent) != plan)
					return share;
				break;
			case T_CustomScan:
			case T_LockRows:
			case T_ProjectSet:
			case T_Result:
			case T_SubqueryScan:
				break;
			default:
				return share;
		}
		plan = parent;
	}
	return share;
}

/* Return what so many requests cost, as a text to add to the others, or NULL. */
static char *
cost_of(const char *kind, double requests)
{
	Datum		cost;
	char	   *currency;

	if (requests < (double) PG_INT64_MAX &&
		oss_price_of(kind, NULL, (int64) requests, &cost, &currency))
		return psprintf("%s %s", DatumGetCString(DirectFunctionCall1(numeric_out, cost)),
						currency);
	return NULL;
}

/*
 * Print what the planner expects, before anything is paid for; what is stored already
 * it does not know.
 */
static void
explain_estimate(PipelineState *state, List *ancestors, ExplainState *es)
{
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	double		share = wanted_share(&cscan->scan.plan, ancestors);
	double		total = 0;
	double		heads = 0;
	char	   *cost;
	int			i = 0;
	ListCell   *lc;

	foreach(lc, cscan->custom_private)
	{
		double		requests = floatVal(lfirst(lc));

		if (share < 1)
			requests = Min(requests, oss_pipeline_most_started(state->window.member,
															   ceil(requests * share)));
		total += requests;
		if (oss_function_is_head(state->window.sites[i++].which))
			heads += requests;
	}
	ExplainPropertyFloat("Estimated Requests", NULL, total, 0, es);

	/* there is no common price */
	cost = heads == 0 ? cost_of("label", total) : heads == total ? cost_of("head", total) : NULL;
	if (cost != NULL)
		ExplainPropertyText("Estimated Cost", cost, es);
}

/* Print the counters of the execution. */
static void
explain_counters(PipelineState *state, ExplainState *es)
{
	const PipelineMember *member = state->window.member;
	const OssCounters *counters = oss_group_counters(member->group);

	ExplainPropertyInteger("Requests", NULL, counters->requests, es);
	ExplainPropertyInteger("Coalesced", NULL, member->coalesced, es);
	ExplainPropertyInteger("Retries", NULL, counters->retries, es);
	ExplainPropertyInteger("Throttled", NULL, counters->throttled, es);
	if (counters->over_budget > 0)
		ExplainPropertyInteger("Refused by Budget", NULL, counters->over_budget, es);
	ExplainPropertyInteger("Most in Flight", NULL, counters->most_in_flight, es);
	ExplainPropertyInteger("Bytes Received", NULL, counters->bytes_received, es);
	ExplainPropertyInteger("Started but not Delivered", NULL,
						   oss_pipeline_undelivered(member), es);
}

void
oss_pipeline_explain(CustomScanState *css, List *ancestors, ExplainState *es)
{
	PipelineState *state = (PipelineState *) css;

	explain_plan(state, ancestors, es);
	if (es->costs)
		explain_estimate(state, ancestors, es);
	if (es->analyze)
		explain_counters(state, es);
}
