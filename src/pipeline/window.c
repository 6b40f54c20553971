/*-------------------------------------------------------------------------
 * window.c
 *	  The outer rows that a pipeline node has read ahead, and their requests.
 *
 * The window is filled row by row, and only while another request may be
 * started.  Errors in evaluating a row's arguments ahead are deferred: the
 * arguments are evaluated again when the row is the current one, and fail then,
 * as in the ordinary plan.
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
#include "pipeline/window.h"
#include "spi/subtransaction.h"
#include "utils/memutils.h"

/*
 * Limit on rows, as a multiple of concurrency: many rows may share a request.
 */
#define ROWS_PER_REQUEST	32

/* The event loop runs at least this often while rows are returned. */
#define TURN_EVERY_US		500

/* How long the first image waits for somebody else's request at once. */
#define FLIGHT_MS 50

/* Result of evaluating a row's arguments. */
typedef enum Outcome
{
	OUTCOME_SPEC,				/* there is a spec */
	OUTCOME_STORED,				/* the store has the answer for tag() */
	OUTCOME_NOTHING,			/* an argument is NULL, or a condition fails */
	OUTCOME_ERROR				/* evaluation failed */
} Outcome;

/* The evaluated arguments of a row, in per-tuple memory. */
typedef struct Question
{
	OssLabelsSpec spec;
	OssWish		wish;			/* of what is to be kept */
	bool		keep;
	DetectRows *stored;			/* what it found, or NULL */
} Question;

/* Argument of compute_image(). */
typedef struct Computation
{
	PipelineWindow *window;
	Question   *question;
	Outcome		outcome;
} Computation;

void
oss_pipeline_window_init(PipelineWindow *window, EState *estate)
{
	window->member = oss_pipeline_join(estate);
	window->outer_slot = ExecInitExtraTupleSlot(estate,
												ExecGetResultType(window->outer),
												&TTSOpsMinimalTuple);
	window->context = AllocSetContextCreate(estate->es_query_cxt,
											"oss_labels window",
											ALLOCSET_DEFAULT_SIZES);
	window->turn_context = AllocSetContextCreate(window->context,
												 "oss_labels pipeline turn",
												 ALLOCSET_SMALL_SIZES);
	dlist_init(&window->images);
}

static PipelineImage *
first_image(PipelineWindow *window)
{
	return dlist_head_element(PipelineImage, node, &window->images);
}

/* Check the arguments of tag() and look for the answer in the store. */
static bool
find_stored(const Datum *args, const bool *nulls, bool is_try, Question *question)
{
	if (!oss_stored_wish(args, nulls, true, &question->wish) ||
		oss_stored_check_wish(&question->wish, is_try) != NULL)
		return false;
	question->keep = true;
	question->stored = oss_stored_find(&question->wish, is_try);
	return question->stored != NULL;
}

/*
 * Evaluate the arguments of the row in econtext.  Allocates in its per-tuple
 * memory, and may throw.
 */
static Outcome
compute_spec(PipelineWindow *window, Question *question)
{
	ExprContext *econtext = window->econtext;
	bool		is_tag = oss_function_is_tag(window->which);
	bool		is_head = oss_function_is_head(window->which);
	Datum		args[TAG_ARGUMENTS];
	bool		nulls[TAG_ARGUMENTS];
	MemoryContext old;
	Outcome		outcome;

	if (window->before != NULL && !ExecQual(window->before, econtext))
		return OUTCOME_NOTHING;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < oss_function_arguments(window->which); i++)
		args[i] = ExecEvalExpr(window->args[i], econtext, &nulls[i]);
	question->stored = NULL;
	question->keep = !is_tag && !is_head && oss_keep_detected && oss_spool_prepare() &&
		oss_stored_wish(args, nulls, false, &question->wish);
	if (is_tag && find_stored(args, nulls, oss_function_is_try(window->which), question))
		outcome = OUTCOME_STORED;
	else
		outcome = (is_head ? oss_object_spec : oss_detect_spec)
			(args, nulls, &question->spec) ? OUTCOME_SPEC : OUTCOME_NOTHING;

	/* storing an answer before the request starts may run triggers */
	if (outcome == OUTCOME_SPEC && question->spec.server != NULL)
		oss_server_pin_in_context(question->spec.server);
	if (outcome == OUTCOME_SPEC && is_tag && question->keep)
		oss_stored_ask_for_all(&question->wish, &question->spec);
	MemoryContextSwitchTo(old);
	return outcome;
}

