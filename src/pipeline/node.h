/*-------------------------------------------------------------------------
 * node.h
 *	  The executor's state of a pipeline node.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_NODE_H
#define OSS_NODE_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "pipeline/window.h"

struct ExplainState;

/*
 * The node.  The joined row is the custom scan's own scan tuple: the columns of
 * the outer plan, then label columns, whose attribute numbers in the
 * function's result are in label_attnos (0 for the whole row).
 *
 * image is the one whose rows are being given out, or NULL; next_label and
 * matched belong to it.
 */
typedef struct PipelineState
{
	CustomScanState css;
	JoinType	jointype;
	int			outer_columns;
	int			label_columns;
	AttrNumber *label_attnos;
	Index		call_relid;		/* the function's range table index */
	TupleDesc	whole_desc;		/* of the whole row, or NULL */
	TupleTableSlot *label_slot;
	List	   *match_clauses;
	ExprState  *match;			/* NULL when everything matches */
	ExprContext *match_context;
	PipelineWindow window;

	const PipelineImage *image;
	int			next_label;
	bool		matched;
} PipelineState;

/* Print a node's properties and counters: ExplainCustomScan. */
extern void oss_pipeline_explain(CustomScanState *css, List *ancestors,
								 struct ExplainState *es);

#endif							/* OSS_NODE_H */
