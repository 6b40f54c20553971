/*-------------------------------------------------------------------------
 * window.h
 *	  The outer rows that a pipeline node has read ahead, with their requests.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WINDOW_H
#define OSS_WINDOW_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "pipeline/request_table.h"

/* How far an image has come. */
typedef enum ImageState
{
	IMAGE_UNASKED,				/* its request is to be started */
	IMAGE_STOP,					/* as UNASKED, but only when it is its turn */
	IMAGE_REFUSED,				/* needs no request: its arguments are illegal */
	IMAGE_NOTHING,				/* has no labels, without any request */
	IMAGE_ASKED,				/* answer is set */
	IMAGE_LABELED				/* labels is set */
} ImageState;

/* One outer row: an image to be joined with its labels. */
typedef struct PipelineImage
{
	dlist_node	node;
	ImageState	state;
	MinimalTuple outer;
	PipelineAnswer *answer;		/* held, or NULL */
	const PipelineLabels *labels;
	MemoryContext stored;		/* of labels that tag() found, or NULL */
} PipelineImage;

/*
 * A window: images in outer order.  Only the last one is UNASKED or STOP, for
 * nothing is read behind it.  The fields of the first block are set by the
 * node, which owns what they point to.
 */
typedef struct PipelineWindow
{
	OssFunction which;
	PlanState  *outer;
	ExprContext *econtext;		/* for what is computed ahead */
	ExprState  *args[TAG_ARGUMENTS];
	ExprState  *before;			/* conditions that spare the request, or NULL */
	Bitmapset  *params;			/* executor parameters in these */
	bool		safe;			/* computing these can't fail */
	bool		outer_join;		/* rows without labels matter */
	TupleDesc	label_desc;

	PipelineMember *member;
	TupleTableSlot *outer_slot; /* the first image's row */
	MemoryContext context;		/* images */
	MemoryContext turn_context; /* labels of the first image, at times */
	dlist_head	images;
	int			nimages;
	Size		bytes;			/* of the outer rows held */
	bool		exhausted;		/* the outer side has no more rows */
	bool		unsent;			/* something was started and not sent yet */
	TimestampTz driven;			/* when the network was last given a turn */
} PipelineWindow;

/* Make a window's own parts ready; the first block is set. */
extern void oss_pipeline_window_init(PipelineWindow *window, EState *estate);

/*
 * Return the first image with its labels known, waiting for them, or NULL when
 * there are no more.  outer_slot holds its row.  Errors: those of the outer
 * plan, of the arguments and of oss_detect_rows(), in the image's turn.
 */
extern const PipelineImage *oss_pipeline_window_first(PipelineWindow *window);

/* Keep the window full while the first image's rows are given out. */
extern void oss_pipeline_window_tend(PipelineWindow *window);

/* Drop the first image: its rows were given out, or it had none. */
extern void oss_pipeline_window_advance(PipelineWindow *window);

/* Drop all images; the outer side begins again. */
extern void oss_pipeline_window_clear(PipelineWindow *window);

#endif							/* OSS_WINDOW_H */
