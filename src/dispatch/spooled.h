/*-------------------------------------------------------------------------
 * spooled.h
 *	  Dispatching: answers that sessions have handed on, which are stored as
 *	  those of jobs are, but have no row in oss_labels.job.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SPOOLED_H
#define OSS_SPOOLED_H

#include "dispatch/dispatcher.h"

/*
 * Take answers from the spool as finished jobs.  first: also those of processes
 * that are gone.  Returns whether there may be more.
 */
extern bool oss_dispatch_take_spooled(OssDispatcher *dispatcher, bool first);

/* Drop one that cannot be stored here: it stays in its file. */
extern void oss_dispatch_drop_spooled(OssDispatcher *dispatcher, OssJob *job);

/* Note in failed_job those that cannot be stored at all. */
extern void oss_dispatch_fail_spooled(OssJob **jobs, int n);

#endif							/* OSS_SPOOLED_H */
