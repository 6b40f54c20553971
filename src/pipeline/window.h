/*-------------------------------------------------------------------------
 * window.h
 *	  The rows that a pipeline node has read ahead, and the requests of the calls
 *	  that will be made for them.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WINDOW_H
#define OSS_WINDOW_H


#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "pipeline/request_table.h"
#include "pipeline/run_as.h"

typedef enum CallState
{
	CALL_ALONE,					/* it fails or does without us at its turn */
	CALL_NOTHING,				/* no request and no rows */
	CALL_UNASKED,				/* request not started yet */
	CALL_ASKED,					/* answer is set */
	CALL_JOINED,				/* flight is set: somebody else asks */
	CALL_STORED					/* labels is set */
} CallState;

/* What one call will ask for. */
typedef struct PipelineCall
{
	CallState	state;
	Oid			userid;			/* that makes the call */
	Datum		args[TAG_ARGUMENTS];
	bool		nulls[TAG_ARGUMENTS];
	PipelineAnswer *answer;		/* with a reference, or NULL */
	double		least;			/* confidence of the labels that are wanted */
	const PipelineLabels *labels;
	MemoryContext stored;		/* of flight, and of labels that tag() found,
								 * or NULL */
	OssFlight  *flight;			/* of somebody else, or NULL */
} PipelineCall;

/* A row, and its calls as in the window's sites. */
typedef struct PipelineRow
{
	dlist_node	node;
	MinimalTuple tuple;
	bool		stop;			/* it must be the current one before another
								 * row is read */
	PipelineCall calls[FLEXIBLE_ARRAY_MEMBER];
} PipelineRow;

/* Where in the plan calls are made: what is evaluated for each row. */
typedef struct CallSite
{
	OssFunction which;
	bool		allowed;		/* the caller may execute the function */
	bool		safe;			/* evaluation cannot fail */
	ExprState  *conditions;		/* or NULL */
	int			nargs;
	ExprState  *args[TAG_ARGUMENTS];
	int16		lengths[TAG_ARGUMENTS]; /* of the types */
	bool		by_value[TAG_ARGUMENTS];
	Bitmapset  *params;			/* executor parameters in all that */
	TupleDesc	desc;			/* of the rows, NULL if it returns none */

	/* in an SQL function: its arguments, in terms of which args are */
	OssRunAs	as;
	bool		strict;
	List	   *outer_args;		/* ExprStates */
	ParamListInfo outer_values; /* or NULL */
	ExprContext *econtext;
} CallSite;

/*
 * A window: rows in order.  Only the last one may be stopped or have calls UNASKED,
 * since no row is read after it.  The node sets the first block and owns what it
 * points to.
 */
typedef struct PipelineWindow
{
	EState	   *estate;
	PlanState  *outer;
	ExprContext *econtext;		/* for evaluation ahead */
	int			nsites;
	CallSite   *sites;

	PipelineMember *member;
	TupleTableSlot *slot;		/* the first row */
	MemoryContext context;		/* of rows */
	MemoryContext turn_context; /* of labels of the first row */
	dlist_head	rows;
	int			nrows;
	int64		delivered;		/* rows that were returned */
	int64		started_before; /* requests, before the last rescan */
	bool		pays;			/* reading a row has sent a request of its own */
	Size		bytes;			/* of the rows */
	uint64		flight_changes; /* when joined images were last looked at */
	bool		current;		/* the first row was returned */
	bool		exhausted;		/* the outer side has no more rows */
	bool		ahead;			/* a row is being read that nobody waits for */
	bool		paused;			/* and there is none yet */
	bool		unsent;			/* a request was started and the loop not run
								 * since */
	int64		driven;			/* when the loop was last run */
} PipelineWindow;

/* Initialize the second block of a window. */
extern void oss_window_init(PipelineWindow *window);

/*
 * Drop the row that was returned before, if any.  Returns whether there is another,
 * which slot holds then.  Errors: those of the outer plan.
 */
extern bool oss_window_next(PipelineWindow *window);

/* Will the calls of the first row return at once, and without an error? */
extern bool oss_window_is_ready(PipelineWindow *window);

/* Return the current row's call of a function with these arguments, or NULL. */
extern PipelineCall *oss_window_find(PipelineWindow *window, OssFunction which,
									 const NullableDatum *args);

/*
 * Wait for the answer to a call of the current row; with "refill", reading ahead
 * meanwhile.  Returns whether it is there: answer or labels is set.
 */
extern bool oss_window_await(PipelineWindow *window, PipelineCall *call, bool refill);

/* Drop all rows, for a rescan. */
extern void oss_window_clear(PipelineWindow *window);

#endif							/* OSS_WINDOW_H */
