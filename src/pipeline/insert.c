/*-------------------------------------------------------------------------
 * insert.c
 *	  Putting the pipeline into finished plans.
 *
 * A node that evaluates calls once for each of its rows gets its rows from a
 * pipeline.  For calls in the inner side of a nested loop, that stands on the outer
 * side.  For calls in a target list or a condition, it stands upon the node, which is
 * left to return the columns, and takes over the target list and the conditions.
 * Joins, sublinks and everything else remain PostgreSQL's own.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "pipeline/expected.h"
#include "pipeline/find_calls.h"
#include "pipeline/plan.h"

/* Numbers of the nodes that are added: the planner's begin at 0. */
#define FIRST_NODE_ID	1000000

typedef struct Insertion
{
	PlannedStmt *stmt;
	int			last_id;
	bool		again;			/* the plan has pipelines already */
} Insertion;

/*
 * Context of read_columns(): the columns of the row, to which those that are missing
 * are added.  as_is: all Vars refer to a plan's target list as it is, instead.
 */
typedef struct Columns
{
	List	   *exprs;
	bool		as_is;
} Columns;

/* Tree mutator: refer to columns of the scan tuple. */
static Node *
read_columns(Node *node, void *context)
{
	Columns    *columns = context;
	int			i = 0;
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	if (columns->as_is && IsA(node, Var))
	{
		Var		   *var = copyObject((Var *) node);

		var->varno = INDEX_VAR;
		return (Node *) var;
	}
	if (!IsA(node, Var) && !IsA(node, Aggref) && !IsA(node, WindowFunc) &&
		!IsA(node, GroupingFunc))
		return expression_tree_mutator(node, read_columns, context);
	foreach(lc, columns->exprs)
	{
		i++;
		if (equal(lfirst(lc), node))
			break;
	}
	if (lc == NULL)
	{
		columns->exprs = lappend(columns->exprs, copyObject(node));
		i = list_length(columns->exprs);
	}
	return (Node *) makeVar(INDEX_VAR, i, exprType(node), exprTypmod(node),
							exprCollation(node), 0);
}

/* Return a target list of a plan's columns. */
static List *
columns_of(Plan *plan, int varno)
{
	List	   *tlist = NIL;
	ListCell   *lc;

	foreach(lc, plan->targetlist)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));

		entry->expr = (Expr *) makeVarFromTargetEntry(varno, entry);
		tlist = lappend(tlist, entry);
	}
	return tlist;
}

/* Put a pipeline upon a plan, for calls whose Vars are its columns. */
static CustomScan *
put_upon(Insertion *in, Plan *plan, List *calls)
{
	CustomScan *cscan = makeNode(CustomScan);
	Plan	   *own = &cscan->scan.plan;
	Bitmapset  *params = oss_params_of((Node *) calls);

	own->startup_cost = plan->startup_cost;
	own->total_cost = plan->total_cost;
	own->plan_rows = plan->plan_rows;
	own->plan_width = plan->plan_width;
	own->plan_node_id = ++in->last_id;
	own->targetlist = columns_of(plan, INDEX_VAR);
	own->lefttree = plan;
	own->initPlan = plan->initPlan;
	plan->initPlan = NIL;
	own->extParam = bms_union(plan->extParam, params);
	own->allParam = bms_union(plan->allParam, params);
	cscan->custom_scan_tlist = columns_of(plan, OUTER_VAR);
	cscan->custom_exprs = calls;
	cscan->custom_private = oss_expected_requests(plan, calls);
	cscan->methods = &oss_pipeline_scan_methods;
	return cscan;
}

/* The same for calls in terms of the node above: its Vars are the plan's columns. */
static Plan *
put_below(Insertion *in, Plan *plan, List *calls)
{
	Columns		columns = {NIL, true};

	if (calls == NIL)
		return plan;
	return (Plan *) put_upon(in, plan, (List *) read_columns((Node *) calls, &columns));
}