static void
compute_image(void *arg)
{
	Computation *computation = arg;

	computation->outcome = compute_spec(computation->window,
										computation->question);
}

/*
 * The same in a subtransaction, so that an error leaves nothing behind.  A
 * cancel is raised, since it is not an error of the row.
 */
static Outcome
compute_spec_guarded(PipelineWindow *window, Question *question)
{
	Computation computation = {window, question, OUTCOME_ERROR};
	ErrorData  *error = oss_subtransaction(compute_image, &computation);

	if (error == NULL)
		return computation.outcome;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	FreeErrorData(error);
	return OUTCOME_ERROR;
}

/* Make a row the one in which expressions are evaluated. */
static void
set_row(PipelineWindow *window, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	ResetExprContext(window->econtext);
	window->econtext->ecxt_scantuple = slot;
}

/* Set an image's labels from what tag() found without a request of its own. */
static void
set_stored(PipelineWindow *window, PipelineImage *image, const Question *question,
		   OssUsageCount how)
{
	MemoryContext old;

	oss_usage_free(how, question->wish.server, GetUserId(), question->wish.image.bucket, 1);
	image->stored = AllocSetContextCreate(window->context, "oss_labels stored labels",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(image->stored);
	image->labels = oss_pipeline_make_labels(question->stored, window->label_desc);
	MemoryContextSwitchTo(old);
	image->state = IMAGE_LABELED;
}

/*
 * Set an image's state from the evaluation; "how" says whose answer is stored.
 * Returns whether it needs a request.
 */
static bool
is_to_be_asked(PipelineWindow *window, PipelineImage *image,
			   const Question *question, Outcome outcome, OssUsageCount how)
{
	image->least = oss_function_is_tag(window->which) && question->keep ?
		question->wish.least : 0;
	if (outcome == OUTCOME_STORED)
		set_stored(window, image, question, how);
	else if (outcome == OUTCOME_NOTHING)
		image->state = IMAGE_NOTHING;
	return outcome == OUTCOME_SPEC;
}

/* Start what a row asks for, on a flight of ours or none. */
static void
start_image(PipelineWindow *window, PipelineImage *image, const Question *question,
			OssFlight *flight)
{
	Assert(image->answer == NULL);
	image->answer = oss_pipeline_start(window->member, window->which,
									   &question->spec,
									   question->keep ? &question->wish : NULL,
									   flight);
	image->state = IMAGE_ASKED;
	window->unsent = true;
}

/*
 * Board the flight of an image of tag().  Returns whether its request is to be
 * started; else somebody else asks, and the image waits for that.
 */
static bool
board_flight(PipelineWindow *window, PipelineImage *image, const Question *question,
			 OssFlight **ours)
{
	MemoryContext context;
	MemoryContext old;
	OssFlight  *flight;

	*ours = NULL;
	if (!oss_function_is_tag(window->which))
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
	image->flight = flight;
	image->stored = context;
	image->state = IMAGE_JOINED;
	return false;
}

/*
 * Would evaluating a row's arguments run the plan of a sublink that has not
 * been needed so far?  It may fail, and resources that it keeps open must not
 * belong to our subtransaction.
 */
static bool
needs_plan(const PipelineWindow *window)
{
	const ParamExecData *values = window->econtext->ecxt_param_exec_vals;
	int			param = -1;

	while ((param = bms_next_member(window->params, param)) >= 0)
	{
		if (values[param].execPlan != NULL)
			return true;
	}
	return false;
}

/*
 * Start an image's request ahead of its turn.  Not if the answer may have been stored
 * since we looked; if it could not be stored, that is an error of its turn.
 */
static void
start_ahead(PipelineWindow *window, PipelineImage *image, const Question *question,
			OssFlight *flight)
{
	if (oss_function_is_tag(window->which) && !oss_stored_may_have_come() &&
		oss_stored_refusal(&question->wish, question->spec.server) != NULL)
		image->state = IMAGE_STOP;
	else if (!oss_function_is_tag(window->which) || !oss_stored_may_have_come())
	{
		start_image(window, image, question, flight);
		return;
	}
	if (flight != NULL)
		MemoryContextDelete(GetMemoryChunkContext(flight));
}

/*
 * Start an image's request ahead of its turn if possible, and set its state.
 */
static void
ask_ahead(PipelineWindow *window, TupleTableSlot *slot, PipelineImage *image)
{
	Question	question;
	Outcome		outcome;
	MemoryContext old;
	OssFlight  *flight;
	bool		refused;

	image->state = IMAGE_STOP;
	if (needs_plan(window) || (!window->safe && IsInParallelMode()))
		return;
	set_row(window, slot);
	outcome = window->safe ? compute_spec(window, &question) :
		compute_spec_guarded(window, &question);
	if (!is_to_be_asked(window, image, &question, outcome, OSS_USAGE_STORED_HITS))
		return;

	old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
	refused = oss_spec_failure(&question.spec) != NULL;
	MemoryContextSwitchTo(old);
	image->state = refused ? IMAGE_REFUSED : IMAGE_UNASKED;
	if (refused)
		return;
	image->answer = oss_pipeline_find(window->member, window->which, &question.spec);
	if (image->answer != NULL)
		image->state = IMAGE_ASKED;
	else if (!oss_pipeline_may_start(window->member))
		return;
	else if (board_flight(window, image, &question, &flight))
		start_ahead(window, image, &question, flight);
}

/* Leave the flight of somebody else. */
static void
leave_flight(PipelineImage *image)
{
	MemoryContextDelete(image->stored);
	image->stored = NULL;
	image->flight = NULL;
}

/* Look for the answer to the first image once more. */
static bool
look_again(PipelineWindow *window, PipelineImage *image, Question *question)
{
	MemoryContext old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);

	question->stored = oss_stored_find(&question->wish, oss_function_is_try(window->which));
	MemoryContextSwitchTo(old);
	if (question->stored != NULL)
		set_stored(window, image, question, OSS_USAGE_SHARED);
	return question->stored != NULL;
}

