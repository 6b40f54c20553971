/*-------------------------------------------------------------------------
 * plan.c
 *	  Making the plan of a pipeline path.
 *
 * Its custom_scan_tlist is the outer plan's target list followed by the
 * function's columns, so that setrefs turns the variables of custom_exprs
 * (arguments and conditions) into references to the joined row.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "pipeline/plan.h"

FuncExpr *
oss_pipeline_call(PlannerInfo *root, RelOptInfo *rel, OssFunction *which)
{
	RangeTblEntry *rte;
	RangeTblFunction *function;

	if (rel->reloptkind != RELOPT_BASEREL || rel->rtekind != RTE_FUNCTION)
		return NULL;
	rte = planner_rt_fetch(rel->relid, root);
	if (rte->funcordinality || list_length(rte->functions) != 1)
		return NULL;
	function = linitial_node(RangeTblFunction, rte->functions);
	if (function->funccolnames != NIL || !IsA(function->funcexpr, FuncExpr))
		return NULL;
	if (!oss_pipeline_function(((FuncExpr *) function->funcexpr)->funcid, which))
		return NULL;
	return (FuncExpr *) function->funcexpr;
}

/*
 * Sort RestrictInfos by security level, and by cost within a level.
 *
 * As order_qual_clauses() in PostgreSQL's createplan.c, which is not
 * exported: a leaky condition must not see rows that a security barrier
 * hides.
 */
static List *
order_clauses(PlannerInfo *root, List *rinfos)
{
	List	   *ordered = NIL;
	ListCell   *lc;

	foreach(lc, rinfos)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		int			place = list_length(ordered);
		QualCost	cost;

		/* sets rinfo->eval_cost */
		cost_qual_eval_node(&cost, (Node *) rinfo, root);
		while (place > 0)
		{
			RestrictInfo *before = list_nth(ordered, place - 1);

			if (before->security_level < rinfo->security_level ||
				(before->security_level == rinfo->security_level &&
				 before->eval_cost.per_tuple <= rinfo->eval_cost.per_tuple))
				break;
			place--;
		}
		ordered = list_insert_nth(ordered, place, rinfo);
	}
	return ordered;
}

/* The conditions of the plan, by the time at which they are checked. */
typedef struct Conditions
{
	List	   *before;
	List	   *match;
	List	   *filter;
} Conditions;

/*
 * Return the conditions of an outer join that need no label row.  If they
 * fail, the image has no match whatever its labels.
 */
static List *
conditions_before(List *match, Relids outer_relids, PlannerInfo *root)
{
	List	   *before = NIL;
	ListCell   *lc;

	foreach(lc, match)
	{
		Node	   *clause = lfirst(lc);

		if (bms_is_subset(pull_varnos(root, clause), outer_relids) &&
			!contain_volatile_functions(clause) && !contain_subplans(clause))
			before = lappend(before, clause);
	}
	return before;
}

static void
sort_conditions(PlannerInfo *root, CustomPath *path, JoinType jointype,
				RelOptInfo *innerrel, Conditions *conditions)
{
	List	   *rinfos = order_clauses(root, lfourth(path->custom_private));
	List	   *base = order_clauses(root, innerrel->baserestrictinfo);
	List	   *match;

	memset(conditions, 0, sizeof(*conditions));
	base = extract_actual_clauses(base, false);
	if (IS_OUTER_JOIN(jointype))
	{
		extract_actual_join_clauses(rinfos, path->path.parent->relids,
									&match, &conditions->filter);
		conditions->match = list_concat(base, match);
		conditions->before =
			conditions_before(match,
							  ((Path *) linitial(path->custom_paths))->parent->relids,
							  root);
		return;
	}
	match = list_concat(base, extract_actual_clauses(rinfos, false));
	if (jointype == JOIN_SEMI)
		conditions->match = match;
	else
		conditions->filter = match;
}

static TargetEntry *
find_pipeline_column(List *tlist, Var *var)
{
	ListCell   *lc;

	foreach(lc, tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		Var		   *column = (Var *) entry->expr;

		if (IsA(column, Var) && column->varno == var->varno &&
			column->varattno == var->varattno && var->varlevelsup == 0)
			return entry;
	}
	return NULL;
}

