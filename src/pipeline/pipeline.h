/*-------------------------------------------------------------------------
 * pipeline.h
 *	  Many images in one query: the plan node that keeps label requests in
 *	  flight while it returns joined rows in outer order.
 *
 * Top floor.  src/README.md, "The life of a request".
 *
 * The planner's side (path.c) offers the node for a join whose inner
 * side is one call of detect, try_detect or tag.  The executor's side
 * (node.c) joins the rows of its window (window.c), whose
 * requests are shared within a query (request_table.c).
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PIPELINE_H
#define OSS_PIPELINE_H

#include "postgres.h"

#include "call/detect.h"

/* The name of the node in EXPLAIN. */
#define OSS_PIPELINE_NAME "OSS Labels Pipeline"

/* Settings oss_labels.pipeline and oss_labels.concurrency. */
extern bool oss_pipeline_enabled;
extern int	oss_pipeline_concurrency;

/*
 * Chain the planner hooks and register the node.  Called once, by _PG_init.
 */
extern void oss_pipeline_init(void);

/* The functions it stands in for. */
typedef enum OssFunction
{
	OSS_DETECT,
	OSS_TRY_DETECT,
	OSS_TAG
} OssFunction;

/*
 * Is a function the extension's own detect, try_detect or tag, still defined as
 * the extension's script did?  Sets *which when it is.  Only a function with one
 * of their C symbols costs more than a look into the system cache.
 */
extern bool oss_pipeline_function(Oid funcid, OssFunction *which);

#endif							/* OSS_PIPELINE_H */
