/*-------------------------------------------------------------------------
 * rate_table.h
 *	  The table in which processes share what they know of the rates of
 *	  servers and of their buckets.
 *
 * Middle floor; for rate_limit.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RATE_TABLE_H
#define OSS_RATE_TABLE_H

#include "postgres.h"

#include "protocol/uri.h"

/* Slots of the table, which every database of the cluster shares. */
#define RATE_SLOTS	4096

/* Answers are counted by tenths of a second, for ten seconds. */
#define RATE_TENTHS 100

/* Objects of a bucket that are remembered for having been throttled. */
#define RATE_OBJECTS 64

/*
 * What is known of a server (bucket "") or of one of its buckets.  A server's
 * slot has the limit of its options, a bucket's the rate that throttles taught.  Times
 * are oss_clock_us()'s, the same in all processes.
 */
typedef struct RateSlot
{
	Oid			dbid;			/* InvalidOid: free, or the set's spare */
	Oid			serverid;
	char		bucket[OSS_BUCKET_MAX + 1];
	int64		used_at;
	int64		busy_until;		/* must not be forgotten before */

	double		limit;			/* -1: nothing was asked yet, 0: none */
	int64		read_at;		/* of the options that were seen last */
	int64		next_at;		/* when the next request is due, evenly */

	double		rate;			/* found by throttles, 0: none */
	double		last_rate;		/* before the last decrease */
	double		tokens;
	int64		tokens_at;
	int64		decreased_at;
	bool		guessed;		/* the first decrease: too few answers had
								 * come to know the rate */
	int64		throttled_at;
	int64		held_until;
	int64		throttled;

	uint32		objects[RATE_OBJECTS];	/* see rate_object.c */
	int			taught;			/* throttles that made the rate what it is */
	int			blamed;			/* of those, on their objects */

	int64		tenth;			/* number of the current one */
	uint16		answered[RATE_TENTHS];
} RateSlot;

/*
 * Lock and return the slot of a server (bucket "") or bucket of this database.
 * Without one it gets a free one, or the least recently used one that is not
 * busy.  When all are busy the spare one is returned, which is shared.  With create false NULL is returned instead, and
 * nothing is locked.  Never throws.
 */
extern RateSlot *oss_rate_slot_lock(Oid serverid, const char *bucket, bool create,
									int64 now);

/* Is it the spare slot of a set? */
extern bool oss_rate_slot_is_spare(const RateSlot *slot);

/*
 * Lock and return the slot of a number below RATE_SLOTS, used or not.  Returns
 * NULL when nothing was asked for yet.
 */
extern RateSlot *oss_rate_slot_lock_nth(int n);

/* Unlock a slot. */
extern void oss_rate_slot_unlock(RateSlot *slot);

/* Do all processes have the same table? */
extern bool oss_rate_table_is_shared(void);

/* Bytes of shared memory, and its start. */
extern Size oss_rate_table_size(void);
extern void oss_rate_table_start(void);

#endif							/* OSS_RATE_TABLE_H */
