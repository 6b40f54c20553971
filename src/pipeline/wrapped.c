/*-------------------------------------------------------------------------
 * wrapped.c
 *	  SQL functions that only wrap a call, with the rights of their owner or under
 *	  settings of their own: the planner does not inline these.
 *
 * The body is analysed as PostgreSQL's functions.c does.  It may say what becomes of
 * the rows, but not whether the call is made.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "executor/functions.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "pipeline/find_calls.h"
#include "pipeline/run_as.h"
#include "rewrite/rewriteHandler.h"
#include "spi/subtransaction.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

/* Can a body hold one of our calls, as far as its text tells? */
static bool
may_call(const char *source)
{
	return strstr(source, "detect") != NULL || strstr(source, "tag") != NULL ||
		strstr(source, "object_info") != NULL;
}

/* Argument of analyse_body(). */
typedef struct Body
{
	FuncExpr   *call;
	HeapTuple	proc;
	Query	   *query;			/* the result: the only query, or NULL */
} Body;

/* Set the query that an SQL function consists of. */
static void
analyse_body(void *arg)
{
	Body	   *body = arg;
	bool		isnull;
	Datum		value = SysCacheGetAttr(PROCOID, body->proc, Anum_pg_proc_prosqlbody, &isnull);
	List	   *list;

	if (!isnull)
	{
		Node	   *node = stringToNode(TextDatumGetCString(value));

		list = IsA(node, List) ? linitial_node(List, castNode(List, node)) : list_make1(node);
	}
	else
	{
		char	   *source;

		value = SysCacheGetAttr(PROCOID, body->proc, Anum_pg_proc_prosrc, &isnull);
		source = TextDatumGetCString(value);
		if (!may_call(source))
			return;
		list = pg_parse_query(source);
		if (list_length(list) != 1)
			return;
		list = pg_analyze_and_rewrite_withcb(linitial_node(RawStmt, list), source,
											 (ParserSetupHook) sql_fn_parser_setup,
											 prepare_sql_fn_parse_info(body->proc, (Node *) body->call,
																	   body->call->inputcollid),
											 NULL);
	}
	if (list_length(list) == 1 && IsA(linitial(list), Query))
		body->query = linitial(list);
}

/* The same as the function runs; NULL too if the body is wrong. */
static Query *
query_of(FuncExpr *call, HeapTuple proc)
{
	Body		body = {call, proc, NULL};
	OssRunAs	as = oss_run_as_of(proc);
	OssRanAs	before = oss_run_as_begin(&as);
	ErrorData  *error = oss_subtransaction(analyse_body, &body);

	oss_run_as_end(&before);
	if (error != NULL && oss_error_is_interrupt(error))
		ReThrowError(error);
	return error == NULL ? body.query : NULL;
}

/* Do all conditions depend on the rows?  Otherwise there may be no call. */
static bool
are_about_rows(Node *quals)
{
	ListCell   *lc;

	foreach(lc, make_ands_implicit((Expr *) quals))
	{
		if (!contain_vars_of_level(lfirst(lc), 0))
			return false;
	}
	return true;
}

bool
oss_limit_lets_run(Node *limit)
{
	if (limit == NULL)
		return true;
	return IsA(limit, Const) && (((Const *) limit)->constisnull ||
								 DatumGetInt64(((Const *) limit)->constvalue) > 0);
}

/* Does a query read one function, or such a query, in any case?  Return its call. */
static FuncExpr *
only_call(Query *query)
{
	RangeTblEntry *rte;
	RangeTblFunction *function;

	if (query->commandType != CMD_SELECT || query->cteList != NIL ||
		query->setOperations != NULL || query->havingQual != NULL ||
		query->hasModifyingCTE || query->rowMarks != NIL ||
		!oss_limit_lets_run(eval_const_expressions(NULL, query->limitCount)))
		return NULL;
	if (query->jointree->fromlist == NIL && list_length(query->targetList) == 1 &&
		query->jointree->quals == NULL)
	{
		Node	   *expr = (Node *) linitial_node(TargetEntry, query->targetList)->expr;

		return IsA(expr, FuncExpr) ? (FuncExpr *) expr : NULL;
	}
	if (list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef) ||
		!are_about_rows(query->jointree->quals))
		return NULL;
	rte = rt_fetch(linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex,
				   query->rtable);
	if (rte->rtekind == RTE_SUBQUERY)
		return only_call(rte->subquery);
	if (rte->rtekind != RTE_FUNCTION || list_length(rte->functions) != 1)
		return NULL;
	function = linitial_node(RangeTblFunction, rte->functions);
	return IsA(function->funcexpr, FuncExpr) ? (FuncExpr *) function->funcexpr : NULL;
}

/* Are the arguments of the call those of the function, constants and the like? */
static bool
read_call(FuncExpr *inner, OssWrapped *wrapped)
{
	HeapTuple	proc;

	if (inner == NULL || !oss_pipeline_function(inner->funcid, &wrapped->which))
		return false;
	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(inner->funcid));
	if (!HeapTupleIsValid(proc))
		return false;
	wrapped->funcid = inner->funcid;
	wrapped->args = expand_function_arguments(inner->args, false, inner->funcresulttype, proc);
	ReleaseSysCache(proc);
	return !contain_vars_of_level((Node *) wrapped->args, 0) &&
		!contain_volatile_functions((Node *) wrapped->args) &&
		!contain_subplans((Node *) wrapped->args) &&
		list_length(wrapped->args) == oss_function_arguments(wrapped->which);
}

bool
oss_pipeline_wrapped(FuncExpr *call, OssWrapped *wrapped)
{
	HeapTuple	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	Query	   *query = NULL;

	if (!HeapTupleIsValid(proc))
		return false;
	if (((Form_pg_proc) GETSTRUCT(proc))->prolang == SQLlanguageId && !IsInParallelMode())
		query = query_of(call, proc);
	ReleaseSysCache(proc);
	return query != NULL && read_call(only_call(query), wrapped);
}
