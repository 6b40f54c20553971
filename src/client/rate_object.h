/*-------------------------------------------------------------------------
 * rate_object.h
 *	  Objects of a bucket that are throttled at any rate of requests.
 *
 * Middle floor; for rate_limit.c alone, which has locked the bucket's slot.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RATE_OBJECT_H
#define OSS_RATE_OBJECT_H

#include "client/rate_table.h"

/* Name an object of a bucket by its key. */
extern uint32 oss_rate_object_hash(const char *key);

/*
 * Note that an object was throttled.  Returns whether it alone is to blame: it
 * was throttled several times in a row, which is chance only where nearly all
 * is throttled.
 */
extern bool oss_rate_object_throttled(RateSlot *slot, uint32 object);

/* Note that an object was answered. */
extern void oss_rate_object_answered(RateSlot *slot, uint32 object);

/* Were nearly all throttles that made the rate what it is those of such objects? */
extern bool oss_rate_object_all_blamed(const RateSlot *slot);

#endif							/* OSS_RATE_OBJECT_H */
