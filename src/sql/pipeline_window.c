/*-------------------------------------------------------------------------
 * pipeline_window.c
 *	  The outer rows that a pipeline node has read ahead, with their requests.
 *
 * The window is filled one row at a time, and only as far as another request
 * may be started: the outer side is not read further than that.  What goes
 * wrong while a row's arguments are computed ahead is put off: the row is
 * computed again when it is its turn, and fails then, as in the ordinary plan.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "sql/pipeline_window.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

/* Rows held at most, as a multiple of requests: many may share one. */
#define ROWS_PER_REQUEST	32

/* The network gets a turn at least this often while rows are given out. */
#define TURN_EVERY_US		500

/* What became of computing a row's arguments. */
typedef enum Outcome
{
	OUTCOME_SPEC,				/* there is something to ask */
	OUTCOME_NOTHING,			/* NULL, or a condition spares the request */
	OUTCOME_ERROR				/* it failed */
} Outcome;

/* Make a window's own parts ready. */
void
pipeline_window_init(PipelineWindow *window, EState *estate)
{
	window->member = pipeline_join(estate);
	window->outer_slot = ExecInitExtraTupleSlot(estate,
												ExecGetResultType(window->outer),
												&TTSOpsMinimalTuple);
	window->context = AllocSetContextCreate(estate->es_query_cxt,
											"OSS labels window",
											ALLOCSET_DEFAULT_SIZES);
	window->turn_context = AllocSetContextCreate(window->context,
												 "OSS labels turn",
												 ALLOCSET_SMALL_SIZES);
	dlist_init(&window->images);
}

/* Return the first image; there is one. */
static PipelineImage *
first_image(PipelineWindow *window)
{
	return dlist_head_element(PipelineImage, node, &window->images);
}

/*
 * Compute what a row asks for.  Allocates in the per-tuple memory of the
 * window's expression context, and may throw.
 */
static Outcome
compute_spec(PipelineWindow *window, OssLabelsSpec *spec)
{
	ExprContext *econtext = window->econtext;
	Datum		args[DETECT_ARGUMENTS];
	bool		nulls[DETECT_ARGUMENTS];
	MemoryContext old;
	bool		complete;

	if (window->before != NULL && !ExecQual(window->before, econtext))
		return OUTCOME_NOTHING;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < DETECT_ARGUMENTS; i++)
		args[i] = ExecEvalExpr(window->args[i], econtext, &nulls[i]);
	complete = detect_spec(args, nulls, spec);
	MemoryContextSwitchTo(old);
	return complete ? OUTCOME_SPEC : OUTCOME_NOTHING;
}

/*
 * Compute what a row asks for in a subtransaction, so that an error leaves
 * nothing behind.  Being cancelled is no error of the row.
 */
static Outcome
compute_spec_guarded(PipelineWindow *window, OssLabelsSpec *spec)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile Outcome outcome = OUTCOME_ERROR;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		outcome = compute_spec(window, spec);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return outcome;
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

/* Ask for an image ahead of its turn; returns how far that went. */
static ImageState
ask_ahead(PipelineWindow *window, TupleTableSlot *slot, PipelineAnswer **answer)
{
	OssLabelsSpec spec;
	Outcome		outcome;
	MemoryContext old;
	bool		refused;

	if (!window->safe && IsInParallelMode())
		return IMAGE_STOP;
	set_row(window, slot);
	outcome = window->safe ? compute_spec(window, &spec) :
		compute_spec_guarded(window, &spec);
	if (outcome != OUTCOME_SPEC)
		return outcome == OUTCOME_NOTHING ? IMAGE_NOTHING : IMAGE_STOP;

	old = MemoryContextSwitchTo(window->econtext->ecxt_per_tuple_memory);
	refused = oss_spec_failure(&spec) != NULL;
	MemoryContextSwitchTo(old);
	if (refused)
		return IMAGE_REFUSED;
	*answer = pipeline_find(window->member, window->which, &spec);
	if (*answer != NULL)
		return IMAGE_ASKED;
	if (!pipeline_may_start(window->member))
		return IMAGE_UNASKED;
	*answer = pipeline_start(window->member, window->which, &spec);
	window->unsent = true;
	return IMAGE_ASKED;
}

