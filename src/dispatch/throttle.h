/*-------------------------------------------------------------------------
 * throttle.h
 *	  Dispatching: what becomes of a job that the service throttles.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_THROTTLE_H
#define OSS_THROTTLE_H

#include "dispatch/dispatcher.h"

/*
 * Handle a throttle: the job is asked for again later.  If it is throttled
 * each time while others are answered, or nothing is, it loses attempts in the
 * end.
 */
extern void oss_dispatch_take_throttle(OssDispatcher *dispatcher, OssJob *job,
									   const OssFailure *failure);

/*
 * Decide whether a bucket throttles objects, after each answer.  If it does,
 * forget the rate that its throttles had suggested.
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
