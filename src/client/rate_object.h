/*-------------------------------------------------------------------------
 * rate_object.h
 *	  Objects of a bucket that are throttled whatever the rate.
 *
 * For rate_limit.c alone, which holds the lock of the slot.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RATE_OBJECT_H
#define OSS_RATE_OBJECT_H

#include "client/rate_table.h"

/* Return the hash of an object's key. */
extern uint32 oss_rate_object_hash(const char *key);

/*
 * Count a throttle of an object.  Returns whether the object is to blame and
 * not the rate: it was throttled several times in a row, which is by chance
 * only if nearly all requests are throttled.
 */
extern bool oss_rate_object_throttled(RateSlot *slot, uint32 object);

/* Reset an object's throttles after an answer. */
extern void oss_rate_object_answered(RateSlot *slot, uint32 object);

/* Are such objects to blame for nearly all throttles that set the rate? */
extern bool oss_rate_object_all_blamed(const RateSlot *slot);

#endif							/* OSS_RATE_OBJECT_H */
