/*-------------------------------------------------------------------------
 * rate_table.c
 *	  Slots for servers and their buckets, in shared memory if the library is
 *	  preloaded, else in the process's own.
 *
 * The slots are in sets, chosen by a hash of server and bucket.  A set's
 * spinlock guards its slots.  Under it is nothing but arithmetic on one slot and
 * a look at each slot of the set.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/rate_table.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#define SETS 64
#define WAYS (RATE_SLOTS / SETS)

/*
 * A set.  hashes are those of the slots' owners, 0 for a free slot.  The spare
 * slot comes last.
 */
typedef struct RateSet
{
	slock_t		mutex;
	uint32		hashes[WAYS];
	RateSlot	slots[WAYS + 1];
} RateSet;

static RateSet *sets = NULL;
static bool shared = false;

/* Make a table in memory that is all zero. */
static void
init_sets(RateSet *new_sets)
{
	for (int i = 0; i < SETS; i++)
	{
		SpinLockInit(&new_sets[i].mutex);
		new_sets[i].slots[WAYS].limit = -1;
	}
}

Size
oss_rate_table_size(void)
{
	return MAXALIGN(sizeof(RateSet) * SETS);
}

void
oss_rate_table_start(void)
{
	bool		found;

	sets = ShmemInitStruct("oss_labels rates", sizeof(RateSet) * SETS, &found);
	shared = true;
	if (!found)
	{
		memset(sets, 0, sizeof(RateSet) * SETS);
		init_sets(sets);
	}
}

bool
oss_rate_table_is_shared(void)
{
	return shared;
}

/* Return the set that a slot is in. */
static RateSet *
set_of(const RateSlot *slot)
{
	return &sets[((const char *) slot - (const char *) sets) / sizeof(RateSet)];
}

/* Compute the hash of a server or bucket, never 0. */
static uint32
hash_of(Oid serverid, const char *bucket)
{
	uint32		hash = hash_combine(murmurhash32(MyDatabaseId),
									murmurhash32(serverid));

	hash = hash_combine(hash, hash_bytes((const unsigned char *) bucket,
										 strnlen(bucket, OSS_BUCKET_MAX)));
	return Max(hash, 1);
}

/* Is a slot that of a server or bucket? */
static bool
is_of(const RateSlot *slot, Oid serverid, const char *bucket)
{
	return slot->serverid == serverid && slot->dbid == MyDatabaseId &&
		strncmp(slot->bucket, bucket, OSS_BUCKET_MAX) == 0;
}

/*
 * Give a slot to a server or bucket.  It may have sent something a moment ago
 * when the spare slot was all there was for it, so that it waits as that one
 * would.
 */
static void
take_rate_slot(RateSlot *slot, Oid serverid, const char *bucket)
{
	memset(slot, 0, sizeof(RateSlot));
	slot->dbid = MyDatabaseId;
	slot->serverid = serverid;
	strlcpy(slot->bucket, bucket, sizeof(slot->bucket));
	slot->limit = -1;
	slot->next_at = set_of(slot)->slots[WAYS].next_at;
}

/* Find a slot in a locked set; returns NULL when there is none, and no other. */
static RateSlot *
find_rate_slot(RateSet *set, uint32 hash, Oid serverid, const char *bucket,
			   bool create, int64 now)
{
	int			oldest = -1;

	for (int i = 0; i < WAYS; i++)
	{
		RateSlot   *slot = &set->slots[i];

		if (set->hashes[i] == hash && is_of(slot, serverid, bucket))
			return slot;
		if (create && slot->busy_until <= now &&
			(oldest < 0 || slot->used_at < set->slots[oldest].used_at))
			oldest = i;
	}
	if (oldest < 0)
		return NULL;
	take_rate_slot(&set->slots[oldest], serverid, bucket);
	set->hashes[oldest] = hash;
	return &set->slots[oldest];
}

RateSlot *
oss_rate_slot_lock(Oid serverid, const char *bucket, bool create, int64 now)
{
	static RateSet own[SETS];
	uint32		hash = hash_of(serverid, bucket);
	RateSet    *set;
	RateSlot   *slot;

	if (sets == NULL)
	{
		init_sets(own);
		sets = own;
	}
	set = &sets[hash % SETS];
	SpinLockAcquire(&set->mutex);
	slot = find_rate_slot(set, hash, serverid, bucket, create, now);
	if (slot != NULL)
		slot->used_at = now;
	else if (create)
		slot = &set->slots[WAYS];
	else
		SpinLockRelease(&set->mutex);
	return slot;
}

bool
oss_rate_slot_is_spare(const RateSlot *slot)
{
	return slot == &set_of(slot)->slots[WAYS];
}

RateSlot *
oss_rate_slot_lock_nth(int n)
{
	Assert(n >= 0 && n < RATE_SLOTS);
	if (sets == NULL)
		return NULL;
	SpinLockAcquire(&sets[n / WAYS].mutex);
	return &sets[n / WAYS].slots[n % WAYS];
}

void
oss_rate_slot_unlock(RateSlot *slot)
{
	SpinLockRelease(&set_of(slot)->mutex);
}
