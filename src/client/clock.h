/*-------------------------------------------------------------------------
 * clock.h
 *	  The clock offset between this machine and the service of a server.
 *
 * All processes of the cluster share the offsets if the library is preloaded;
 * otherwise each process has its own.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CLOCK_H
#define OSS_CLOCK_H

/* Return the milliseconds to add to the local clock; 0 until set. */
extern int64 oss_clock_offset_ms(Oid serverid);

extern void oss_clock_set_offset_ms(Oid serverid, int64 ms);

/* For the shared memory hooks: bytes needed; attach or initialize. */
extern Size oss_clock_shared_size(void);
extern void oss_clock_shared_start(void);

#endif							/* OSS_CLOCK_H */