/*
 * Start the first image's request, waiting for room; or have it wait for somebody
 * else's, if it has not done so for long enough.
 */
static void
start_in_turn(PipelineWindow *window, PipelineImage *image, Question *question,
			  bool alone)
{
	OssFlight  *flight = NULL;

	if (!alone && !board_flight(window, image, question, &flight))
		return;
	if (oss_function_is_tag(window->which))
	{
		if (oss_stored_may_have_come() && look_again(window, image, question))
		{
			if (flight != NULL)
				MemoryContextDelete(GetMemoryChunkContext(flight));
			return;
		}
		oss_stored_check_taken(&question->wish, question->spec.server);
	}
	oss_pipeline_wait_turn(window->member);
	start_image(window, image, question, flight);
}

/*
 * Leave the flight that the first image was on: with the labels, if they are
 * there.  Returns false when they are not.
 */
static bool
land_flight(PipelineWindow *window, PipelineImage *image, Question *question)
{
	MemoryContext old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
	OssFlight  *flight = image->flight;

	question->stored = oss_stored_share(&question->wish, flight,
										oss_function_is_try(window->which));

	/* it may have been stored, and left the spool, since we looked */
	if (question->stored == NULL)
		question->stored = oss_stored_find(&question->wish,
										   oss_function_is_try(window->which));
	MemoryContextSwitchTo(old);
	if (question->stored == NULL &&
		oss_flight_state(flight, NULL) == OSS_FLIGHT_ANSWERED)
		oss_flight_end(flight);
	leave_flight(image);
	if (question->stored != NULL)
		set_stored(window, image, question, OSS_USAGE_SHARED);
	return question->stored != NULL;
}

