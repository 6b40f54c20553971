/*-------------------------------------------------------------------------
 * changed_rows.h
 *	  Enqueue and cancel the images that the rows of a statement name.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CHANGED_ROWS_H
#define OSS_CHANGED_ROWS_H

#include "postgres.h"

#include "watch/trigger_columns.h"

/*
 * Serve a trigger that was called; allocates in CurrentMemoryContext.  What
 * cannot be queued goes to failed_job, or into one warning.
 */
extern void oss_watch_serve(OssWatch *watch, TriggerData *call);

#endif							/* OSS_CHANGED_ROWS_H */
