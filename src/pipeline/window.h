/*-------------------------------------------------------------------------
 * window.h
 *	  The outer rows that a pipeline node has read ahead, and their requests.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WINDOW_H
#define OSS_WINDOW_H


#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "pipeline/request_table.h"

typedef enum ImageState
{
	IMAGE_UNASKED,				/* request not started yet */
	IMAGE_STOP,					/* as UNASKED, but must be the current row
								 * first */
	IMAGE_REFUSED,				/* no request: its arguments are illegal */
	IMAGE_NOTHING,				/* no request: it has no labels */
	IMAGE_ASKED,				/* answer is set */
	IMAGE_JOINED,				/* flight is set: somebody else asks */
	IMAGE_LABELED				/* labels is set */
} ImageState;

/* An outer row: an image to be joined with its labels. */
typedef struct PipelineImage
{
	dlist_node	node;
	ImageState	state;
	MinimalTuple outer;
	PipelineAnswer *answer;		/* with a reference, or NULL */
	double		least;			/* confidence of the labels that are wanted */
	const PipelineLabels *labels;
	MemoryContext stored;		/* of flight, and of labels that tag() found,
								 * or NULL */
	OssFlight  *flight;			/* of somebody else, or NULL */
} PipelineImage;

/*
 * A window: images in outer order.  Only the last one may be UNASKED or STOP,
 * since no row is read after it.  The node sets the first block and owns what
 * it points to.
 */
typedef struct PipelineWindow
{
	OssFunction which;
	PlanState  *outer;
	ExprContext *econtext;		/* for evaluation ahead */
	ExprState  *args[TAG_ARGUMENTS];
	ExprState  *before;			/* conditions that must hold for a request, or
								 * NULL */
	Bitmapset  *params;			/* executor parameters in args and before */
	bool		safe;			/* evaluating these cannot fail */
	bool		outer_join;		/* rows without labels are returned too */
	TupleDesc	label_desc;

	PipelineMember *member;
	TupleTableSlot *outer_slot; /* row of the first image */
	MemoryContext context;		/* of images */
	MemoryContext turn_context; /* of labels of the first image */
	dlist_head	images;
	int			nimages;
	Size		bytes;			/* of the outer rows */
	uint64		flight_changes; /* when joined images were last looked at */
	bool		exhausted;		/* the outer side has no more rows */
	bool		unsent;			/* a request was started and the loop not run
								 * since */
	int64		driven;			/* when the loop was last run */
} PipelineWindow;

/* Initialize the second block of a window. */
extern void oss_pipeline_window_init(PipelineWindow *window, EState *estate);

/*
 * Return the first image when its labels are known, waiting for them; NULL if
 * there are no more.  outer_slot holds its row.  Errors: those of the outer
 * plan, of the image's arguments and of oss_detect_rows().
 */
extern const PipelineImage *oss_pipeline_window_first(PipelineWindow *window);

/* Keep the window full while the rows of the first image are returned. */
extern void oss_pipeline_window_tend(PipelineWindow *window);

/* Drop the first image, all of whose rows were returned. */
extern void oss_pipeline_window_advance(PipelineWindow *window);

/* Drop all images, for a rescan. */
extern void oss_pipeline_window_clear(PipelineWindow *window);

#endif							/* OSS_WINDOW_H */
