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
#include "client/http.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pipeline/ask.h"
#include "pipeline/window.h"
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
		row->stop = !oss_window_ask(window, &window->sites[i], &row->calls[i], true, false);
		if (row->calls[i].state == CALL_UNASKED)
			all = false;
	}
	return all && !row->stop;
}

/* Read one more row.  Returns false if no row may be read after it. */
static bool
read_row(PipelineWindow *window)
{
	uint64		alone = oss_calls_alone;
	TupleTableSlot *slot;

	window->ahead = window->nrows > 0;
	window->paused = false;
	slot = ExecProcNode(window->outer);
	window->ahead = false;
	window->pays |= oss_calls_alone != alone;
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
			oss_window_leave_flight(call);
			(void) oss_window_ask(window, &window->sites[i], call, false, false);
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
		last->stop |= !oss_window_ask(window, &window->sites[i], &last->calls[i], false, false);
		if (last->calls[i].state == CALL_UNASKED)
			return false;
	}
	return !last->stop;
}

/* Of rows that cost requests, no more are read than of images are asked for. */
static bool
has_room(const PipelineWindow *window)
{
	return window->nrows == 0 ||
		((!window->pays || window->nrows <= window->delivered) &&
		 window->nrows < ROWS_PER_REQUEST * oss_pipeline_member_concurrency(window->member) &&
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
	{
		drop_first(window, true);
		window->delivered++;
	}
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
	CallSite   *site = &window->sites[call - first_row(window)->calls];

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
			case CALL_UNASKED:
				if (call->state == CALL_JOINED && wait_for_flight(window, call))
					break;
				(void) oss_window_ask(window, site, call, false, true);
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
