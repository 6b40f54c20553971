/*-------------------------------------------------------------------------
 * changed_rows.h
 *	  Enqueuing and cancelling jobs for the rows of a statement.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CHANGED_ROWS_H
#define OSS_CHANGED_ROWS_H

#include "postgres.h"

#include "watch/trigger_columns.h"

/*
 * Process a trigger's call; allocates in CurrentMemoryContext.  Rows that
 * cannot be queued go to failed_job, or are reported in one WARNING.
 */
extern void oss_watch_serve(OssWatch *watch, TriggerData *call);

#endif							/* OSS_CHANGED_ROWS_H */
