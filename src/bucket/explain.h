/*-------------------------------------------------------------------------
 * explain.h
 *	  EXPLAIN of a foreign table.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BUCKET_EXPLAIN_H
#define OSS_BUCKET_EXPLAIN_H

#include "nodes/execnodes.h"

struct ExplainState;

/* ExplainForeignScan. */
extern void oss_bucket_explain(ForeignScanState *node, struct ExplainState *es);

#endif							/* OSS_BUCKET_EXPLAIN_H */