/*
 * Add the columns of a relation that these expressions use to a target list.
 */
static List *
add_columns_used(List *tlist, List *exprs, Index relid)
{
	List	   *variables = pull_var_clause((Node *) exprs,
											PVC_RECURSE_AGGREGATES |
											PVC_RECURSE_WINDOWFUNCS |
											PVC_INCLUDE_PLACEHOLDERS);
	ListCell   *lc;

	foreach(lc, variables)
	{
		Var		   *var = (Var *) lfirst(lc);

		if (IsA(var, Var) && var->varno == relid && var->varlevelsup == 0 &&
			find_pipeline_column(tlist, var) == NULL)
			tlist = lappend(tlist, makeTargetEntry((Expr *) copyObject(var),
												   list_length(tlist) + 1,
												   NULL, false));
	}
	return tlist;
}

/*
 * Tree mutator: replace Vars by those of the joined row.
 *
 * Since PostgreSQL 16 a Var knows which outer joins may have made it null,
 * and setrefs requires that a Var and the column it refers to agree on that.
 * The conditions of a join are below it, the joined row is above.
 */
static Node *
adopt_columns(Node *node, void *joined)
{
	if (node == NULL || IsA(node, PlaceHolderVar))
		return node;
	if (IsA(node, Var))
	{
		TargetEntry *entry = find_pipeline_column((List *) joined, (Var *) node);

		return entry != NULL ? copyObject((Node *) entry->expr) : node;
	}
	return expression_tree_mutator(node, adopt_columns, joined);
}

/*
 * Return the target list of the joined row.  It includes everything that the
 * join computes, since the planner may still give the plan another target
 * list.
 */
static List *
joined_tlist(Plan *outer_plan, RelOptInfo *rel, Conditions *conditions,
			 Index relid)
{
	List	   *joined = NIL;
	ListCell   *lc;

	foreach(lc, outer_plan->targetlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		joined = lappend(joined, makeTargetEntry(copyObject(entry->expr),
												 list_length(joined) + 1,
												 NULL, false));
	}
	joined = add_columns_used(joined, rel->reltarget->exprs, relid);
	joined = add_columns_used(joined, conditions->match, relid);
	return add_columns_used(joined, conditions->filter, relid);
}

Plan *
oss_pipeline_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *best_path,
				  List *tlist, List *clauses, List *custom_plans)
{
	int			which = intVal(linitial(best_path->custom_private));
	JoinType	jointype = intVal(lsecond(best_path->custom_private));
	Index		relid = intVal(lthird(best_path->custom_private));
	Plan	   *outer_plan = linitial(custom_plans);
	CustomScan *cscan = makeNode(CustomScan);
	OssFunction unused;
	FuncExpr   *call = oss_pipeline_call(root, find_base_rel(root, relid),
										 &unused);
	Conditions	conditions;
	List	   *joined;

	sort_conditions(root, best_path, jointype, find_base_rel(root, relid),
					&conditions);
	cscan->scan.plan.targetlist = tlist;
	cscan->flags = best_path->flags;
	cscan->custom_plans = custom_plans;
	cscan->custom_private = list_make5(makeInteger(which),
									   makeInteger(jointype),
									   makeInteger(list_length(outer_plan->targetlist)),
									   makeInteger(relid),
									   makeInteger(bms_next_member(rel->relids, -1)));
	cscan->custom_private = lappend(cscan->custom_private,
									list_nth(best_path->custom_private, OSS_PATH_REQUESTS));
	joined = joined_tlist(outer_plan, rel, &conditions, relid);
	cscan->custom_scan_tlist = joined;
	cscan->custom_exprs = (List *)
		adopt_columns((Node *) list_make3(call, conditions.match,
										  conditions.before), joined);
	cscan->scan.plan.qual = (List *)
		adopt_columns((Node *) conditions.filter, joined);
	cscan->methods = &oss_pipeline_scan_methods;
	return &cscan->scan.plan;
}
