/*-------------------------------------------------------------------------
 * throttle.h
 *	  Dispatching: what becomes of a job that the service throttles.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_THROTTLE_H
#define OSS_THROTTLE_H

#include "dispatch/dispatcher.h"

extern void oss_dispatch_take_throttle(OssDispatcher *dispatcher, OssJob *job,
									   const OssFailure *failure);
extern void oss_dispatch_classify_throttles(OssJob *job);
extern long oss_dispatch_end_rests(OssDispatcher *dispatcher);
extern void oss_dispatch_end_rest(OssDispatcher *dispatcher, OssJob *job);

#endif							/* OSS_THROTTLE_H */
