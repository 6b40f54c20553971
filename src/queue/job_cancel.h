/*-------------------------------------------------------------------------
 * job_cancel.h
 *	  Removing jobs whose rows were deleted from a watched table.
 *
 * Best effort: never waits for a lock on a job, and never raises an error
 * because of other transactions, whatever the isolation level.  A job that
 * remains costs one request.
 */
#ifndef OSS_JOB_CANCEL_H
#define OSS_JOB_CANCEL_H

#include "queue/job_insert.h"

typedef struct OssJobCancel OssJobCancel;

/*
 * Start to cancel jobs whose source is this table, its ancestor or its
 * descendant.  Returns NULL if the queue cannot be written to.
 */
extern OssJobCancel *oss_job_cancel_begin(Oid source);

/* Delete one job for an object, with the same ETag if both have one. */
extern void oss_job_cancel(OssJobCancel *cancel, const OssJobObject *object);

/* Delete all jobs whose source is the table itself. */
extern void oss_job_cancel_all(OssJobCancel *cancel);

/* Is there a job whose source is the table itself? */
extern bool oss_job_cancel_any(OssJobCancel *cancel);

extern void oss_job_cancel_end(OssJobCancel *cancel);

#endif							/* OSS_JOB_CANCEL_H */
