/*-------------------------------------------------------------------------
 * changed_rows.h
 *	  Enqueuing and cancelling jobs for the rows of a statement.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CHANGED_ROWS_H
#define OSS_CHANGED_ROWS_H

#include "watch/trigger_columns.h"

/*
 * Process a trigger's call; allocates in CurrentMemoryContext.  Rows that
 * cannot be queued go to failed_job, or are reported in one WARNING.
 */
extern void oss_watch_serve(OssWatch *watch, TriggerData *call);

/*
 * Cancel jobs of the rows that the call's relation has, as if they were deleted
 * one by one; of the first million of them, and only if the watch has jobs.
 */
extern void oss_watch_cancel_relation(OssWatch *watch, TriggerData *call);

extern Datum oss_watch_text(Datum value, Oid type);

#endif							/* OSS_CHANGED_ROWS_H */
