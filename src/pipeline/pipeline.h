/*-------------------------------------------------------------------------
 * pipeline.h
 *	  Many images in one query: a plan node that keeps requests in flight
 *	  while it returns joined rows in outer order.
 *
 * Top floor.  src/README.md, "The life of a request".
 *
 * The planner's side (path.c) uses the node for a join whose inner side is a
 * call of detect, tag, object_info or their try_ forms.  The executor's side (node.c)
 * joins the rows of its window (window.c), whose requests are shared within a
 * query (request_table.c).
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PIPELINE_H
#define OSS_PIPELINE_H


#include "call/detect.h"

/* Name of the node in EXPLAIN. */
#define OSS_PIPELINE_NAME "OSS Labels Pipeline"

/* The settings oss_labels.pipeline and oss_labels.concurrency. */
extern bool oss_pipeline_enabled;
extern int	oss_pipeline_concurrency;

/* For _PG_init(): install the planner hooks and register the node. */
extern void oss_pipeline_init(void);

/* The functions that the node replaces. */
typedef enum OssFunction
{
	OSS_DETECT,
	OSS_TRY_DETECT,
	OSS_TAG,
	OSS_TRY_TAG,
	OSS_OBJECT_INFO,
	OSS_TRY_OBJECT_INFO
} OssFunction;

/* Does it give what is stored? */
static inline bool
oss_function_is_tag(OssFunction which)
{
	return which == OSS_TAG || which == OSS_TRY_TAG;
}

/* Is a failure a row of it? */
static inline bool
oss_function_is_try(OssFunction which)
{
	return which == OSS_TRY_DETECT || which == OSS_TRY_TAG ||
		which == OSS_TRY_OBJECT_INFO;
}

/* Does it send a HEAD? */
static inline bool
oss_function_is_head(OssFunction which)
{
	return which == OSS_OBJECT_INFO || which == OSS_TRY_OBJECT_INFO;
}

/* Return the number of its arguments. */
extern int	oss_function_arguments(OssFunction which);

/*
 * Is this one of these functions of the extension, with the properties given
 * by its script?  If so, sets *which.  Functions without one
 * of their C symbols cost one lookup in the system cache.
 */
extern bool oss_pipeline_function(Oid funcid, OssFunction *which);

#endif							/* OSS_PIPELINE_H */
