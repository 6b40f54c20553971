/*-------------------------------------------------------------------------
 * node.h
 *	  The executor's state of a pipeline node.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_NODE_H
#define OSS_NODE_H


#include "nodes/execnodes.h"
#include "pipeline/window.h"

struct ExplainState;

/*
 * The node's state.  The joined row is the custom scan's own scan tuple: the
 * columns of the outer plan, then label columns, whose attribute numbers in
 * the function's result are in label_attnos (0 for the whole row).
 *
 * image is the one whose rows are being returned, or NULL; next_label and
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
	TupleDesc	whole_desc;		/* or NULL if the whole row is not used */
	TupleTableSlot *label_slot;
	List	   *match_clauses;
	ExprState  *match;			/* NULL if all rows match */
	ExprContext *match_context;
	PipelineWindow window;

	const PipelineImage *image;
	int			next_label;
	bool		matched;
} PipelineState;

/* ExplainCustomScan method. */
extern void oss_pipeline_explain(CustomScanState *css, List *ancestors,
								 struct ExplainState *es);

#endif							/* OSS_NODE_H */
