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
#include "client/http.h"
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
	OssWish		wish;			/* of tag() */
	DetectRows *stored;			/* found in the store, or NULL */
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
find_stored(const Datum *args, const bool *nulls, Question *question)
{
	question->stored = NULL;
	if (!oss_stored_wish(args, nulls, &question->wish))
		return false;
	oss_stored_check_wish(&question->wish);
	question->stored = oss_stored_find(&question->wish);
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
	int			n = window->which == OSS_TAG ? TAG_ARGUMENTS : DETECT_ARGUMENTS;
	Datum		args[TAG_ARGUMENTS];
	bool		nulls[TAG_ARGUMENTS];
	MemoryContext old;
	Outcome		outcome;

	if (window->before != NULL && !ExecQual(window->before, econtext))
		return OUTCOME_NOTHING;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < n; i++)
		args[i] = ExecEvalExpr(window->args[i], econtext, &nulls[i]);
	if (window->which == OSS_TAG && find_stored(args, nulls, question))
		outcome = OUTCOME_STORED;
	else
		outcome = oss_detect_spec(args, nulls, &question->spec) ? OUTCOME_SPEC :
			OUTCOME_NOTHING;

	/* storing an answer before the request starts may run triggers */
	if (outcome == OUTCOME_SPEC && question->spec.server != NULL)
		oss_server_pin_in_context(question->spec.server);
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

/* Set an image's labels from what tag() found in the store. */
static void
set_stored(PipelineWindow *window, PipelineImage *image, const Question *question)
{
	MemoryContext old;

	image->stored = AllocSetContextCreate(window->context, "oss_labels stored labels",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(image->stored);
	image->labels = oss_pipeline_make_labels(question->stored, window->label_desc);
	MemoryContextSwitchTo(old);
	image->state = IMAGE_LABELED;
}

/*
 * Set an image's state from the evaluation.  Returns whether it needs a
 * request.
 */
static bool
is_to_be_asked(PipelineWindow *window, PipelineImage *image,
			   const Question *question, Outcome outcome)
{
	if (outcome == OUTCOME_STORED)
		set_stored(window, image, question);
	else if (outcome == OUTCOME_NOTHING)
		image->state = IMAGE_NOTHING;
	return outcome == OUTCOME_SPEC;
}

/* Start an image's request. */
static void
start_image(PipelineWindow *window, PipelineImage *image, const Question *question,
			bool keep)
{
	Assert(image->answer == NULL);
	image->answer = oss_pipeline_start(window->member, window->which,
									   &question->spec,
									   keep ? &question->wish : NULL);
	image->state = IMAGE_ASKED;
	window->unsent = true;
}

/* Try to lock the image of a row of tag(). */
static bool
lock_ahead(PipelineWindow *window, const Question *question)
{
	MemoryContext old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
	bool		locked = oss_stored_lock(&question->wish, false);

	MemoryContextSwitchTo(old);
	return locked;
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
 * Start an image's request ahead of its turn if possible, and set its state.
 */
static void
ask_ahead(PipelineWindow *window, TupleTableSlot *slot, PipelineImage *image)
{
	Question	question;
	Outcome		outcome;
	MemoryContext old;
	bool		refused;

	image->state = IMAGE_STOP;
	if (needs_plan(window) || (!window->safe && IsInParallelMode()))
		return;
	set_row(window, slot);
	outcome = window->safe ? compute_spec(window, &question) :
		compute_spec_guarded(window, &question);
	if (!is_to_be_asked(window, image, &question, outcome))
		return;

	old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
	refused = oss_image_failure(&question.spec.image) != NULL;
	MemoryContextSwitchTo(old);
	image->state = refused ? IMAGE_REFUSED : IMAGE_UNASKED;
	if (refused)
		return;
	image->answer = oss_pipeline_find(window->member, window->which, &question.spec);
	if (image->answer != NULL)
		image->state = IMAGE_ASKED;
	else if (!oss_pipeline_may_start(window->member))
		return;
	else if (window->which == OSS_TAG && !lock_ahead(window, &question))
		image->state = IMAGE_STOP;
	else
		start_image(window, image, &question, window->which == OSS_TAG);
}

/*
 * Start the first image's request, waiting for other sessions that tag it and
 * for the concurrency limit.
 */
static void
start_in_turn(PipelineWindow *window, PipelineImage *image, Question *question)
{
	bool		locked = false;

	if (window->which == OSS_TAG)
	{
		MemoryContext old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);

		locked = oss_stored_lock(&question->wish, true);
		question->stored = oss_stored_find(&question->wish);
		MemoryContextSwitchTo(old);
		if (question->stored != NULL)
		{
			set_stored(window, image, question);
			return;
		}
	}
	oss_pipeline_wait_turn(window->member);
	start_image(window, image, question, locked);
}

/* Start the first image's request or set its labels; errors are raised. */
static void
ask_in_turn(PipelineWindow *window, PipelineImage *image)
{
	Question	question;
	Outcome		outcome;
	const OssFailure *failure;
	MemoryContext old;

	set_row(window, window->outer_slot);
	outcome = compute_spec(window, &question);
	if (!is_to_be_asked(window, image, &question, outcome))
		return;
	old = MemoryContextSwitchTo(window->turn_context);
	failure = oss_image_failure(&question.spec.image);
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
		start_in_turn(window, image, &question);
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

	/* evaluate in outer_slot, then restore it */
	ExecStoreMinimalTuple(last->outer, window->outer_slot, false);
	ask_ahead(window, window->outer_slot, last);
	load_first(window);
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
	while (oss_pipeline_may_start(window->member) || window->nimages == 0)
	{
		if (!ask_last(window) || window->exhausted || !has_room(window) ||
			!read_outer_row(window))
			break;
		drive_requests(window, false);
	}
}

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
		if (image->state < IMAGE_NOTHING)
			ask_in_turn(window, image);
		else if (image->state != IMAGE_ASKED)
			break;
		else if (oss_pipeline_done(image->answer))
		{
			image->labels = oss_pipeline_labels(image->answer, window->label_desc);
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
	while (window->nimages > 0)
		drop_first(window, false);
	window->exhausted = false;
	window->member->running = false;
}
