/*-------------------------------------------------------------------------
 * rate_table.h
 *	  The table of rates of servers and of their buckets, which processes
 *	  share.
 *
 * For rate_limit.c, rate_object.c and the hooks for shared memory.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RATE_TABLE_H
#define OSS_RATE_TABLE_H

#include "protocol/uri.h"

/* Number of slots, for all databases of the cluster. */
#define RATE_SLOTS	4096

/* Answers are counted per tenth of a second, for ten seconds. */
#define RATE_TENTHS 100

/* Number of throttled objects remembered per bucket. */
#define RATE_OBJECTS 64

/*
 * The state of a server (bucket "") or of one of its buckets.  The first
 * block is for both; the limit of the options and the clock are a server's,
 * the rate found by throttles a bucket's.  Times are those of oss_clock_us().
 */
typedef struct RateSlot
{
	Oid			dbid;			/* InvalidOid: free or spare slot */
	Oid			serverid;
	char		bucket[OSS_BUCKET_MAX + 1];
	int64		used_at;
	int64		busy_until;		/* must not be reused before */

	double		limit;			/* -1: not set yet, 0: no limit */
	int64		read_at;		/* when the newest options were read */
	int64		next_at;		/* when the next request is due */
	int64		clock_offset_ms;	/* of the service to this machine */

	double		rate;			/* found by throttles, 0: no limit */
	double		last_rate;		/* before the last decrease */
	double		tokens;
	int64		tokens_at;
	int64		decreased_at;
	bool		guessed;		/* first decrease: too few answers had come to
								 * know the rate */
	int64		throttled_at;
	int64		held_until;
	int64		throttled;

	uint32		objects[RATE_OBJECTS];	/* see rate_object.c */
	int			taught;			/* throttles that set the rate */
	int			blamed;			/* of these, blamed on objects */

	int64		tenth;			/* number of the present tenth */
	uint16		answered[RATE_TENTHS];
} RateSlot;

/*
 * Lock and return the slot of a server (bucket "") or bucket of this
 * database.  If it has none, it is given a free slot or the least recently
 * used one that is not busy; if all are busy, the spare slot is returned,
 * which many share.  With create false, returns NULL without a lock instead.
 * Does not throw.
 */
extern RateSlot *oss_rate_slot_lock(Oid serverid, const char *bucket, bool create,
									int64 now);

extern bool oss_rate_slot_is_spare(const RateSlot *slot);

/*
 * Lock and return the n-th slot (below RATE_SLOTS), in use or not.  Returns
 * NULL, without a lock, if there is no table yet.
 */
extern RateSlot *oss_rate_slot_lock_nth(int n);

extern void oss_rate_slot_unlock(RateSlot *slot);

/* Is the table in shared memory? */
extern bool oss_rate_table_is_shared(void);

/* For the shared memory hooks: bytes needed; attach or initialize. */
extern Size oss_rate_table_size(void);
extern void oss_rate_table_start(void);

/* ---------- rate_object.c: objects that are throttled whatever the rate ---------- */

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

#endif							/* OSS_RATE_TABLE_H */
