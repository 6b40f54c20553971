/*-------------------------------------------------------------------------
 * node.c
 *	  The pipeline as a plan node: returns the rows of the plan below, in their
 *	  order, when requests have been begun for those that follow.
 *
 * EXPLAIN sends no request.  Nor does a recheck after a concurrent update
 * (EvalPlanQual) read ahead.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "call/object_info.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "pipeline/begun.h"
#include "pipeline/find_calls.h"
#include "pipeline/node.h"
#include "pipeline/plan.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static Node *create_state(CustomScan *cscan);
static void begin_pipeline(CustomScanState *css, EState *estate, int eflags);
static TupleTableSlot *exec_pipeline(CustomScanState *css);
static void end_pipeline(CustomScanState *css);
static void rescan_pipeline(CustomScanState *css);

const CustomScanMethods oss_pipeline_scan_methods = {
	.CustomName = OSS_PIPELINE_NAME,
	.CreateCustomScanState = create_state
};

/*
 * No ShutdownCustomScan: it is called at the end of each FETCH from a cursor,
 * which may be continued.
 */
static const CustomExecMethods exec_methods = {
	.CustomName = OSS_PIPELINE_NAME,
	.BeginCustomScan = begin_pipeline,
	.ExecCustomScan = exec_pipeline,
	.EndCustomScan = end_pipeline,
	.ReScanCustomScan = rescan_pipeline,
	.ExplainCustomScan = oss_pipeline_explain
};

static Node *
create_state(CustomScan *cscan)
{
	PipelineState *state = palloc0(sizeof(PipelineState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &exec_methods;
	return (Node *) state;
}

/*
 * Can evaluating an expression raise an error?  Returns false only for common
 * arguments: columns, parameters, constants and their concatenation.
 */
static bool
may_fail(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_Param:
			return false;
		case T_List:
		case T_RelabelType:
		case T_CoalesceExpr:
			break;
		case T_OpExpr:
			if (((OpExpr *) node)->opfuncid != F_TEXTCAT)
				return true;
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, may_fail, context);
}

/*
 * Can everything that is evaluated ahead be evaluated without a subtransaction?  A
 * server named by a column may not exist, text may not be convertible to UTF-8, and
 * tag() looks up the store.
 */
static bool
is_safe(OssFunction which, List *args, List *conditions)
{
	int			server = oss_function_is_head(which) ? INFO_SERVER : DETECT_SERVER;

	return !oss_function_is_tag(which) && conditions == NIL &&
		!may_fail((Node *) args, NULL) &&
		!contain_var_clause(list_nth(args, server)) &&
		GetDatabaseEncoding() == PG_UTF8;
}

/* Tree walker. */
static bool
collect_params(Node *node, void *params)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		*(Bitmapset **) params = bms_add_member(*(Bitmapset **) params,
												((Param *) node)->paramid);
	return expression_tree_walker(node, collect_params, params);
}

Bitmapset *
oss_params_of(Node *expr)
{
	Bitmapset  *params = NULL;

	(void) collect_params(expr, &params);
	return params;
}

/* Prepare the call in an SQL function, and that function's arguments. */
static void
begin_wrapped(CallSite *site, Oid wrapper, List *outer_args, PlanState *ps)
{
	HeapTuple	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(wrapper));
	int			i = 0;
	ListCell   *lc;

	if (!HeapTupleIsValid(proc))
		elog(ERROR, "cache lookup failed for function %u", wrapper);
	site->as = oss_run_as_of(proc);
	site->strict = ((Form_pg_proc) GETSTRUCT(proc))->proisstrict;
	ReleaseSysCache(proc);
	site->outer_values = makeParamList(list_length(outer_args));
	foreach(lc, outer_args)
	{
		site->outer_values->params[i].ptype = exprType(lfirst(lc));
		site->outer_values->params[i++].pflags = PARAM_FLAG_CONST;
		site->outer_args = lappend(site->outer_args, ExecInitExpr(lfirst(lc), ps));
	}
	site->econtext = CreateExprContext(ps->state);
	site->econtext->ecxt_param_list_info = site->outer_values;
}

/* Prepare what is evaluated for a call. */
static void
begin_site(CallSite *site, List *call, PlanState *ps)
{
	List	   *args = list_nth(call, OSS_CALL_ARGUMENTS);
	List	   *wrapped = list_nth(call, OSS_CALL_WRAPPED);
	List	   *conditions = list_nth(call, OSS_CALL_CONDITIONS);
	Oid			funcid = oss_call_id(call, 1);
	Oid			wrapper = oss_call_id(call, 2);
	List	   *own = OidIsValid(wrapper) ? wrapped : args;
	ListCell   *lc;

	site->which = (OssFunction) oss_call_id(call, 0);
	site->safe = !OidIsValid(wrapper) && is_safe(site->which, args, conditions);
	site->params = oss_params_of((Node *) call);
	site->conditions = ExecInitQual(conditions, ps);
	if (OidIsValid(wrapper))
		begin_wrapped(site, wrapper, args, ps);
	foreach(lc, own)
	{
		int			i = site->nargs++;

		site->args[i] = OidIsValid(wrapper) ?
			ExecInitExprWithParams(lfirst(lc), site->outer_values) :
			ExecInitExpr(lfirst(lc), ps);
		get_typlenbyval(exprType(lfirst(lc)), &site->lengths[i], &site->by_value[i]);
	}
	if (site->which != OSS_DETECT_JSON)
		(void) get_func_result_type(funcid, NULL, &site->desc);
	site->allowed = oss_function_aclcheck(funcid, OidIsValid(site->as.owner) ?
										  site->as.owner : GetUserId()) == ACLCHECK_OK &&
		(!OidIsValid(wrapper) ||
		 oss_function_aclcheck(wrapper, GetUserId()) == ACLCHECK_OK);
}

