/*-------------------------------------------------------------------------
 * hand_out.h
 *	  Dispatching: making claimed jobs ready, and removing ready jobs that are
 *	  deleted or paused.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HAND_OUT_H
#define OSS_HAND_OUT_H

#include "dispatch/dispatcher.h"

/* Make the claimed jobs ready, or followers, after the commit. */
extern void oss_dispatch_hand_out(OssDispatcher *dispatcher);

/* Drop ready jobs whose rows were deleted. */
extern void oss_dispatch_check_ready(OssDispatcher *dispatcher);

/* Give back ready jobs that are paused. */
extern void oss_dispatch_apply_pauses(OssDispatcher *dispatcher);

#endif							/* OSS_HAND_OUT_H */
