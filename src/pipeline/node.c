/*-------------------------------------------------------------------------
 * node.c
 *	  The pipeline as a plan node: joins the outer rows of its window with
 *	  their labels, in outer order.
 *
 * As in the ordinary plan, the right to execute the function is checked when
 * the node starts, errors are raised when their row's turn comes, and EXPLAIN
 * sends no request.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "call/object_info.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "pipeline/node.h"
#include "pipeline/plan.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

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

/* Check the right to execute the function, as ExecInitFunc() does. */
static void
check_execute(Oid funcid)
{
	AclResult	result = oss_function_aclcheck(funcid, GetUserId());

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(funcid));
	InvokeFunctionExecuteHook(funcid);
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
 * Can everything that is evaluated ahead be evaluated without a
 * subtransaction?  A server named by a column may not exist, and text may not
 * be convertible to UTF-8.
 */
static bool
is_safe(OssFunction which, List *args, List *before)
{
	int			server = oss_function_is_head(which) ? INFO_SERVER : DETECT_SERVER;

	return before == NIL && !may_fail((Node *) args, NULL) &&
		!contain_var_clause(list_nth(args, server)) &&
		GetDatabaseEncoding() == PG_UTF8;
}

/* Tree walker: collect the IDs of executor parameters. */
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

/*
 * Prepare the expressions that the window evaluates for each outer row.
 *
 * They refer to the joined row, whose slot is virtual, but are evaluated with
 * an outer row in a slot of any kind.
 */
static void
begin_expressions(PipelineState *state, List *args, List *before)
{
	PipelineWindow *window = &state->window;
	PlanState  *ps = &state->css.ss.ps;
	bool		fixed = ps->scanopsfixed;
	int			i = 0;
	ListCell   *lc;

	ps->scanopsfixed = false;
	foreach(lc, args)
		window->args[i++] = ExecInitExpr(lfirst(lc), ps);
	window->before = ExecInitQual(before, ps);
	ps->scanopsfixed = fixed;
	(void) collect_params((Node *) args, &window->params);
	(void) collect_params((Node *) before, &window->params);
}