/* Ask for the first image, in its turn: errors are raised. */
static void
ask_in_turn(PipelineWindow *window, PipelineImage *image)
{
	OssLabelsSpec spec;
	const OssFailure *failure;
	MemoryContext old;

	set_row(window, window->outer_slot);
	if (compute_spec(window, &spec) == OUTCOME_NOTHING)
	{
		image->state = IMAGE_NOTHING;
		return;
	}
	old = MemoryContextSwitchTo(window->turn_context);
	failure = oss_spec_failure(&spec);
	if (failure != NULL)
		image->labels = pipeline_failure_labels(failure, window->which,
												window->label_desc);
	MemoryContextSwitchTo(old);
	if (failure != NULL)
	{
		image->state = IMAGE_LABELED;
		return;
	}
	image->answer = pipeline_find(window->member, window->which, &spec);
	if (image->answer == NULL)
	{
		pipeline_wait_turn(window->member);
		image->answer = pipeline_start(window->member, window->which, &spec);
		window->unsent = true;
	}
	image->state = IMAGE_ASKED;
}

/* Append an image to the window. */
static void
append(PipelineWindow *window, TupleTableSlot *slot, ImageState state,
	   PipelineAnswer *answer)
{
	MemoryContext old = MemoryContextSwitchTo(window->context);
	PipelineImage *image = palloc0(sizeof(PipelineImage));

	image->state = state;
	image->answer = answer;
	image->outer = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(old);
	window->bytes += image->outer->t_len;
	window->nimages++;
	dlist_push_tail(&window->images, &image->node);
}

/* Give the network a turn when it has not had one for a while. */
static void
drive(PipelineWindow *window, bool now)
{
	TimestampTz time = GetCurrentTimestamp();

	if (!now && time - window->driven < TURN_EVERY_US)
		return;
	pipeline_poll(window->member);
	window->driven = time;
	window->unsent = false;
}

/* Read one more outer row; returns false when nothing may follow it. */
static bool
read_row(PipelineWindow *window)
{
	TupleTableSlot *slot = ExecProcNode(window->outer);
	PipelineAnswer *answer = NULL;
	ImageState	state;

	if (TupIsNull(slot))
	{
		window->exhausted = true;
		return false;
	}

	/* it is the first one's turn already, so nothing is computed ahead */
	state = window->nimages == 0 ? IMAGE_STOP :
		ask_ahead(window, slot, &answer);
	if (state != IMAGE_NOTHING || window->outer_join)
		append(window, slot, state, answer);
	return state != IMAGE_STOP && state != IMAGE_UNASKED;
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
	last->state = ask_ahead(window, window->outer_slot, &last->answer);
	ExecStoreMinimalTuple(first, window->outer_slot, false);
	slot_getallattrs(window->outer_slot);
	return last->state != IMAGE_STOP && last->state != IMAGE_UNASKED;
}

/* Is there room for another row? */
static bool
has_room(const PipelineWindow *window)
{
	return window->nimages == 0 ||
		(window->nimages < ROWS_PER_REQUEST * pipeline_concurrency(window->member) &&
		 window->bytes < (Size) work_mem * 1024);
}

/* Read outer rows and start their requests, as far as allowed. */
static void
fill(PipelineWindow *window)
{
	while (pipeline_may_start(window->member) || window->nimages == 0)
	{
		if (!ask_last(window) || window->exhausted || !has_room(window) ||
			!read_row(window))
			break;
		drive(window, false);
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
pipeline_window_first(PipelineWindow *window)
{
	PipelineImage *image;

	window->member->running = true;
	for (;;)
	{
		fill(window);
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
		else if (pipeline_done(image->answer))
		{
			image->labels = pipeline_labels(image->answer, window->label_desc);
			break;
		}
		else
		{
			pipeline_wait(image->answer);
			window->unsent = false;
		}
	}
	if (window->unsent)
		drive(window, true);
	return image;
}

/* Keep the window full while the first image's rows are given out. */
void
pipeline_window_tend(PipelineWindow *window)
{
	TimestampTz before = window->driven;

	drive(window, false);
	if (window->driven == before)
		return;
	fill(window);
	if (window->unsent)
		drive(window, true);
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
		pipeline_release(image->answer, delivered);
	pfree(image->outer);
	pfree(image);
	MemoryContextReset(window->turn_context);
}

/* Drop the first image. */
void
pipeline_window_advance(PipelineWindow *window)
{
	drop_first(window, true);
}

/* Drop all images. */
void
pipeline_window_clear(PipelineWindow *window)
{
	while (window->nimages > 0)
		drop_first(window, false);
	window->exhausted = false;
	window->member->running = false;
}