/* Start the first image's request or set its labels; errors are raised. */
static void
ask_in_turn(PipelineWindow *window, PipelineImage *image)
{
	Question	question;
	Outcome		outcome;
	const OssFailure *failure;
	MemoryContext old;
	bool		alone = false;
	OssUsageCount how = image->flight != NULL ? OSS_USAGE_SHARED : OSS_USAGE_STORED_HITS;

	set_row(window, window->outer_slot);
	outcome = compute_spec(window, &question);
	if (image->flight != NULL && outcome != OUTCOME_SPEC)
		leave_flight(image);
	if (!is_to_be_asked(window, image, &question, outcome, how))
		return;
	if (image->flight != NULL)
	{
		alone = oss_flight_state(image->flight, NULL) == OSS_FLIGHT_ASKED;
		if (land_flight(window, image, &question))
			return;
	}
	old = MemoryContextSwitchTo(window->turn_context);
	failure = oss_spec_failure(&question.spec);
	if (failure != NULL)
		image->labels = oss_pipeline_failure_labels(failure, window->which,
													window->label_desc);
	MemoryContextSwitchTo(old);
	if (failure != NULL)
	{
		image->state = IMAGE_LABELED;
		return;
	}
	image->answer = oss_pipeline_find(window->member, window->which, &question.spec);
	if (image->answer != NULL)
		image->state = IMAGE_ASKED;
	else
		start_in_turn(window, image, &question, alone);
}