static void
begin_window(PipelineState *state, EState *estate, int eflags)
{
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	PipelineWindow *window = &state->window;
	FuncExpr   *call = list_nth_node(FuncExpr, cscan->custom_exprs,
									 OSS_PLAN_CALL);
	List	   *before = list_nth(cscan->custom_exprs, OSS_PLAN_BEFORE);

	window->which = oss_plan_private(cscan, OSS_PLAN_FUNCTION);
	window->outer = ExecInitNode(linitial(cscan->custom_plans), estate,
								 eflags & ~(EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
	state->css.custom_ps = list_make1(window->outer);
	window->econtext = CreateExprContext(estate);
	begin_expressions(state, call->args, before);
	/* tag() looks up the store, which may fail */
	window->safe = !oss_function_is_tag(window->which) && is_safe(window->which, call->args, before);
	window->outer_join = state->jointype == JOIN_LEFT ||
		state->jointype == JOIN_ANTI;
	if (get_expr_result_type((Node *) call, NULL,
							 &window->label_desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "unexpected result type of a labels function");
	oss_pipeline_window_init(window, estate);
}

/* Set which columns of the function the joined row has. */
static void
begin_columns(PipelineState *state)
{
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	int			n = list_length(cscan->custom_scan_tlist);

	state->outer_columns = oss_plan_private(cscan, OSS_PLAN_OUTER_COLUMNS);
	state->label_columns = n - state->outer_columns;
	state->label_attnos = palloc(sizeof(AttrNumber) *
								 Max(state->label_columns, 1));
	for (int i = 0; i < state->label_columns; i++)
	{
		TargetEntry *entry = list_nth_node(TargetEntry,
										   cscan->custom_scan_tlist,
										   state->outer_columns + i);

		state->label_attnos[i] = castNode(Var, entry->expr)->varattno;
	}
	state->call_relid = oss_plan_private(cscan, OSS_PLAN_RELID) -
		oss_plan_private(cscan, OSS_PLAN_FIRST_RELID) +
		bms_next_member(cscan->custom_relids, -1);
}

/*
 * Describe the function's whole row, with the column names given by the
 * query.
 */
static void
begin_whole_row(PipelineState *state, EState *estate)
{
	RangeTblEntry *rte = exec_rt_fetch(state->call_relid, estate);

	for (int i = 0; i < state->label_columns; i++)
	{
		if (state->label_attnos[i] != InvalidAttrNumber)
			continue;
		state->whole_desc = CreateTupleDescCopy(state->window.label_desc);

		/* ExecTypeSetColNames() wants a row type that is not registered yet */
		state->whole_desc->tdtypmod = -1;
		ExecTypeSetColNames(state->whole_desc, rte->eref->colnames);
		state->whole_desc = BlessTupleDesc(state->whole_desc);
		return;
	}
}

static void
begin_pipeline(CustomScanState *css, EState *estate, int eflags)
{
	PipelineState *state = (PipelineState *) css;
	CustomScan *cscan = (CustomScan *) css->ss.ps.plan;
	FuncExpr   *call = list_nth_node(FuncExpr, cscan->custom_exprs,
									 OSS_PLAN_CALL);

	check_execute(call->funcid);
	state->jointype = oss_plan_private(cscan, OSS_PLAN_JOINTYPE);
	begin_columns(state);
	begin_window(state, estate, eflags);
	begin_whole_row(state, estate);
	state->label_slot = ExecInitExtraTupleSlot(estate,
											   state->window.label_desc,
											   &TTSOpsMinimalTuple);
	state->match_context = CreateExprContext(estate);
	state->match_clauses = list_nth(cscan->custom_exprs, OSS_PLAN_MATCH);
	state->match = ExecInitQual(state->match_clauses, &css->ss.ps);
}

/* Return the label row as a composite value, in per-tuple memory. */
static Datum
whole_row(PipelineState *state)
{
	TupleTableSlot *labels = state->label_slot;
	MemoryContext old;
	HeapTuple	tuple;
	Datum		whole;

	/* not the node's own context, which is reset when a condition fails */
	old = MemoryContextSwitchTo(state->match_context->ecxt_per_tuple_memory);
	tuple = heap_form_tuple(state->whole_desc, labels->tts_values,
							labels->tts_isnull);
	whole = heap_copy_tuple_as_datum(tuple, state->whole_desc);
	MemoryContextSwitchTo(old);
	return whole;
}

static TupleTableSlot *
set_outer_columns(PipelineState *state, TupleTableSlot *outer)
{
	TupleTableSlot *joined = state->css.ss.ss_ScanTupleSlot;

	ExecClearTuple(joined);
	memcpy(joined->tts_values, outer->tts_values,
		   sizeof(Datum) * state->outer_columns);
	memcpy(joined->tts_isnull, outer->tts_isnull,
		   sizeof(bool) * state->outer_columns);
	return joined;
}

/* Return the joined row of an outer row and the label row in label_slot. */
static TupleTableSlot *
join_label(PipelineState *state, TupleTableSlot *outer)
{
	TupleTableSlot *joined = set_outer_columns(state, outer);
	TupleTableSlot *labels = state->label_slot;
	Datum	   *values = joined->tts_values + state->outer_columns;
	bool	   *nulls = joined->tts_isnull + state->outer_columns;

	slot_getallattrs(labels);
	ResetExprContext(state->match_context);
	for (int i = 0; i < state->label_columns; i++)
	{
		AttrNumber	attno = state->label_attnos[i];

		nulls[i] = attno != InvalidAttrNumber && labels->tts_isnull[attno - 1];
		values[i] = attno == InvalidAttrNumber ? whole_row(state) :
			labels->tts_values[attno - 1];
	}
	return ExecStoreVirtualTuple(joined);
}

/* Return the joined row of an outer row without label. */
static TupleTableSlot *
join_nothing(PipelineState *state, TupleTableSlot *outer)
{
	TupleTableSlot *joined = set_outer_columns(state, outer);

	memset(joined->tts_values + state->outer_columns, 0,
		   sizeof(Datum) * state->label_columns);
	memset(joined->tts_isnull + state->outer_columns, true,
		   sizeof(bool) * state->label_columns);
	return ExecStoreVirtualTuple(joined);
}

static bool
inner_row_matches(PipelineState *state, TupleTableSlot *joined)
{
	if (state->match == NULL)
		return true;
	state->match_context->ecxt_scantuple = joined;
	return ExecQual(state->match, state->match_context);
}

/* Return the next joined row of the current image, or NULL. */
static TupleTableSlot *
next_of_image(PipelineState *state)
{
	const PipelineLabels *labels = state->image->labels;
	TupleTableSlot *outer = state->window.outer_slot;

	while (labels != NULL && state->next_label < labels->n)
	{
		TupleTableSlot *joined;

		ExecStoreMinimalTuple(labels->tuples[state->next_label++],
							  state->label_slot, false);
		joined = join_label(state, outer);
		if (!inner_row_matches(state, joined))
			continue;
		state->matched = true;
		if (state->jointype == JOIN_SEMI || state->jointype == JOIN_ANTI)
			state->next_label = labels->n;
		if (state->jointype != JOIN_ANTI)
			return joined;
	}
	if (!state->matched && state->window.outer_join)
	{
		state->matched = true;
		return join_nothing(state, outer);
	}
	return NULL;
}

static void
leave_image(PipelineState *state)
{
	ExecClearTuple(state->css.ss.ss_ScanTupleSlot);
	ExecClearTuple(state->label_slot);
	state->image = NULL;
}

static TupleTableSlot *
next_joined(ScanState *ss)
{
	PipelineState *state = (PipelineState *) ss;
	TupleTableSlot *joined;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (state->image == NULL)
		{
			state->image = oss_pipeline_window_first(&state->window);
			if (state->image == NULL)
				return ExecClearTuple(ss->ss_ScanTupleSlot);
			state->next_label = 0;
			state->matched = false;
		}
		else
			oss_pipeline_window_tend(&state->window);
		joined = next_of_image(state);
		if (joined != NULL)
			return joined;
		leave_image(state);
		oss_pipeline_window_advance(&state->window);
	}
}

/*
 * Store the function's row of a recheck in label_slot.  Returns false if
 * there is none.  It is the row that was joined before: no request is sent.
 */
static bool
fetch_recheck_row(PipelineState *state, EPQState *epq)
{
	int			i = state->call_relid - 1;

	ExecClearTuple(state->label_slot);
	if (epq->relsubs_slot[i] != NULL)
	{
		if (TupIsNull(epq->relsubs_slot[i]))
			return false;
		ExecCopySlot(state->label_slot, epq->relsubs_slot[i]);
		return true;
	}
	return epq->relsubs_rowmark[i] != NULL &&
		EvalPlanQualFetchRowMark(epq, state->call_relid, state->label_slot) &&
		!TupIsNull(state->label_slot);
}

/*
 * Join the rows of a recheck after a concurrent update (EvalPlanQual): the
 * outer plan returns its replacement row, the function's row is the one
 * joined before.
 */
static bool
recheck_pipeline(ScanState *ss, TupleTableSlot *slot)
{
	PipelineState *state = (PipelineState *) ss;
	EPQState   *epq = ss->ps.state->es_epq_active;

	for (;;)
	{
		TupleTableSlot *outer = ExecProcNode(state->window.outer);
		bool		found;

		if (TupIsNull(outer))
			return false;
		slot_getallattrs(outer);
		found = fetch_recheck_row(state, epq) &&
			inner_row_matches(state, join_label(state, outer));
		if (found && state->jointype != JOIN_ANTI)
			return true;
		if (!found && state->window.outer_join)
		{
			join_nothing(state, outer);
			return true;
		}
	}
}

static TupleTableSlot *
exec_pipeline(CustomScanState *css)
{
	return ExecScan(&css->ss, next_joined, recheck_pipeline);
}

static void
rescan_pipeline(CustomScanState *css)
{
	PipelineState *state = (PipelineState *) css;
	PlanState  *outer = state->window.outer;

	ExecScanReScan(&css->ss);
	leave_image(state);
	oss_pipeline_window_clear(&state->window);
	if (css->ss.ps.chgParam != NULL)
		UpdateChangedParamSet(outer, css->ss.ps.chgParam);
	if (outer->chgParam == NULL)
		ExecReScan(outer);
}

static void
end_pipeline(CustomScanState *css)
{
	PipelineState *state = (PipelineState *) css;

	leave_image(state);
	ExecClearTuple(state->window.outer_slot);
	oss_pipeline_window_clear(&state->window);
	oss_pipeline_leave(state->window.member);
	ExecEndNode(state->window.outer);
}
