/*-------------------------------------------------------------------------
 * finished.h
 *	  Dispatching: the verdict of a job and of those that follow it.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FINISHED_H
#define OSS_FINISHED_H

#include "client/usage.h"
#include "dispatch/dispatcher.h"

/*
 * Set the verdict of a job and of its followers.  Followers of an answered job
 * stay with it until it is settled.
 */
extern void oss_dispatch_finish(OssDispatcher *dispatcher, OssJob *job, OssVerdict verdict);

/* Return how many attempts a job has. */
extern int	oss_dispatch_attempts(const OssJob *job);

/* Count a job that needed no request of its own. */
extern void oss_dispatch_count_free(const OssJob *job, OssUsageCount which);

/* Set the ETag and time of the object that a job's answer is of, to be stored. */
extern void oss_dispatch_identify(OssJob *job);

/*
 * Put a job back into the queue, due after ms.  With refund its attempt does
 * not count.
 */
extern void oss_dispatch_finish_later(OssDispatcher *dispatcher, OssJob *job, double ms,
									  bool refund);

/*
 * Give back a job that was not started, due now; its attempt does not count.
 */
extern void oss_dispatch_give_back(OssDispatcher *dispatcher, OssJob *job);

extern int	oss_job_attempts;

#endif							/* OSS_FINISHED_H */
