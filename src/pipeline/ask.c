/*-------------------------------------------------------------------------
 * ask.c
 *	  What a call will ask for: evaluating it ahead, and starting its request.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "call/object_info.h"
#include "client/usage.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pipeline/ask.h"
#include "spi/subtransaction.h"
#include "utils/datum.h"
#include "utils/memutils.h"

/* Result of evaluating a call. */
typedef enum Outcome
{
	OUTCOME_SPEC,				/* there is a spec */
	OUTCOME_STORED,				/* the store has the answer for tag() */
	OUTCOME_NOTHING,			/* an argument is NULL, or a condition fails */
	OUTCOME_ERROR				/* evaluation failed */
} Outcome;

/* What a call asks for, in per-tuple memory. */
typedef struct Question
{
	OssLabelsSpec spec;
	OssWish		wish;			/* of what is to be kept */
	bool		keep;
	DetectRows *stored;			/* what it found, or NULL */
} Question;

/* Argument of compute(). */
typedef struct Computation
{
	PipelineWindow *window;
	CallSite   *site;
	PipelineCall *call;
	bool		evaluate;		/* the arguments, too */
	Question   *question;
	Outcome		outcome;
} Computation;

/*
 * Evaluate the arguments of the SQL function that makes a call.  Returns false if it is
 * not called, for want of them.
 */
static bool
evaluate_outer(CallSite *site, ExprContext *econtext)
{
	int			i = 0;
	ListCell   *lc;

	foreach(lc, site->outer_args)
	{
		ParamExternData *param = &site->outer_values->params[i++];

		param->value = ExecEvalExpr((ExprState *) lfirst(lc), econtext, &param->isnull);
		if (site->strict && param->isnull)
			return false;
	}
	return true;
}

/*
 * Evaluate the arguments of a call for the row in econtext, and copy them.  Returns
 * false if the call is not made.
 */
static bool
evaluate_args(PipelineWindow *window, CallSite *site, PipelineCall *call)
{
	ExprContext *econtext = window->econtext;
	OssRanAs	before;
	MemoryContext old;

	if (site->conditions != NULL && !ExecQual(site->conditions, econtext))
		return false;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	if (site->outer_values != NULL)
	{
		if (!evaluate_outer(site, econtext))
		{
			MemoryContextSwitchTo(old);
			return false;
		}
		econtext = site->econtext;
		ResetExprContext(econtext);
	}
	before = oss_run_as_begin(&site->as);
	call->userid = GetUserId();
	for (int i = 0; i < site->nargs; i++)
		call->args[i] = ExecEvalExpr(site->args[i], econtext, &call->nulls[i]);
	MemoryContextSwitchTo(window->context);
	for (int i = 0; i < site->nargs; i++)
	{
		if (call->nulls[i] || site->by_value[i])
			continue;
		if (site->lengths[i] == -1)
			call->args[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(call->args[i]));
		else
			call->args[i] = datumCopy(call->args[i], false, site->lengths[i]);
	}
	MemoryContextSwitchTo(old);
	oss_run_as_end(&before);
	return true;
}

/* Check the arguments of tag() and look for the answer in the store. */
static bool
find_stored(const PipelineCall *call, bool is_try, Question *question)
{
	if (!oss_stored_wish(call->args, call->nulls, true, &question->wish) ||
		oss_stored_check_wish(&question->wish, is_try) != NULL)
		return false;
	question->keep = true;
	question->stored = oss_stored_find(&question->wish, is_try);
	return question->stored != NULL;
}

/* Find out what a call asks for, as the caller. */
static Outcome
make_question(OssFunction which, const PipelineCall *call, Question *question)
{
	bool		is_tag = oss_function_is_tag(which);
	bool		is_head = oss_function_is_head(which);

	question->stored = NULL;
	question->keep = !is_tag && !is_head && oss_keep_detected && oss_spool_prepare() &&
		oss_stored_wish(call->args, call->nulls, false, &question->wish);
	if (is_tag && find_stored(call, oss_function_is_try(which), question))
		return OUTCOME_STORED;
	if (!(is_head ? oss_object_spec : oss_detect_spec) (call->args, call->nulls, &question->spec))
		return OUTCOME_NOTHING;

	/* storing an answer before the request starts may run triggers */
	if (question->spec.server != NULL)
		oss_server_pin_in_context(question->spec.server);
	if (is_tag && question->keep)
		oss_stored_ask_for_all(&question->wish, &question->spec);
	return OUTCOME_SPEC;
}