/* Return a parameter that a nested loop sets to a column of its outer side. */
static Param *
outer_param(Insertion *in, NestLoop *loop, Var *var)
{
	NestLoopParam *nlp = NULL;
	Param	   *param = makeNode(Param);
	ListCell   *lc;

	foreach(lc, loop->nestParams)
	{
		if (equal(lfirst_node(NestLoopParam, lc)->paramval, var))
			nlp = lfirst_node(NestLoopParam, lc);
	}
	if (nlp == NULL)
	{
		nlp = makeNode(NestLoopParam);
		nlp->paramno = list_length(in->stmt->paramExecTypes);
		nlp->paramval = copyObject(var);
		in->stmt->paramExecTypes = lappend_oid(in->stmt->paramExecTypes, var->vartype);
		loop->nestParams = lappend(loop->nestParams, nlp);
	}
	param->paramkind = PARAM_EXEC;
	param->paramid = nlp->paramno;
	param->paramtype = var->vartype;
	param->paramtypmod = var->vartypmod;
	param->paramcollid = var->varcollid;
	param->location = -1;
	return param;
}

/* Context of pass_columns(). */
typedef struct Passing
{
	Insertion  *in;
	NestLoop   *loop;
} Passing;

/* Tree mutator: replace columns of the outer side by parameters. */
static Node *
pass_columns(Node *node, void *context)
{
	Passing    *passing = context;

	if (node != NULL && IsA(node, Var))
		return (Node *) outer_param(passing->in, passing->loop, (Var *) node);
	return expression_tree_mutator(node, pass_columns, context);
}

/* Tree walker: is there a column of the inner side? */
static bool
reads_inner(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == INNER_VAR;
	return expression_tree_walker(node, reads_inner, context);
}

/*
 * Spare the requests of an outer join's rows that have no match whatever their labels:
 * run its inner side under the conditions that need no label.
 */
static void
gate_inner(Insertion *in, NestLoop *loop)
{
	Passing		passing = {in, loop};
	Plan	   *inner = innerPlan(loop);
	Result	   *gate = makeNode(Result);
	List	   *conditions = NIL;
	ListCell   *lc;

	foreach(lc, loop->join.joinqual)
	{
		Node	   *clause = lfirst(lc);

		if (!reads_inner(clause, NULL) && !contain_volatile_functions(clause) &&
			!contain_subplans(clause))
			conditions = lappend(conditions, pass_columns(clause, &passing));
	}
	if (conditions == NIL)
		return;
	gate->plan.startup_cost = inner->startup_cost;
	gate->plan.total_cost = inner->total_cost;
	gate->plan.plan_rows = inner->plan_rows;
	gate->plan.plan_width = inner->plan_width;
	gate->plan.plan_node_id = ++in->last_id;
	gate->plan.targetlist = columns_of(inner, OUTER_VAR);
	gate->plan.lefttree = inner;
	gate->plan.extParam = bms_copy(inner->extParam);
	gate->plan.allParam = bms_copy(inner->allParam);
	foreach(lc, loop->nestParams)
	{
		int			id = lfirst_node(NestLoopParam, lc)->paramno;

		gate->plan.extParam = bms_add_member(gate->plan.extParam, id);
		gate->plan.allParam = bms_add_member(gate->plan.allParam, id);
	}
	gate->resconstantqual = (Node *) conditions;
	innerPlan(loop) = &gate->plan;
}

/*
 * Read ahead on the outer side of a nested loop with calls on its inner side.  A
 * Memoize would only keep answers that the query keeps anyway, and hide which rows
 * need none.
 */
static void
treat_nested_loop(Insertion *in, NestLoop *loop)
{
	List	   *calls = NIL;

	if (loop->nestParams != NIL)
		calls = oss_calls_of_inner(in->stmt, innerPlan(loop), loop->nestParams);
	if (calls == NIL)
		return;
	if (IsA(innerPlan(loop), Memoize))
		innerPlan(loop) = outerPlan(innerPlan(loop));
	if (IS_OUTER_JOIN(loop->join.jointype))
	{
		gate_inner(in, loop);
		calls = oss_calls_of_inner(in->stmt, innerPlan(loop), loop->nestParams);
	}
	outerPlan(loop) = put_below(in, outerPlan(loop), calls);
}

/* Context of compute_below(): a node, and the pipeline below it. */
typedef struct Below
{
	Insertion  *in;
	Plan	   *pipeline;
} Below;

/* Let a pipeline compute an expression of the node above, if that makes calls. */
static Expr *
computed_below(Below *below, Expr *expr)
{
	Columns		columns = {NIL, true};
	List	  **tlist = &below->pipeline->targetlist;
	TargetEntry *entry;

	if (oss_calls_of_expr(below->in->stmt, (Node *) expr) == NIL)
		return expr;
	expr = (Expr *) read_columns((Node *) expr, &columns);
	entry = tlist_member(expr, *tlist);
	if (entry == NULL)
	{
		entry = makeTargetEntry(expr, list_length(*tlist) + 1, NULL, false);
		*tlist = lappend(*tlist, entry);
	}
	return (Expr *) makeVarFromTargetEntry(OUTER_VAR, entry);
}

