/*-------------------------------------------------------------------------
 * sync_tally.h
 *	  Outcomes of the jobs of syncs.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SYNC_TALLY_H
#define OSS_SYNC_TALLY_H

#include "queue/job.h"

/*
 * Count jobs that are settled in this transaction, with their followers, unless
 * they were before (job->stored).  Called within oss_statement_begin().
 */
extern void oss_sync_tally(OssJob **jobs, int n);

#endif							/* OSS_SYNC_TALLY_H */
