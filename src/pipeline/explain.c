/*-------------------------------------------------------------------------
 * explain.c
 *	  EXPLAIN of a pipeline node.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "account/price.h"
#include "commands/explain.h"
#include "compat.h"
#include "nodes/makefuncs.h"
#include "pipeline/node.h"
#include "pipeline/plan.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

/* Return the name of a join type, NULL for an inner join. */
static const char *
join_name(JoinType jointype)
{
	switch (jointype)
	{
		case JOIN_LEFT:
			return "Left";
		case JOIN_SEMI:
			return "Semi";
		case JOIN_ANTI:
			return "Anti";
		default:
			return NULL;
	}
}

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

/* Print the properties of the plan. */
static void
explain_plan(PipelineState *state, List *ancestors, ExplainState *es)
{
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	FuncExpr   *call = list_nth_node(FuncExpr, cscan->custom_exprs,
									 OSS_PLAN_CALL);
	const char *join = join_name(state->jointype);

	ExplainPropertyText("Function",
						quote_qualified_identifier(get_namespace_name(get_func_namespace(call->funcid)),
												   get_func_name(call->funcid)),
						es);
	if (es->verbose)
		explain_expression("Function Call", (Node *) call, &state->css,
						   ancestors, es);
	if (join != NULL)
		ExplainPropertyText("Join Type", join, es);
	if (state->match_clauses != NIL)
		explain_expression("Join Filter",
						   (Node *) make_ands_explicit(state->match_clauses),
						   &state->css, ancestors, es);
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

/*
 * Print what the planner expects, before anything is paid for; what is stored already
 * it does not know.
 */
static void
explain_estimate(PipelineState *state, List *ancestors, ExplainState *es)
{
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	double		requests = floatVal(list_nth(cscan->custom_private, OSS_PLAN_REQUESTS));
	double		share = wanted_share(&cscan->scan.plan, ancestors);
	bool		head = oss_function_is_head(state->window.which);
	Datum		cost;
	char	   *currency;

	if (share < 1)
		requests = Min(requests, oss_pipeline_most_started(state->window.member,
														   ceil(requests * share)));
	ExplainPropertyFloat("Estimated Requests", NULL, requests, 0, es);
	if (requests < (double) PG_INT64_MAX &&
		oss_price_of(head ? "head" : "label", NULL, (int64) requests, &cost, &currency))
		ExplainPropertyText("Estimated Cost",
							psprintf("%s %s", DatumGetCString(DirectFunctionCall1(numeric_out, cost)),
									 currency), es);
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
