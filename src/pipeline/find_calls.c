/*-------------------------------------------------------------------------
 * find_calls.c
 *	  The calls in a finished plan that are made for every row of a node.
 *
 * What may not be evaluated is passed over: arms of CASE and COALESCE, what stands
 * behind AND and OR, inner sides of joins.  Such calls send their requests one at a
 * time, when they are reached.  So do calls whose arguments only the plans between
 * know.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "pipeline/find_calls.h"
#include "pipeline/plan.h"
#include "utils/syscache.h"

/*
 * State of the search.  ids and exprs say what the parameters that the node passes
 * down are, in terms of its row; unknown are those that plans below it set.
 */
typedef struct Search
{
	const PlannedStmt *stmt;
	List	   *ids;			/* integers */
	List	   *exprs;
	Bitmapset  *unknown;
	List	   *conditions;
	bool		below;			/* Vars are not those of the node's row */
	List	   *calls;
} Search;

/* Context of substitute(). */
typedef struct Substitution
{
	const Search *search;
	bool		failed;
} Substitution;

static void search_plan(Search *search, Plan *plan);

static Node *
substitute_mutator(Node *node, void *context)
{
	Substitution *substitution = context;
	const Search *search = substitution->search;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && search->below)
		substitution->failed = true;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
	{
		int			id = ((Param *) node)->paramid;
		ListCell   *i;
		ListCell   *expr;

		if (bms_is_member(id, search->unknown))
			substitution->failed = true;
		forboth(i, search->ids, expr, search->exprs)
		{
			if (lfirst_int(i) == id)
				return copyObject(lfirst(expr));
		}
	}
	return expression_tree_mutator(node, substitute_mutator, context);
}

/*
 * Return expressions in terms of the node's row.  Sets *failed if that is impossible,
 * or if they must not be evaluated ahead: volatile ones, and subplans, which cannot be
 * run where errors are deferred.
 */
static List *
substitute(const Search *search, List *exprs, bool *failed)
{
	Substitution context = {search, false};
	List	   *result = (List *) substitute_mutator((Node *) exprs, &context);

	*failed |= context.failed || contain_volatile_functions((Node *) result) ||
		contain_subplans((Node *) result);
	return result;
}

/* Integers would not be expressions. */
static Const *
make_id(Oid id)
{
	return makeConst(OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(id), false, true);
}

bool
oss_pipeline_has_functions(const PlannedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->invalItems)
	{
		if (lfirst_node(PlanInvalItem, lc)->cacheId == PROCOID)
			return true;
	}
	return false;
}

/* Return the place where a call stands, in the query or in an inlined function. */
static Const *
make_place(const FuncExpr *call)
{
	int64		place = (int64) call->funcid << 32 | (uint32) call->location;

	return makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(place), false,
					 FLOAT8PASSBYVAL);
}

bool
oss_call_is_at(List *places, const FuncExpr *call)
{
	return list_member(places, make_place(call));
}

/* Add a call, or its place to an equal one. */
static void
add_call(Search *search, List *call, Const *place)
{
	ListCell   *lc;

	foreach(lc, search->calls)
	{
		List	   *other = lfirst(lc);
		ListCell   *places = list_nth_cell(other, OSS_CALL_PLACES);
		int			i = 0;

		while (i < OSS_CALL_PLACES && equal(list_nth(other, i), list_nth(call, i)))
			i++;
		if (i == OSS_CALL_PLACES)
		{
			lfirst(places) = lappend(lfirst(places), place);
			return;
		}
	}
	search->calls = lappend(search->calls, lappend(call, list_make1(place)));
}

/* Note a call of one of our functions, perhaps in an SQL function. */
static void
note_call(Search *search, FuncExpr *call)
{
	OssWrapped	wrapped = {.funcid = call->funcid};
	Oid			wrapper = InvalidOid;
	bool		failed = false;
	List	   *args;
	List	   *entry;

	if (!oss_pipeline_function(call->funcid, &wrapped.which))
	{
		if (!oss_pipeline_wrapped(call, &wrapped))
			return;
		wrapper = call->funcid;
	}
	else if (list_length(call->args) != oss_function_arguments(wrapped.which))
		return;
	args = substitute(search, call->args, &failed);
	if (failed || !contain_var_clause((Node *) args))
		return;
	entry = list_make4(args, wrapped.args, copyObject(search->conditions),
					   list_make3(make_id(wrapped.which), make_id(wrapped.funcid),
								  make_id(wrapper)));
	add_call(search, entry, make_place(call));
}

/* Search the plan of a sublink, if it is run for each row. */
static void
search_subplan(Search *search, SubPlan *subplan)
{
	int			depth = list_length(search->ids);
	bool		below = search->below;
	ListCell   *id;
	ListCell   *arg;

	if (subplan->useHashTable)
		return;
	forboth(id, subplan->parParam, arg, subplan->args)
	{
		bool		failed = false;
		List	   *expr = substitute(search, list_make1(lfirst(arg)), &failed);

		if (failed)
			search->unknown = bms_add_member(search->unknown, lfirst_int(id));
		search->ids = lappend_int(search->ids, lfirst_int(id));
		search->exprs = lappend(search->exprs, linitial(expr));
	}
	search->below = true;
	search_plan(search, list_nth(search->stmt->subplans, subplan->plan_id - 1));
	search->below = below;
	search->ids = list_truncate(search->ids, depth);
	search->exprs = list_truncate(search->exprs, depth);
}