static void
append_image(PipelineWindow *window, TupleTableSlot *slot, const PipelineImage *asked)
{
	MemoryContext old = MemoryContextSwitchTo(window->context);
	PipelineImage *image = palloc(sizeof(PipelineImage));

	Assert(window->nimages == 0 ||
		   dlist_tail_element(PipelineImage, node, &window->images)->state > IMAGE_STOP);
	*image = *asked;
	image->outer = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(old);
	window->bytes += image->outer->t_len;
	window->nimages++;
	dlist_push_tail(&window->images, &image->node);
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

/* Read one more outer row.  Returns false if no row may be read after it. */
static bool
read_outer_row(PipelineWindow *window)
{
	TupleTableSlot *slot = ExecProcNode(window->outer);
	PipelineImage image = {.state = IMAGE_STOP};

	if (TupIsNull(slot))
	{
		window->exhausted = true;
		return false;
	}

	/* the first row is the current one: nothing is evaluated ahead */
	if (window->nimages > 0)
		ask_ahead(window, slot, &image);
	if (image.state != IMAGE_NOTHING || window->outer_join)
		append_image(window, slot, &image);
	return image.state != IMAGE_STOP && image.state != IMAGE_UNASKED;
}

/* Load the row of the first image into outer_slot. */
static void
load_first(PipelineWindow *window)
{
	ExecStoreMinimalTuple(first_image(window)->outer, window->outer_slot, false);
	slot_getallattrs(window->outer_slot);
}

/* Ask for an image that is held, but not the first. */
static void
ask_held(PipelineWindow *window, PipelineImage *image)
{
	/* evaluate in outer_slot, then restore it */
	ExecStoreMinimalTuple(image->outer, window->outer_slot, false);
	ask_ahead(window, window->outer_slot, image);
	load_first(window);
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

	if (!oss_function_is_tag(window->which) || window->flight_changes == changes)
		return;
	window->flight_changes = changes;
	dlist_foreach(iter, &window->images)
	{
		PipelineImage *image = dlist_container(PipelineImage, node, iter.cur);

		if (image->state != IMAGE_JOINED || image == first_image(window) ||
			oss_flight_state(image->flight, NULL) != OSS_FLIGHT_GONE)
			continue;
		if (!oss_pipeline_may_start(window->member))
		{
			window->flight_changes--;
			break;
		}
		leave_flight(image);
		ask_held(window, image);
	}
}

/*
 * Start the last image's request if it could not be started before.  Returns
 * whether another row may be read.
 */
static bool
ask_last(PipelineWindow *window)
{
	PipelineImage *last;

	if (window->nimages == 0)
		return true;
	last = dlist_tail_element(PipelineImage, node, &window->images);
	if (last->state == IMAGE_STOP)
		return false;
	if (last->state != IMAGE_UNASKED)
		return true;
	if (window->nimages == 1)
		return false;

	ask_held(window, last);
	return last->state != IMAGE_STOP && last->state != IMAGE_UNASKED;
}

static bool
has_room(const PipelineWindow *window)
{
	return window->nimages == 0 ||
		(window->nimages < ROWS_PER_REQUEST * oss_pipeline_member_concurrency(window->member) &&
		 window->bytes < (Size) work_mem * 1024);
}

static void
fill_window(PipelineWindow *window)
{
	ask_abandoned(window);
	while (oss_pipeline_may_start(window->member) || window->nimages == 0)
	{
		if (!ask_last(window) || window->exhausted || !has_room(window) ||
			!read_outer_row(window))
			break;
		drive_requests(window, false);
	}
}

/*
 * Give somebody else's request some time, while ours go on; returns false when it
 * has ended, or was waited for long enough.
 */
static bool
wait_for_flight(PipelineWindow *window, const PipelineImage *image)
{
	if (oss_flight_state(image->flight, NULL) != OSS_FLIGHT_ASKED ||
		!oss_flight_wait(image->flight, FLIGHT_MS))
		return false;
	drive_requests(window, true);
	return true;
}

/* Return the first image with its labels known. */
const PipelineImage *
oss_pipeline_window_first(PipelineWindow *window)
{
	PipelineImage *image;

	window->member->running = true;
	for (;;)
	{
		fill_window(window);
		if (window->nimages == 0)
		{
			window->member->running = false;
			return NULL;
		}
		image = first_image(window);
		load_first(window);
		if (image->state == IMAGE_JOINED && wait_for_flight(window, image))
			continue;
		if (image->state < IMAGE_NOTHING || image->state == IMAGE_JOINED)
			ask_in_turn(window, image);
		else if (image->state != IMAGE_ASKED)
			break;
		else if (oss_pipeline_done(image->answer))
		{
			MemoryContext old = MemoryContextSwitchTo(window->turn_context);

			image->labels = oss_pipeline_labels(image->answer, window->label_desc,
												image->least);
			MemoryContextSwitchTo(old);
			break;
		}
		else
		{
			oss_pipeline_wait(image->answer);
			window->unsent = false;
		}
	}
	if (window->unsent)
		drive_requests(window, true);
	return image;
}

void
oss_pipeline_window_tend(PipelineWindow *window)
{
	int64		before = window->driven;

	drive_requests(window, false);
	if (window->driven == before)
		return;
	fill_window(window);
	if (window->unsent)
		drive_requests(window, true);
}

static void
drop_first(PipelineWindow *window, bool delivered)
{
	PipelineImage *image = first_image(window);

	ExecClearTuple(window->outer_slot);
	dlist_delete(&image->node);
	window->nimages--;
	window->bytes -= image->outer->t_len;
	if (image->answer != NULL)
		oss_pipeline_release(image->answer, delivered);
	if (image->stored != NULL)
		MemoryContextDelete(image->stored);
	pfree(image->outer);
	pfree(image);
	MemoryContextReset(window->turn_context);
}

void
oss_pipeline_window_advance(PipelineWindow *window)
{
	drop_first(window, true);
}

void
oss_pipeline_window_clear(PipelineWindow *window)
{
	/* requests are cancelled: hand on what has come since we looked */
	if (window->nimages > 0)
		oss_network_wait(0);
	while (window->nimages > 0)
		drop_first(window, false);
	window->exhausted = false;
	window->member->running = false;
}