/*
 * Evaluate a call and find out what it asks for.  Allocates in per-tuple memory, and
 * may throw.
 */
static void
compute(void *arg)
{
	Computation *computation = arg;
	MemoryContext memory = computation->window->econtext->ecxt_per_tuple_memory;
	CallSite   *site = computation->site;
	OssRanAs	before;
	MemoryContext old;

	computation->outcome = OUTCOME_NOTHING;
	if (computation->evaluate &&
		!evaluate_args(computation->window, site, computation->call))
		return;
	before = oss_run_as_begin(&site->as);
	old = MemoryContextSwitchTo(memory);
	computation->outcome = make_question(site->which, computation->call,
										 computation->question);
	MemoryContextSwitchTo(old);
	oss_run_as_end(&before);
}

/*
 * Would evaluating a call run the plan of a sublink that has not been needed so far?
 * It may fail, and resources that it keeps open must not belong to our subtransaction.
 */
static bool
needs_plan(const PipelineWindow *window, const CallSite *site)
{
	const ParamExecData *values = window->econtext->ecxt_param_exec_vals;
	int			param = -1;

	while ((param = bms_next_member(site->params, param)) >= 0)
	{
		if (values[param].execPlan != NULL)
			return true;
	}
	return false;
}

/*
 * Compute in a subtransaction if necessary, so that an error leaves nothing behind.  A
 * cancel is raised, since it is not an error of the row.
 */
static Outcome
compute_guarded(Computation *computation, bool is_current)
{
	bool		plan = computation->evaluate && needs_plan(computation->window, computation->site);
	ErrorData  *error;

	if (plan ? !is_current : !computation->site->safe && IsInParallelMode())
		return OUTCOME_ERROR;
	if (plan || computation->site->safe)
	{
		compute(computation);
		return computation->outcome;
	}
	error = oss_subtransaction(compute, computation);
	if (error == NULL)
		return computation->outcome;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	FreeErrorData(error);
	return OUTCOME_ERROR;
}