/*
 * Tree mutator: let a pipeline compute the arguments of aggregates that make calls, or
 * what filters their rows.  A node that keeps rows in files or sorts them again would
 * compute them when the pipeline is elsewhere.
 */
static Node *
compute_below(Node *node, void *context)
{
	Aggref	   *aggref;
	ListCell   *lc;

	if (node == NULL || !IsA(node, Aggref))
		return expression_tree_mutator(node, compute_below, context);
	aggref = copyObject((Aggref *) node);
	if (aggref->aggfilter != NULL)
	{
		aggref->aggfilter = computed_below(context, aggref->aggfilter);
		return (Node *) aggref;
	}
	foreach(lc, aggref->args)
	{
		TargetEntry *arg = lfirst_node(TargetEntry, lc);

		arg->expr = computed_below(context, arg->expr);
	}
	return (Node *) aggref;
}

/* Read ahead for the arguments of aggregates, or what filters their rows. */
static void
treat_aggregates(Insertion *in, Agg *agg)
{
	List	   *calls = NIL;
	ListCell   *lc;

	foreach(lc, pull_var_clause((Node *) list_concat_copy(agg->plan.targetlist, agg->plan.qual),
								PVC_INCLUDE_AGGREGATES))
	{
		Aggref	   *aggref = lfirst(lc);
		ListCell   *arg;

		if (!IsA(aggref, Aggref))
			continue;
		if (aggref->aggfilter != NULL)
		{
			calls = list_union(calls, oss_calls_of_expr(in->stmt, (Node *) aggref->aggfilter));
			continue;
		}
		foreach(arg, aggref->args)
			calls = list_union(calls, oss_calls_of_expr(in->stmt, (Node *) lfirst_node(TargetEntry, arg)->expr));
	}
	if (calls != NIL)
	{
		Below		below = {in, put_below(in, outerPlan(agg), calls)};

		outerPlan(agg) = below.pipeline;
		agg->plan.targetlist = (List *) compute_below((Node *) agg->plan.targetlist, &below);
		agg->plan.qual = (List *) compute_below((Node *) agg->plan.qual, &below);
	}
}

/*
 * Return the list in which a node has its conditions, or NULL.  A join that looks for
 * one inner row must find the one that meets them all.
 */
static List **
conditions_of(Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			return ((Join *) plan)->jointype == JOIN_INNER && !((Join *) plan)->inner_unique ?
				&((Join *) plan)->joinqual : &plan->qual;
		case T_WindowAgg:
			return NULL;
		default:
			return &plan->qual;
	}
}

/* Can a node's target list and conditions be evaluated above it? */
static bool
may_cede(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_SubqueryScan:
		case T_FunctionScan:
		case T_ValuesScan:
		case T_TableFuncScan:
		case T_CteScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Agg:
		case T_Group:
		case T_WindowAgg:
			return true;
		case T_ForeignScan:
			return ((const ForeignScan *) plan)->operation == CMD_SELECT;
		case T_Result:
			return outerPlan(plan) != NULL;
		default:
			return false;
	}
}

/*
 * Take a node's target list, and its conditions from the first that makes a call on,
 * and evaluate them in pipelines upon it: one for each condition that makes a call, as
 * the next is checked only for the rows that are left, and one for the target list.
 */
