/*-------------------------------------------------------------------------
 * dispatch.h
 *	  Dispatching, without a transaction: requests are started one by
 *	  one as others end, and each answer gets a verdict.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCH_H
#define OSS_DISPATCH_H

#include "dispatch/dispatcher.h"

extern OssDispatcher *oss_dispatch_create(MemoryContext parent, const char *only_server,
										  int64 budget);
extern void oss_dispatch_network(OssDispatcher *dispatcher, long timeout_ms);
extern void oss_dispatch_poll(OssDispatcher *dispatcher);
extern long oss_dispatch_tables_due(OssDispatcher *dispatcher);
extern void oss_dispatch_wake(OssDispatcher *dispatcher);
extern bool oss_dispatch_busy(const OssDispatcher *dispatcher);
extern bool oss_dispatch_awaits(const OssDispatcher *dispatcher);
extern bool oss_dispatch_holds_answers(const OssDispatcher *dispatcher);
extern void oss_dispatch_stop(OssDispatcher *dispatcher);
extern void oss_dispatch_cancel(OssDispatcher *dispatcher);
extern void oss_dispatch_hand_over_all(OssDispatcher *dispatcher);

#endif							/* OSS_DISPATCH_H */