/* Set a call's labels from what tag() found; "how" says whose answer it is. */
static void
set_stored(PipelineWindow *window, const CallSite *site, PipelineCall *call,
		   const Question *question, OssUsageCount how)
{
	PipelineLabels *labels;
	MemoryContext old;

	if (call->flight != NULL)
		oss_window_leave_flight(call);
	oss_usage_free(how, question->wish.server, call->userid,
				   question->wish.image.bucket, 1);
	call->stored = AllocSetContextCreate(window->context, "oss_labels stored labels",
										 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(call->stored);
	labels = palloc(sizeof(PipelineLabels));
	oss_labels_form(labels, question->stored, site->desc);
	call->labels = labels;
	MemoryContextSwitchTo(old);
	call->state = CALL_STORED;
}

/*
 * Board the flight of an image of tag().  Returns whether its request is to be
 * started; else somebody else asks, and the call waits for that.
 */
static bool
board_flight(PipelineWindow *window, CallSite *site, PipelineCall *call,
			 const Question *question, OssFlight **ours)
{
	MemoryContext context;
	MemoryContext old;
	OssFlight  *flight;

	*ours = NULL;
	if (!oss_function_is_tag(site->which))
		return true;
	context = AllocSetContextCreate(window->context, "oss_labels flight",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	flight = oss_stored_board(&question->wish, question->spec.server);
	MemoryContextSwitchTo(old);
	if (flight == NULL || oss_flight_state(flight, NULL) == OSS_FLIGHT_OURS)
	{
		if (flight == NULL)
			MemoryContextDelete(context);
		*ours = flight;
		return true;
	}
	call->flight = flight;
	call->stored = context;
	call->state = CALL_JOINED;
	return false;
}

/* Look once more for the answer to a call of tag(). */
static bool
look_again(PipelineWindow *window, CallSite *site, PipelineCall *call, Question *question)
{
	question->stored = oss_stored_find(&question->wish, oss_function_is_try(site->which));
	if (question->stored != NULL)
		set_stored(window, site, call, question, OSS_USAGE_SHARED);
	return question->stored != NULL;
}

/*
 * Leave the flight of somebody else: with the labels, if they are there.  Returns false
 * when they are not.
 */
static bool
land_flight(PipelineWindow *window, CallSite *site, PipelineCall *call, Question *question)
{
	question->stored = oss_stored_share(&question->wish, call->flight,
										oss_function_is_try(site->which));
	if (question->stored != NULL)
	{
		set_stored(window, site, call, question, OSS_USAGE_SHARED);
		return true;
	}

	/* it may have been stored, and left the spool, since we looked */
	if (look_again(window, site, call, question))
		return true;
	if (oss_flight_state(call->flight, NULL) == OSS_FLIGHT_ANSWERED)
		oss_flight_end(call->flight);
	oss_window_leave_flight(call);
	return false;
}

/*
 * Start a call's request, with others' flights unless it is to be alone.  If the answer
 * may have been stored since we looked, look again if it is the call's turn, else let it
 * be.  If it could not be stored, that is an error of its turn.
 */
static void
start_request(PipelineWindow *window, CallSite *site, PipelineCall *call,
			  Question *question, bool is_turn, bool alone)
{
	OssFlight  *flight = NULL;

	if (!alone && !board_flight(window, site, call, question, &flight))
		return;
	if (oss_function_is_tag(site->which))
	{
		bool		start = true;

		if (oss_stored_may_have_come())
			start = is_turn && !look_again(window, site, call, question);
		if (start && oss_stored_refusal(&question->wish, question->spec.server) != NULL)
		{
			call->state = CALL_ALONE;
			start = false;
		}
		if (!start && flight != NULL)
			MemoryContextDelete(GetMemoryChunkContext(flight));
		if (!start)
			return;
	}
	if (is_turn)
		oss_pipeline_wait_turn(window->member);
	call->answer = oss_pipeline_start(window->member, site->which, &question->spec,
									  question->keep ? &question->wish : NULL, flight);
	call->state = CALL_ASKED;
	window->unsent = true;
}

/* Find or start a call's request. */
static void
find_or_start(PipelineWindow *window, CallSite *site, PipelineCall *call,
			  Question *question, bool is_turn)
{
	bool		alone = call->flight != NULL &&
	oss_flight_state(call->flight, NULL) == OSS_FLIGHT_ASKED;

	if (call->flight != NULL && land_flight(window, site, call, question))
		return;
	if (oss_spec_failure(&question->spec) != NULL)
		return;
	call->state = CALL_UNASKED;
	call->answer = oss_pipeline_find(window->member, site->which, &question->spec);
	if (call->answer != NULL)
		call->state = CALL_ASKED;
	else if (is_turn || oss_pipeline_may_start(window->member))
		start_request(window, site, call, question, is_turn, alone);
}

bool
oss_window_ask(PipelineWindow *window, CallSite *site, PipelineCall *call, bool evaluate,
			   bool is_turn)
{
	Question	question;
	Computation computation = {window, site, call, evaluate, &question, OUTCOME_ERROR};
	MemoryContext old;
	OssRanAs	before;
	Outcome		outcome;

	ResetExprContext(window->econtext);
	outcome = compute_guarded(&computation, window->nrows <= 1);
	call->state = outcome == OUTCOME_NOTHING ? CALL_NOTHING : CALL_ALONE;
	if (outcome == OUTCOME_STORED || outcome == OUTCOME_SPEC)
		call->least = oss_function_is_tag(site->which) && question.keep ?
			question.wish.least : 0;
	if (outcome == OUTCOME_STORED)
		set_stored(window, site, call, &question,
				   call->flight != NULL ? OSS_USAGE_SHARED : OSS_USAGE_STORED_HITS);
	if (outcome == OUTCOME_SPEC)
	{
		old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
		before = oss_run_as_begin(&site->as);
		find_or_start(window, site, call, &question, is_turn);
		oss_run_as_end(&before);
		MemoryContextSwitchTo(old);
	}
	else if (call->flight != NULL)
		oss_window_leave_flight(call);
	return outcome != OUTCOME_ERROR;
}

void
oss_window_leave_flight(PipelineCall *call)
{
	MemoryContextDelete(call->stored);
	call->stored = NULL;
	call->flight = NULL;
}
