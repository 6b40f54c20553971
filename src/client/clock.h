/*-------------------------------------------------------------------------
 * clock.h
 *	  By how much this machine's clock differs from that of a server's service.
 *
 * Middle floor.  Every process of the cluster knows what one of them has found
 * out when the library is preloaded; otherwise each process finds out by itself.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CLOCK_H
#define OSS_CLOCK_H

#include "postgres.h"

/* Milliseconds to add to our clock; 0 until something else is known. */
extern int64 oss_clock_offset_ms(Oid serverid);

/* Remember how many that are. */
extern void oss_clock_set_offset_ms(Oid serverid, int64 ms);

/* Bytes of shared memory, and its start; from the shared memory hooks. */
extern Size oss_clock_shared_size(void);
extern void oss_clock_shared_start(void);

#endif							/* OSS_CLOCK_H */
