/*-------------------------------------------------------------------------
 * finished.h
 *	  Dispatching: the verdict of a job and of those that follow it.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FINISHED_H
#define OSS_FINISHED_H

#include "dispatch/dispatcher.h"

/* Set a job's verdict, and its followers', and move it to the finished. */
extern void oss_dispatch_finish(OssDispatcher *dispatcher, OssJob *job, OssVerdict verdict);

/* Put a job back into the queue, due after ms; refund: at no cost. */
extern void oss_dispatch_finish_later(OssDispatcher *dispatcher, OssJob *job, double ms,
									  bool refund);

/* Give a job back that was not begun, due now and at no cost. */
extern void oss_dispatch_give_back(OssDispatcher *dispatcher, OssJob *job);

/* Settings. */
extern int	oss_job_attempts;

#endif							/* OSS_FINISHED_H */
