/*-------------------------------------------------------------------------
 * throttle.h
 *	  Dispatching: handling of throttled jobs.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_THROTTLE_H
#define OSS_THROTTLE_H

#include "dispatch/dispatcher.h"

/*
 * Handle a throttle: the job is requested again later.  After many throttles in
 * a row, too many to be due to the bucket's rate, each costs an attempt.
 */
extern void oss_dispatch_take_throttle(OssDispatcher *dispatcher, OssJob *job,
									   const OssFailure *failure);

/*
 * After each answer, decide whether the bucket of a job throttles single objects.
 * If so, reset the rate found by its throttles.
 */
extern void oss_dispatch_classify_throttles(OssJob *job);

/*
 * Make jobs ready whose rest is over; returns the ms until the next one is,
 * -1: none.
 */
extern long oss_dispatch_end_rests(OssDispatcher *dispatcher);

/* Remove a job from the resting ones. */
extern void oss_dispatch_end_rest(OssDispatcher *dispatcher, OssJob *job);

#endif							/* OSS_THROTTLE_H */
