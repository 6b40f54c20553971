/*-------------------------------------------------------------------------
 * pipeline.h
 *	  Many images in one query: a plan node that reads rows ahead and begins
 *	  the requests of the calls that stand above it.
 *
 * src/README.md, "The life of a request".
 *
 * The node is put into finished plans (insert.c), below whatever evaluates calls
 * once for each row (find_calls.c).  It returns the rows that it reads, unchanged
 * and in order (node.c, window.c).  The calls are the ordinary functions, which ask
 * for what was begun for the current row (begun.c).  Requests are shared within
 * a query (request_table.c).  path.c has what calls cost.
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

/* Return its name in SQL, and the number of its arguments. */
extern const char *oss_function_name(OssFunction which);
extern int	oss_function_arguments(OssFunction which);

/*
 * Is this one of these functions of the extension, with the properties given
 * by its script?  If so, sets *which.  Functions without one
 * of their C symbols cost one lookup in the system cache.
 */
extern bool oss_pipeline_function(Oid funcid, OssFunction *which);

#endif							/* OSS_PIPELINE_H */