/* Find the node below whose rows this one reads, and which may pause. */
static void
find_lower(PipelineState *state)
{
	PlanState  *below = state->window.outer;

	while (IsA(below, NestLoopState))
		below = outerPlanState(below);
	if (IsA(below, CustomScanState) &&
		((CustomScanState *) below)->methods == &exec_methods)
	{
		((PipelineState *) below)->upper = state;
		if (below == state->window.outer)
			((PipelineState *) below)->window.member->above = &state->window.nrows;
	}
}

static void
begin_pipeline(CustomScanState *css, EState *estate, int eflags)
{
	PipelineState *state = (PipelineState *) css;
	PipelineWindow *window = &state->window;
	CustomScan *cscan = (CustomScan *) css->ss.ps.plan;
	PlanState  *ps = &css->ss.ps;
	bool		fixed = ps->scanopsfixed;
	ListCell   *lc;

	outerPlanState(css) = ExecInitNode(outerPlan(cscan), estate,
									   eflags & ~(EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
	window->estate = estate;
	window->outer = outerPlanState(css);
	window->econtext = CreateExprContext(estate);
	window->sites = palloc0(sizeof(CallSite) * list_length(cscan->custom_exprs));

	/* these are evaluated with a row in a slot of any kind */
	ps->scanopsfixed = false;
	foreach(lc, cscan->custom_exprs)
		begin_site(&window->sites[window->nsites++], lfirst_node(List, lc), ps);
	ps->scanopsfixed = fixed;
	oss_window_init(window);
	find_lower(state);
}

/* Return the row of the window that is to be returned next. */
static TupleTableSlot *
next_outer_row(PipelineState *state)
{
	PipelineWindow *window = &state->window;
	TupleTableSlot *slot;

	if (state->css.ss.ps.state->es_epq_active != NULL ||
		!oss_begun_follows(window->estate))
	{
		slot = ExecProcNode(window->outer);
		if (!TupIsNull(slot))
			slot_getallattrs(slot);
		return slot;
	}
	if (!oss_window_next(window))
		return NULL;
	if (state->upper != NULL && state->upper->window.ahead && !oss_window_is_ready(window))
	{
		state->upper->window.paused = true;
		return NULL;
	}
	window->current = true;
	return window->slot;
}

static TupleTableSlot *
exec_pipeline(CustomScanState *css)
{
	PipelineState *state = (PipelineState *) css;
	ExprContext *econtext = css->ss.ps.ps_ExprContext;
	TupleTableSlot *scan = css->ss.ss_ScanTupleSlot;

	for (;;)
	{
		TupleTableSlot *row;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		ExecClearTuple(scan);
		row = next_outer_row(state);
		if (TupIsNull(row))
			return NULL;
		memcpy(scan->tts_values, row->tts_values,
			   sizeof(Datum) * scan->tts_tupleDescriptor->natts);
		memcpy(scan->tts_isnull, row->tts_isnull,
			   sizeof(bool) * scan->tts_tupleDescriptor->natts);
		ExecStoreVirtualTuple(scan);
		econtext->ecxt_scantuple = scan;
		if (css->ss.ps.qual != NULL && !ExecQual(css->ss.ps.qual, econtext))
		{
			InstrCountFiltered1(css, 1);
			continue;
		}
		return css->ss.ps.ps_ProjInfo != NULL ? ExecProject(css->ss.ps.ps_ProjInfo) : scan;
	}
}

static void
rescan_pipeline(CustomScanState *css)
{
	PipelineState *state = (PipelineState *) css;
	PlanState  *outer = state->window.outer;

	ExecClearTuple(css->ss.ss_ScanTupleSlot);

	/* a scan that starts one request waits for it before the next scan does */
	if (state->window.member->started - state->window.started_before == 1 && oss_sends_alone)
		oss_sends_alone(state->window.sites[0].which);
	state->window.started_before = state->window.member->started;
	oss_window_clear(&state->window);
	if (outer->chgParam == NULL)
		ExecReScan(outer);
}

static void
end_pipeline(CustomScanState *css)
{
	PipelineState *state = (PipelineState *) css;

	ExecClearTuple(css->ss.ss_ScanTupleSlot);
	ExecClearTuple(state->window.slot);
	oss_window_clear(&state->window);
	oss_pipeline_leave(state->window.member);
	ExecEndNode(state->window.outer);
}
