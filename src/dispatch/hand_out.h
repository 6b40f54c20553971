/*-------------------------------------------------------------------------
 * hand_out.h
 *	  Dispatching: hand out what was claimed, and take back what is not to be
 *	  asked for any more.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HAND_OUT_H
#define OSS_HAND_OUT_H

#include "dispatch/dispatcher.h"

extern void oss_dispatch_hand_out(OssDispatcher *dispatcher);
extern void oss_dispatch_check_ready(OssDispatcher *dispatcher);
extern void oss_dispatch_apply_pauses(OssDispatcher *dispatcher);

#endif							/* OSS_HAND_OUT_H */
