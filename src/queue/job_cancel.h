/*-------------------------------------------------------------------------
 * job_cancel.h
 *	  Take jobs out of the queue whose rows are gone from a watched table.
 *
 * Top floor.  Best effort: never waits for a lock on a job, and never raises an
 * error for what other transactions have done to it, whatever the isolation
 * level.  A job that stays costs one request.
 */
#ifndef OSS_JOB_CANCEL_H
#define OSS_JOB_CANCEL_H

#include "postgres.h"

typedef struct OssJobCancel OssJobCancel;

/*
 * Begin to cancel jobs that came from a table, or from one that inherits from
 * it or that it inherits from.  Returns NULL if the queue cannot be written to.
 */
extern OssJobCancel *oss_job_cancel_begin(Oid source);

/* Delete one job for an object; text that is not compressed or out of line. */
extern void oss_job_cancel(OssJobCancel *cancel, Datum bucket, Datum key);

/* Delete all jobs that came from the table itself. */
extern void oss_job_cancel_all(OssJobCancel *cancel);

/* Frees cancel. */
extern void oss_job_cancel_end(OssJobCancel *cancel);

#endif							/* OSS_JOB_CANCEL_H */
