/*-------------------------------------------------------------------------
 * begun.h
 *	  What has been begun ahead for the calls of the queries that are running.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BEGUN_H
#define OSS_BEGUN_H


#include "nodes/execnodes.h"

/* For _PG_init(): answer calls, and follow which queries run. */
extern void oss_begun_init(void);

/* Return the outermost query that is running, or NULL. */
extern EState *oss_begun_query(void);

/* Is a query running, so that its calls will be answered? */
extern bool oss_begun_follows(const EState *estate);

#endif							/* OSS_BEGUN_H */
