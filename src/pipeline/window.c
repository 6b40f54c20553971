/*-------------------------------------------------------------------------
 * window.c
 *	  The outer rows that a pipeline node has read ahead, with their requests.
 *
 * The window is filled one row at a time, and only as far as another request
 * may be started: the outer side is not read further than that.  What goes
 * wrong while a row's arguments are computed ahead is put off: the row is
 * computed again when it is its turn, and fails then, as in the ordinary plan.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pipeline/window.h"
#include "spi/subtransaction.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Rows held at most, as a multiple of requests: many may share one. */
#define ROWS_PER_REQUEST	32

/* The network gets a turn at least this often while rows are given out. */
#define TURN_EVERY_US		500

/* What became of computing a row's arguments. */
typedef enum Outcome
{
	OUTCOME_SPEC,				/* there is something to ask */
	OUTCOME_STORED,				/* the store has what tag() needs */
	OUTCOME_NOTHING,			/* NULL, or a condition spares the request */
	OUTCOME_ERROR				/* it failed */
} Outcome;

/* What a row asks for, in per-tuple memory. */
typedef struct Question
{
	OssLabelsSpec spec;
	OssWish		wish;			/* of tag() */
	DetectRows *stored;			/* what it found, or NULL */
} Question;

/* Computing it in a subtransaction. */
typedef struct Computation
{
	PipelineWindow *window;
	Question   *question;
	Outcome		outcome;
} Computation;

/* Make a window's own parts ready. */
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

/* Return the first image; there is one. */
static PipelineImage *
first_image(PipelineWindow *window)
{
	return dlist_head_element(PipelineImage, node, &window->images);
}

/* Look for what tag() needs in the store, which also checks its arguments. */
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
 * Compute what a row asks for.  Allocates in the per-tuple memory of the
 * window's expression context, and may throw.
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

	/* an answer may be stored before the request is made, and run triggers */
	if (outcome == OUTCOME_SPEC && question->spec.server != NULL)
		oss_server_pin_in_context(question->spec.server);
	MemoryContextSwitchTo(old);
	return outcome;
}

/* Compute what a row asks for. */
static void
compute_image(void *arg)
{
	Computation *computation = arg;

	computation->outcome = compute_spec(computation->window,
										computation->question);
}

/*
 * Compute what a row asks for in a subtransaction, so that an error leaves
 * nothing behind.  Being cancelled is no error of the row.
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

/* Make a row the one that expressions see. */
static void
set_row(PipelineWindow *window, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	ResetExprContext(window->econtext);
	window->econtext->ecxt_scantuple = slot;
}

/* Give an image what tag() found in the store. */
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

/* Take what became of a row's arguments; returns whether there is a request. */
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

/* Start what a row asks for. */
static void
start_image(PipelineWindow *window, PipelineImage *image, const Question *question,
			bool keep)
{
	image->answer = oss_pipeline_start(window->member, window->which,
									   &question->spec,
									   keep ? &question->wish : NULL);
	image->state = IMAGE_ASKED;
	window->unsent = true;
}

/* Lock the image that a row of tag() names, without waiting. */
static bool
lock_ahead(PipelineWindow *window, const Question *question)
{
	MemoryContext old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
	bool		locked = oss_stored_lock(&question->wish, false);

	MemoryContextSwitchTo(old);
	return locked;
}

/*
 * Would computing a row's arguments run a plan, that of a sublink which no row
 * needed yet?  It may fail, and what it leaves open must not belong to a
 * subtransaction of ours.
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

/* Ask for an image ahead of its turn; sets how far that went. */
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
 * Start the first image's request, waiting for room and for who else tags it.
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

/* Ask for the first image, in its turn: errors are raised. */
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

/* Append an image to the window. */
static void
append_image(PipelineWindow *window, TupleTableSlot *slot, const PipelineImage *asked)
{
	MemoryContext old = MemoryContextSwitchTo(window->context);
	PipelineImage *image = palloc(sizeof(PipelineImage));

	*image = *asked;
	image->outer = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(old);
	window->bytes += image->outer->t_len;
	window->nimages++;
	dlist_push_tail(&window->images, &image->node);
}

/* Give the network a turn when it has not had one for a while. */
static void
drive_requests(PipelineWindow *window, bool now)
{
	TimestampTz time = GetCurrentTimestamp();

	if (!now && time - window->driven < TURN_EVERY_US)
		return;
	oss_pipeline_poll(window->member);
	window->driven = time;
	window->unsent = false;
}

/* Read one more outer row; returns false when nothing may follow it. */
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

	/* it is the first one's turn already, so nothing is computed ahead */
	if (window->nimages > 0)
		ask_ahead(window, slot, &image);
	if (image.state != IMAGE_NOTHING || window->outer_join)
		append_image(window, slot, &image);
	return image.state != IMAGE_STOP && image.state != IMAGE_UNASKED;
}

/* Ask for the last image if it could not be asked for before. */
static bool
ask_last(PipelineWindow *window)
{
	PipelineImage *last;
	MinimalTuple first;

	if (window->nimages == 0)
		return true;
	last = dlist_tail_element(PipelineImage, node, &window->images);
	if (last->state == IMAGE_STOP)
		return false;
	if (last->state != IMAGE_UNASKED)
		return true;
	if (window->nimages == 1)
		return false;

	/* borrow the slot of the first one */
	first = first_image(window)->outer;
	ExecStoreMinimalTuple(last->outer, window->outer_slot, false);
	ask_ahead(window, window->outer_slot, last);
	ExecStoreMinimalTuple(first, window->outer_slot, false);
	slot_getallattrs(window->outer_slot);
	return last->state != IMAGE_STOP && last->state != IMAGE_UNASKED;
}

/* Is there room for another row? */
static bool
has_room(const PipelineWindow *window)
{
	return window->nimages == 0 ||
		(window->nimages < ROWS_PER_REQUEST * oss_pipeline_member_concurrency(window->member) &&
		 window->bytes < (Size) work_mem * 1024);
}

/* Read outer rows and start their requests, as far as allowed. */
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

/* Make the first image's row the current one. */
static void
load_first(PipelineWindow *window)
{
	ExecStoreMinimalTuple(first_image(window)->outer, window->outer_slot, false);
	slot_getallattrs(window->outer_slot);
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

/* Keep the window full while the first image's rows are given out. */
void
oss_pipeline_window_tend(PipelineWindow *window)
{
	TimestampTz before = window->driven;

	drive_requests(window, false);
	if (window->driven == before)
		return;
	fill_window(window);
	if (window->unsent)
		drive_requests(window, true);
}

/* Free the first image. */
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

/* Drop the first image. */
void
oss_pipeline_window_advance(PipelineWindow *window)
{
	drop_first(window, true);
}

/* Drop all images. */
void
oss_pipeline_window_clear(PipelineWindow *window)
{
	while (window->nimages > 0)
		drop_first(window, false);
	window->exhausted = false;
	window->member->running = false;
}
