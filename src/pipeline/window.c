/*-------------------------------------------------------------------------
 * window.c
 *	  The rows that a pipeline node has read ahead, and the requests of the calls
 *	  that will be made for them.
 *
 * The window is filled row by row, and only while another request may be
 * started.  Errors in evaluating a call's arguments ahead are dropped: the call
 * evaluates them again when its turn comes, and fails then, as without us.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "call/object_info.h"
#include "client/http.h"
#include "client/usage.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pipeline/begun.h"
#include "pipeline/window.h"
#include "spi/subtransaction.h"
#include "utils/datum.h"
#include "utils/memutils.h"

/*
 * Limit on rows, as a multiple of concurrency: many rows may share a request.
 */
#define ROWS_PER_REQUEST	32

/* The event loop runs at least this often while rows are returned. */
#define TURN_EVERY_US		500

/* How long the current row waits for somebody else's request at once. */
#define FLIGHT_MS 50

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

void
oss_window_init(PipelineWindow *window)
{
	window->member = oss_pipeline_join(window->estate);
	window->member->window = window;
	window->slot = ExecInitExtraTupleSlot(window->estate,
										  ExecGetResultType(window->outer),
										  &TTSOpsMinimalTuple);
	window->context = AllocSetContextCreate(window->estate->es_query_cxt,
											"oss_labels window",
											ALLOCSET_DEFAULT_SIZES);
	window->turn_context = AllocSetContextCreate(window->context,
												 "oss_labels pipeline turn",
												 ALLOCSET_SMALL_SIZES);
	dlist_init(&window->rows);
}

static PipelineRow *
first_row(PipelineWindow *window)
{
	return dlist_head_element(PipelineRow, node, &window->rows);
}

static CallSite *
site_of(PipelineWindow *window, PipelineRow *row, PipelineCall *call)
{
	return &window->sites[call - row->calls];
}

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

