/*-------------------------------------------------------------------------
 * alone.c
 *	  Saying which calls are made one at a time: EXPLAIN in a NOTICE, a query that
 *	  has made many in a WARNING.
 *
 * What counts is the query that a client or a DO block runs, with all that functions
 * run within it.  Neither says anything where the pipeline is off.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "pipeline/alone.h"
#include "pipeline/begun.h"
#include "pipeline/find_calls.h"
#include "pipeline/plan.h"

/* So many requests may be made one at a time without a word. */
#define MANY_ALONE 20

#define HINT_ALONE \
	"Write \"FROM your_table t, LATERAL oss_labels.%s(t.bucket, t.key) l\" with the call itself, " \
	"outside of CASE, COALESCE, AND, OR and functions."

/* What was counted of a running query; it is freed with the query. */
typedef struct Tally
{
	MemoryContextCallback gone;
	const EState *query;
	int			alone;
	struct Tally *next;
} Tally;

static Tally *tallies = NULL;

static ExecutorStart_hook_type prev_start_hook = NULL;

/* Callback of the query's memory context. */
static void
forget_tally(void *arg)
{
	Tally	  **place = &tallies;

	while (*place != arg)
		place = &(*place)->next;
	*place = ((Tally *) arg)->next;
}

static Tally *
tally_of(EState *query)
{
	Tally	   *tally = tallies;

	while (tally != NULL && tally->query != query)
		tally = tally->next;
	if (tally != NULL)
		return tally;
	tally = MemoryContextAllocZero(query->es_query_cxt, sizeof(Tally));
	tally->query = query;
	tally->next = tallies;
	tallies = tally;
	tally->gone.func = forget_tally;
	tally->gone.arg = tally;
	MemoryContextRegisterResetCallback(query->es_query_cxt, &tally->gone);
	return tally;
}

/* oss_sends_alone */
static void
count_alone(OssFunction which)
{
	EState	   *query = oss_begun_query();

	if (query == NULL || !oss_pipeline_enabled || ++tally_of(query)->alone != MANY_ALONE)
		return;
	ereport(WARNING,
			(errmsg("%d requests of this query were made one at a time", MANY_ALONE),
			 errdetail("Each was sent only when the one before had been answered; the last is one of oss_labels.%s().",
					   oss_function_name(which)),
			 errhint(HINT_ALONE, oss_function_name(which))));
}

/* Context of walkers over plans. */
typedef struct Look
{
	List	   *begun;			/* places of calls that are begun ahead */
	Bitmapset  *constant;		/* parameters that are set once */
	Bitmapset  *alone;			/* OssFunctions */
} Look;

/* Tree walker: does an expression depend on a row? */
static bool
depends_on_row(Node *node, void *context)
{
	Look	   *look = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return true;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXEC &&
			!bms_is_member(((Param *) node)->paramid, look->constant);
	return expression_tree_walker(node, depends_on_row, context);
}

/* Tree walker: note the calls that nothing begins ahead. */
static bool
look_at_expr(Node *node, void *context)
{
	Look	   *look = context;
	FuncExpr   *call = (FuncExpr *) node;
	OssWrapped	wrapped;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) &&
		(oss_pipeline_function(call->funcid, &wrapped.which) ||
		 oss_pipeline_wrapped(call, &wrapped)) &&
		!oss_call_is_at(look->begun, call) &&
		depends_on_row((Node *) call->args, look))
		look->alone = bms_add_member(look->alone, wrapped.which);
	return expression_tree_walker(node, look_at_expr, context);
}

/* Tree walker: note what plans begin ahead, and the parameters that they set once. */
static bool
note_begun(PlanState *ps, void *context)
{
	Look	   *look = context;
	const Plan *plan = ps->plan;
	ListCell   *lc;

	foreach(lc, plan->initPlan)
	{
		ListCell   *id;

		foreach(id, lfirst_node(SubPlan, lc)->setParam)
			look->constant = bms_add_member(look->constant, lfirst_int(id));
	}
	if (IsA(plan, CustomScan) &&
		((CustomScan *) plan)->methods == &oss_pipeline_scan_methods)
	{
		foreach(lc, ((CustomScan *) plan)->custom_exprs)
			look->begun = list_concat(look->begun, list_nth(lfirst(lc), OSS_CALL_PLACES));
	}
	return planstate_tree_walker(ps, note_begun, look);
}

/* Tree walker: note the calls of plans that nothing begins ahead. */
static bool
note_alone(PlanState *ps, void *context)
{
	Look	   *look = context;
	const Plan *plan = ps->plan;
	ListCell   *lc;

	(void) look_at_expr((Node *) plan->targetlist, look);
	(void) look_at_expr((Node *) plan->qual, look);
	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			(void) look_at_expr((Node *) ((Join *) plan)->joinqual, look);
			break;
		case T_FunctionScan:
			foreach(lc, ((FunctionScan *) plan)->functions)
				(void) look_at_expr(lfirst_node(RangeTblFunction, lc)->funcexpr, look);
			break;
		case T_ModifyTable:
			(void) look_at_expr((Node *) ((ModifyTable *) plan)->returningLists, look);
			break;
		default:
			break;
	}
	return planstate_tree_walker(ps, note_alone, look);
}

/* Tell EXPLAIN of the calls in a plan that are made one at a time. */
static void
explain_alone(PlanState *ps)
{
	Look		look = {NIL};
	int			which = -1;

	(void) note_begun(ps, &look);
	(void) note_alone(ps, &look);
	while ((which = bms_next_member(look.alone, which)) >= 0)
		ereport(NOTICE,
				(errmsg("requests of oss_labels.%s() are made one at a time in this plan",
						oss_function_name((OssFunction) which)),
				 errhint(HINT_ALONE, oss_function_name((OssFunction) which))));
}

/* ExecutorStart_hook: nothing else starts a query that it does not run. */
static void
on_alone_start(QueryDesc *desc, int eflags)
{
	if (prev_start_hook)
		prev_start_hook(desc, eflags);
	else
		standard_ExecutorStart(desc, eflags);
	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0 && oss_pipeline_enabled &&
		oss_pipeline_has_functions(desc->plannedstmt))
		explain_alone(desc->planstate);
}

void
oss_alone_init(void)
{
	oss_sends_alone = count_alone;
	prev_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = on_alone_start;
}
