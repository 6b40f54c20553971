/*-------------------------------------------------------------------------
 * handler.h
 *	  The foreign-data wrapper's handler.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HANDLER_H
#define OSS_HANDLER_H

/* in plan.c, for _PG_init(): install the planner hook */
extern void oss_bucket_init(void);

#endif							/* OSS_HANDLER_H */