static Plan *
treat_expressions(Insertion *in, Plan *plan)
{
	List	  **conditions = conditions_of(plan);
	Columns		columns = {NIL, false};
	List	   *tlist = plan->targetlist;
	List	   *calls = NIL;
	List	   *stages = NIL;	/* calls and conditions of each pipeline */
	List	   *kept = NIL;
	List	   *taken = NIL;
	Bitmapset  *ext = NULL;
	Bitmapset  *all = NULL;
	ListCell   *lc;

	/* its run condition refers to places in the target list */
	foreach(lc, IsA(plan, WindowAgg) ? tlist : NIL)
	{
		Node	   *expr = (Node *) lfirst_node(TargetEntry, lc)->expr;

		if (!IsA(expr, WindowFunc))
			expr = (Node *) makeNullConst(exprType(expr), exprTypmod(expr),
										  exprCollation(expr));
		columns.exprs = lappend(columns.exprs, expr);
	}
	foreach(lc, conditions ? *conditions : NIL)
	{
		calls = oss_calls_of_expr(in->stmt, lfirst(lc));
		if (calls != NIL)
			stages = lappend(stages, list_make1(calls));
		if (stages == NIL)
			kept = lappend(kept, lfirst(lc));
		else
			llast(stages) = lappend(llast(stages), lfirst(lc));
	}
	calls = oss_calls_of_expr(in->stmt, (Node *) tlist);
	if (calls != NIL)
		stages = lappend(stages, list_make1(calls));
	if (stages == NIL)
		return plan;

	if (conditions)
		*conditions = kept;
	if (IsA(plan, Result) && ((Result *) plan)->resconstantqual == NULL)
	{
		/* it did nothing else */
		outerPlan(plan)->initPlan = list_concat(plan->initPlan, outerPlan(plan)->initPlan);
		ext = plan->extParam;
		all = plan->allParam;
		plan = outerPlan(plan);
		columns.as_is = true;
	}
	taken = (List *) read_columns((Node *) stages, &columns);
	tlist = (List *) read_columns((Node *) tlist, &columns);
	if (!columns.as_is)
	{
		plan->targetlist = NIL;
		foreach(lc, columns.exprs)
			plan->targetlist = lappend(plan->targetlist,
									   makeTargetEntry(lfirst(lc),
													   list_length(plan->targetlist) + 1,
													   NULL, false));
	}
	foreach(lc, taken)
	{
		plan = (Plan *) put_upon(in, plan, linitial(lfirst_node(List, lc)));
		plan->qual = list_copy_tail(lfirst(lc), 1);
	}
	plan->targetlist = tlist;
	plan->extParam = bms_union(plan->extParam, ext);
	plan->allParam = bms_union(plan->allParam, all);
	return plan;
}

static Plan *treat_plan(Insertion *in, Plan *plan);

static void
treat_plans(Insertion *in, List *plans)
{
	ListCell   *lc;

	foreach(lc, plans)
		lfirst(lc) = treat_plan(in, lfirst(lc));
}

/* Treat a plan, from below.  Returns what replaces it. */
static Plan *
treat_plan(Insertion *in, Plan *plan)
{
	if (plan == NULL)
		return NULL;
	outerPlan(plan) = treat_plan(in, outerPlan(plan));
	innerPlan(plan) = treat_plan(in, innerPlan(plan));
	switch (nodeTag(plan))
	{
		case T_Append:
			treat_plans(in, ((Append *) plan)->appendplans);
			break;
		case T_MergeAppend:
			treat_plans(in, ((MergeAppend *) plan)->mergeplans);
			break;
		case T_SubqueryScan:
			((SubqueryScan *) plan)->subplan = treat_plan(in, ((SubqueryScan *) plan)->subplan);
			break;
		case T_CustomScan:
			in->again |= ((CustomScan *) plan)->methods == &oss_pipeline_scan_methods;
			treat_plans(in, ((CustomScan *) plan)->custom_plans);
			break;
		case T_NestLoop:
			treat_nested_loop(in, (NestLoop *) plan);
			break;
		case T_MergeJoin:
			if (IsA(innerPlan(plan), CustomScan))
				innerPlan(plan) = materialize_finished_plan(innerPlan(plan));
			break;
		case T_ProjectSet:
			outerPlan(plan) = put_below(in, outerPlan(plan),
										oss_calls_of_expr(in->stmt, (Node *) oss_sets_of(plan->targetlist)));
			break;
		case T_Agg:
			treat_aggregates(in, (Agg *) plan);
			break;
		default:
			break;
	}
	return may_cede(plan) ? treat_expressions(in, plan) : plan;
}

bool
oss_pipeline_insert(PlannedStmt *stmt, bool scroll)
{
	Insertion	in = {stmt, FIRST_NODE_ID, false};

	treat_plans(&in, stmt->subplans);
	stmt->planTree = treat_plan(&in, stmt->planTree);
	if (scroll && !ExecSupportsBackwardScan(stmt->planTree))
		stmt->planTree = materialize_finished_plan(stmt->planTree);
	return in.last_id > FIRST_NODE_ID && !in.again;
}
