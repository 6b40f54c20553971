/*-------------------------------------------------------------------------
 * find_calls.h
 *	  The calls in a finished plan that are made for every row of a node.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FIND_CALLS_H
#define OSS_FIND_CALLS_H


#include "nodes/plannodes.h"
#include "pipeline/pipeline.h"

/*
 * A call, as the plan keeps it: a list.  Its arguments and conditions refer to the
 * row of the node that evaluates it, and to parameters.  WRAPPED are the arguments
 * of the call in the body of an SQL function, whose own arguments ARGUMENTS are
 * then; else NIL.  CALL_CONDITIONS must hold, or the call is not made.
 */
typedef enum OssCallPart
{
	OSS_CALL_ARGUMENTS,
	OSS_CALL_WRAPPED,
	OSS_CALL_CONDITIONS,
	OSS_CALL_IDS,				/* Consts: OssFunction, OIDs of the function
								 * and of the SQL function or InvalidOid */
	OSS_CALL_PLACES				/* Consts: where equal calls stand */
} OssCallPart;

/* Return one of the IDs of a call. */
#define oss_call_id(call, i) \
	DatumGetObjectId(list_nth_node(Const, list_nth_node(List, (call), OSS_CALL_IDS), (i))->constvalue)

/*
 * Return the calls that evaluating an expression makes in any case, and whose
 * arguments can be evaluated before.
 */
extern List *oss_calls_of_expr(const PlannedStmt *stmt, Node *expr);

/*
 * The same for the inner plan of a nested loop, which is run for each outer row with
 * these parameters (NestLoopParam).
 */
extern List *oss_calls_of_inner(const PlannedStmt *stmt, Plan *inner, List *params);

/* Does a LIMIT let what is below it run? */
extern bool oss_limit_lets_run(Node *limit);

/* Return the members of a target list that return sets, as expressions. */
extern List *oss_sets_of(List *tlist);

/* Is a call one of those at these places? */
extern bool oss_call_is_at(List *places, const FuncExpr *call);

/* Has a plan functions that are not PostgreSQL's own? */
extern bool oss_pipeline_has_functions(const PlannedStmt *stmt);

/* What an SQL function calls, and nothing else. */
typedef struct OssWrapped
{
	OssFunction which;
	Oid			funcid;
	List	   *args;			/* in terms of the SQL function's arguments */
} OssWrapped;

/* Is this a call of an SQL function that only wraps one of ours? */
extern bool oss_pipeline_wrapped(FuncExpr *call, OssWrapped *wrapped);

#endif							/* OSS_FIND_CALLS_H */
