/*-------------------------------------------------------------------------
 * spooled.h
 *	  Dispatching: answers of sessions, from the spool.  They are stored like the
 *	  answers of jobs, but have no row in oss_labels.job.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SPOOLED_H
#define OSS_SPOOLED_H

#include "dispatch/dispatcher.h"

/*
 * Take answers from the spool as finished jobs.  first: also search for files of
 * processes that have ended.  Returns whether there may be more.
 */
extern bool oss_dispatch_take_spooled(OssDispatcher *dispatcher, bool first);

/* Free an answer that cannot be stored now; it stays in its file. */
extern void oss_dispatch_drop_spooled(OssDispatcher *dispatcher, OssJob *job);

/* Insert the answers that can never be stored into failed_job. */
extern void oss_dispatch_fail_spooled(OssJob **jobs, int n);

#endif							/* OSS_SPOOLED_H */
