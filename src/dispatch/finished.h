/*-------------------------------------------------------------------------
 * finished.h
 *	  Dispatching: the verdict of a job and of those that follow it.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FINISHED_H
#define OSS_FINISHED_H

#include "dispatch/dispatcher.h"

extern void oss_dispatch_finish(OssDispatcher *dispatcher, OssJob *job, OssVerdict verdict);
extern void oss_dispatch_finish_later(OssDispatcher *dispatcher, OssJob *job, double ms,
									  bool refund);
extern void oss_dispatch_give_back(OssDispatcher *dispatcher, OssJob *job);
extern int	oss_job_attempts;

#endif							/* OSS_FINISHED_H */
