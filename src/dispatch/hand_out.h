/*-------------------------------------------------------------------------
 * hand_out.h
 *	  Dispatching: hand out what was claimed, and take back what is not to be
 *	  asked for any more.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HAND_OUT_H
#define OSS_HAND_OUT_H

#include "dispatch/dispatcher.h"

/* Hand out the claimed jobs, after the commit. */
extern void oss_dispatch_hand_out(OssDispatcher *dispatcher);

/* Drop ready jobs whose rows were deleted. */
extern void oss_dispatch_check_ready(OssDispatcher *dispatcher);

/* Give back ready jobs that are paused. */
extern void oss_dispatch_apply_pauses(OssDispatcher *dispatcher);

#endif							/* OSS_HAND_OUT_H */
