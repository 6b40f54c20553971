/*-------------------------------------------------------------------------
 * node.h
 *	  The executor's state of a pipeline node.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_NODE_H
#define OSS_NODE_H


#include "nodes/execnodes.h"
#include "pipeline/window.h"

struct ExplainState;

/*
 * The node's state.  The scan tuple is the row of the plan below.  upper is the node
 * that reads this one's rows ahead, if nothing in between minds an end that is none.
 */
typedef struct PipelineState
{
	CustomScanState css;
	PipelineWindow window;
	struct PipelineState *upper;
} PipelineState;

/* ExplainCustomScan method. */
extern void oss_pipeline_explain(CustomScanState *css, List *ancestors,
								 struct ExplainState *es);

#endif							/* OSS_NODE_H */