/* Tree walker: search what is evaluated in any case. */
static bool
search_expr(Node *node, void *context)
{
	Search	   *search = context;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_FuncExpr:
			note_call(search, (FuncExpr *) node);
			break;
		case T_SubPlan:
			search_subplan(search, (SubPlan *) node);
			return false;
		case T_CaseExpr:
			(void) search_expr((Node *) ((CaseExpr *) node)->arg, search);
			return search_expr((Node *) linitial_node(CaseWhen, ((CaseExpr *) node)->args)->expr,
							   search);
		case T_CoalesceExpr:
			return search_expr(linitial(((CoalesceExpr *) node)->args), search);
		case T_BoolExpr:
			return search_expr(linitial(((BoolExpr *) node)->args), search);
		case T_RowCompareExpr:
			return search_expr(linitial(((RowCompareExpr *) node)->largs), search) ||
				search_expr(linitial(((RowCompareExpr *) node)->rargs), search);
		case T_ArrayCoerceExpr:
			return search_expr((Node *) ((ArrayCoerceExpr *) node)->arg, search);
		case T_SubscriptingRef:
			return search_expr((Node *) ((SubscriptingRef *) node)->refexpr, search);
		case T_Aggref:
		case T_WindowFunc:
		case T_GroupingFunc:
			return false;
		default:
			if (OSS_IS_LAZY_EXPR(node))
				return false;
			break;
	}
	return expression_tree_walker(node, search_expr, search);
}

List *
oss_sets_of(List *tlist)
{
	List	   *sets = NIL;
	ListCell   *lc;

	foreach(lc, tlist)
	{
		Expr	   *expr = lfirst_node(TargetEntry, lc)->expr;

		if (expression_returns_set((Node *) expr))
			sets = lappend(sets, expr);
	}
	return sets;
}

/* Search a node that returns one row, or the plan below it. */
static void
search_result(Search *search, Result *result)
{
	int			n = list_length(search->conditions);
	bool		failed = false;

	search->conditions = list_concat(search->conditions,
									 substitute(search, (List *) result->resconstantqual, &failed));
	if (!failed && outerPlan(result) != NULL)
		search_plan(search, outerPlan(result));
	else if (!failed)
		(void) search_expr((Node *) result->plan.targetlist, search);
	search->conditions = list_truncate(search->conditions, n);
}

/* Search a plan of which at least one row is asked for. */
static void
search_plan(Search *search, Plan *plan)
{
	ListCell   *lc;

	if (plan == NULL)
		return;
	foreach(lc, plan->initPlan)
	{
		ListCell   *id;

		foreach(id, lfirst_node(SubPlan, lc)->setParam)
			search->unknown = bms_add_member(search->unknown, lfirst_int(id));
	}
	switch (nodeTag(plan))
	{
		case T_FunctionScan:
			foreach(lc, ((FunctionScan *) plan)->functions)
				(void) search_expr(lfirst_node(RangeTblFunction, lc)->funcexpr, search);
			return;
		case T_Result:
			search_result(search, (Result *) plan);
			return;
		case T_SubqueryScan:
			search_plan(search, ((SubqueryScan *) plan)->subplan);
			return;
		case T_Limit:
			if (!oss_limit_lets_run(((Limit *) plan)->limitCount))
				return;
			break;
		case T_ProjectSet:
			if (IsA(outerPlan(plan), Result) && outerPlan(outerPlan(plan)) == NULL &&
				((Result *) outerPlan(plan))->resconstantqual == NULL)
				(void) search_expr((Node *) oss_sets_of(plan->targetlist), search);
			break;
		case T_CustomScan:
			if (((CustomScan *) plan)->methods != &oss_pipeline_scan_methods)
				return;
			break;
		case T_Agg:
		case T_Group:
		case T_IncrementalSort:
		case T_LockRows:
		case T_Material:
		case T_Memoize:
		case T_NestLoop:
		case T_Sort:
		case T_Unique:
		case T_WindowAgg:
			break;
		default:
			return;
	}
	search_plan(search, outerPlan(plan));
}

List *
oss_calls_of_expr(const PlannedStmt *stmt, Node *expr)
{
	Search		search = {.stmt = stmt};

	(void) search_expr(expr, &search);
	return search.calls;
}

List *
oss_calls_of_inner(const PlannedStmt *stmt, Plan *inner, List *params)
{
	Search		search = {.stmt = stmt,.below = true};
	ListCell   *lc;

	foreach(lc, params)
	{
		search.ids = lappend_int(search.ids, lfirst_node(NestLoopParam, lc)->paramno);
		search.exprs = lappend(search.exprs, lfirst_node(NestLoopParam, lc)->paramval);
	}
	search_plan(&search, inner);
	return search.calls;
}