/* Set a call's labels from what tag() found without a request of its own. */
static void
set_stored(PipelineWindow *window, const CallSite *site, PipelineCall *call,
		   const Question *question)
{
	MemoryContext old;

	oss_usage_free(OSS_USAGE_STORED_HITS, question->wish.server, call->userid,
				   question->wish.image.bucket, 1);
	call->stored = AllocSetContextCreate(window->context, "oss_labels stored labels",
										 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(call->stored);
	call->labels = oss_pipeline_make_labels(question->stored, site->desc);
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

/*
 * Start a call's request.  Not if the answer may have been stored since we looked; if
 * it could not be stored, that is an error of its turn.
 */
static void
start_request(PipelineWindow *window, CallSite *site, PipelineCall *call,
			  const Question *question)
{
	OssFlight  *flight;

	if (!board_flight(window, site, call, question, &flight))
		return;
	if (oss_function_is_tag(site->which) &&
		(oss_stored_may_have_come() ||
		 oss_stored_refusal(&question->wish, question->spec.server) != NULL))
	{
		if (!oss_stored_may_have_come())
			call->state = CALL_ALONE;
		if (flight != NULL)
			MemoryContextDelete(GetMemoryChunkContext(flight));
		return;
	}
	call->answer = oss_pipeline_start(window->member, site->which, &question->spec,
									  question->keep ? &question->wish : NULL, flight);
	call->state = CALL_ASKED;
	window->unsent = true;
}

/*
 * Start a call's request if possible, and set its state.  is_turn: the call is being
 * made.  evaluate: its arguments are not known yet.  Returns false after an error.
 */
static bool
ask(PipelineWindow *window, CallSite *site, PipelineCall *call, bool evaluate, bool is_turn)
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
		set_stored(window, site, call, &question);
	if (outcome != OUTCOME_SPEC)
		return outcome != OUTCOME_ERROR;

	old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
	before = oss_run_as_begin(&site->as);
	if (oss_spec_failure(&question.spec) == NULL)
	{
		call->state = CALL_UNASKED;
		call->answer = oss_pipeline_find(window->member, site->which, &question.spec);
		if (call->answer != NULL)
			call->state = CALL_ASKED;
		else if (is_turn || oss_pipeline_may_start(window->member))
			start_request(window, site, call, &question);
	}
	oss_run_as_end(&before);
	MemoryContextSwitchTo(old);
	return true;
}

/* Leave the flight of somebody else. */
static void
leave_flight(PipelineCall *call)
{
	MemoryContextDelete(call->stored);
	call->stored = NULL;
	call->flight = NULL;
}

/*
 * Run the event loop, unless it was run within TURN_EVERY_US and now is
 * false.
 */
static void
drive_requests(PipelineWindow *window, bool now)
{
	int64		time = oss_clock_us();

	if (!now && time - window->driven < TURN_EVERY_US)
		return;
	oss_pipeline_poll(window->member);
	window->driven = time;
	window->unsent = false;
}

static PipelineRow *
append_row(PipelineWindow *window, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(window->context);
	PipelineRow *row = palloc0(offsetof(PipelineRow, calls) +
							   sizeof(PipelineCall) * window->nsites);

	row->tuple = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(old);
	window->bytes += row->tuple->t_len;
	window->nrows++;
	dlist_push_tail(&window->rows, &row->node);
	return row;
}

/* Begin the requests of a row that has been read.  Returns whether all are begun. */
static bool
begin_row(PipelineWindow *window, PipelineRow *row, TupleTableSlot *slot)
{
	bool		all = true;

	slot_getallattrs(slot);
	window->econtext->ecxt_scantuple = slot;
	for (int i = 0; i < window->nsites && !row->stop; i++)
	{
		if (!window->sites[i].allowed)
			continue;
		row->stop = !ask(window, &window->sites[i], &row->calls[i], true, false);
		if (row->calls[i].state == CALL_UNASKED)
			all = false;
	}
	return all && !row->stop;
}

/* Read one more row.  Returns false if no row may be read after it. */
static bool
read_row(PipelineWindow *window)
{
	TupleTableSlot *slot;

	window->ahead = window->nrows > 0;
	window->paused = false;
	slot = ExecProcNode(window->outer);
	window->ahead = false;
	if (TupIsNull(slot))
	{
		window->exhausted = !window->paused;
		return false;
	}
	return begin_row(window, append_row(window, slot), slot);
}

/*
 * Ask for images that waited for requests of others which have ended since, so that
 * they need not wait for their turn.
 */
static void
ask_abandoned(PipelineWindow *window)
{
	uint64		changes = oss_flight_changes();
	dlist_iter	iter;

	if (window->flight_changes == changes)
		return;
	window->flight_changes = changes;
	dlist_foreach(iter, &window->rows)
	{
		PipelineRow *row = dlist_container(PipelineRow, node, iter.cur);

		for (int i = 0; i < window->nsites && row != first_row(window); i++)
		{
			PipelineCall *call = &row->calls[i];

			if (call->state != CALL_JOINED ||
				oss_flight_state(call->flight, NULL) != OSS_FLIGHT_GONE)
				continue;
			if (!oss_pipeline_may_start(window->member))
			{
				window->flight_changes--;
				return;
			}
			leave_flight(call);
			(void) ask(window, &window->sites[i], call, false, false);
		}
	}
}

/*
 * Start the last row's requests if they could not be started before.  Returns
 * whether another row may be read.
 */
static bool
ask_last(PipelineWindow *window)
{
	PipelineRow *last;

	if (window->nrows == 0)
		return true;
	last = dlist_tail_element(PipelineRow, node, &window->rows);
	for (int i = 0; i < window->nsites; i++)
	{
		if (last->calls[i].state != CALL_UNASKED)
			continue;
		last->stop |= !ask(window, &window->sites[i], &last->calls[i], false, false);
		if (last->calls[i].state == CALL_UNASKED)
			return false;
	}
	return !last->stop;
}

static bool
has_room(const PipelineWindow *window)
{
	return window->nrows == 0 ||
		(window->nrows < ROWS_PER_REQUEST * oss_pipeline_member_concurrency(window->member) &&
		 window->bytes < (Size) work_mem * 1024);
}

static void
fill_window(PipelineWindow *window)
{
	if (window->ahead)
		return;
	ask_abandoned(window);
	while (oss_pipeline_may_start(window->member) || window->nrows == 0)
	{
		if (!ask_last(window) || window->exhausted || !has_room(window) ||
			!read_row(window))
			break;
		drive_requests(window, false);
	}
}

static void
drop_first(PipelineWindow *window, bool delivered)
{
	PipelineRow *row = first_row(window);

	ExecClearTuple(window->slot);
	dlist_delete(&row->node);
	window->nrows--;
	window->bytes -= row->tuple->t_len;
	for (int i = 0; i < window->nsites; i++)
	{
		PipelineCall *call = &row->calls[i];

		if (call->answer != NULL)
			oss_pipeline_release(call->answer, delivered);
		if (call->stored != NULL)
			MemoryContextDelete(call->stored);
		for (int j = 0; j < window->sites[i].nargs; j++)
		{
			if (!window->sites[i].by_value[j] && !call->nulls[j] && call->args[j] != (Datum) 0)
				pfree(DatumGetPointer(call->args[j]));
		}
	}
	pfree(row->tuple);
	pfree(row);
	MemoryContextReset(window->turn_context);
}

bool
oss_window_next(PipelineWindow *window)
{
	if (window->current)
		drop_first(window, true);
	window->current = false;
	window->member->running = true;
	fill_window(window);
	if (window->nrows == 0)
	{
		window->member->running = false;
		return false;
	}
	ExecStoreMinimalTuple(first_row(window)->tuple, window->slot, false);
	slot_getallattrs(window->slot);
	if (window->unsent)
		drive_requests(window, true);
	return true;
}

bool
oss_window_is_ready(PipelineWindow *window)
{
	PipelineRow *row = first_row(window);

	if (row->stop)
		return false;
	for (int i = 0; i < window->nsites; i++)
	{
		const PipelineCall *call = &row->calls[i];

		if (call->state == CALL_ASKED ? !oss_pipeline_succeeded(call->answer) :
			call->state != CALL_NOTHING && call->state != CALL_STORED)
			return false;
	}
	return true;
}

PipelineCall *
oss_window_find(PipelineWindow *window, OssFunction which, const NullableDatum *args)
{
	if (!window->current)
		return NULL;
	for (int i = 0; i < window->nsites; i++)
	{
		CallSite   *site = &window->sites[i];
		PipelineCall *call = &first_row(window)->calls[i];
		int			same = 0;

		if (site->which != which || call->state < CALL_UNASKED ||
			call->userid != GetUserId())
			continue;
		while (same < site->nargs && args[same].isnull == call->nulls[same] &&
			   (args[same].isnull ||
				datum_image_eq(args[same].value, call->args[same],
							   site->by_value[same], site->lengths[same])))
			same++;
		if (same == site->nargs)
			return call;
	}
	return NULL;
}

/*
 * Give somebody else's request some time, while ours go on; returns false when it
 * has ended, or was waited for long enough.
 */
static bool
wait_for_flight(PipelineWindow *window, const PipelineCall *call)
{
	if (oss_flight_state(call->flight, NULL) != OSS_FLIGHT_ASKED ||
		!oss_flight_wait(call->flight, FLIGHT_MS))
		return false;
	drive_requests(window, true);
	return true;
}

/* Fill the window in the midst of a call. */
static void
fill_meanwhile(PipelineWindow *window)
{
	MemoryContext old = MemoryContextSwitchTo(window->estate->es_query_cxt);

	fill_window(window);
	if (window->unsent)
		drive_requests(window, true);
	MemoryContextSwitchTo(old);
}

bool
oss_window_await(PipelineWindow *window, PipelineCall *call, bool refill)
{
	CallSite   *site = site_of(window, first_row(window), call);

	for (;;)
	{
		switch (call->state)
		{
			case CALL_STORED:
				return true;
			case CALL_ASKED:
				if (oss_pipeline_done(call->answer))
					return true;
				oss_pipeline_wait(call->answer);
				break;
			case CALL_JOINED:
				if (wait_for_flight(window, call))
					break;
				leave_flight(call);
				call->state = CALL_ALONE;
				return false;
			case CALL_UNASKED:
				oss_pipeline_wait_turn(window->member);
				(void) ask(window, site, call, false, true);
				if (call->state == CALL_UNASKED)
					call->state = CALL_ALONE;
				break;
			default:
				return false;
		}
		if (refill)
			fill_meanwhile(window);
	}
}

void
oss_window_clear(PipelineWindow *window)
{
	/* requests are cancelled: hand on what has come since we looked */
	if (window->nrows > 0)
		oss_network_wait(0);
	while (window->nrows > 0)
		drop_first(window, false);
	window->current = false;
	window->exhausted = false;
	window->member->running = false;
}
