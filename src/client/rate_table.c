/*-------------------------------------------------------------------------
 * rate_table.c
 *	  Slots for servers and their buckets, in shared memory if the library is
 *	  preloaded, else in memory of the process.
 *
 * A hash of server and bucket selects a set of slots, which the set's spinlock
 * guards.  The lock is held only to search the set and to compute with one
 * slot.
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
StaticAssertDecl(RATE_SLOTS % SETS == 0, "every slot is in a set");

/*
 * A set.  hashes are those of the slots' owners, 0 for a free slot.  The last
 * slot is the spare one.
 */
typedef struct RateSet
{
	slock_t		mutex;
	uint32		hashes[WAYS];
	RateSlot	slots[WAYS + 1];
} RateSet;

static RateSet *sets = NULL;
static bool shared = false;

/* Initialize a zeroed table. */
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

static RateSet *
set_of(const RateSlot *slot)
{
	return &sets[((const char *) slot - (const char *) sets) / sizeof(RateSet)];
}

/* Return the hash of a server or bucket, never 0. */
static uint32
rate_hash(Oid serverid, const char *bucket)
{
	uint32		hash = hash_combine(murmurhash32(MyDatabaseId),
									murmurhash32(serverid));

	hash = hash_combine(hash, hash_bytes((const unsigned char *) bucket,
										 strnlen(bucket, OSS_BUCKET_MAX)));
	return Max(hash, 1);
}

/*
 * Assign a slot to a server or bucket.  Its next request waits as with the
 * spare slot, which it may have used until now.
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

/*
 * Find the slot of a server or bucket in a locked set, or assign one.
 * Returns NULL if there is none.
 */
static RateSlot *
find_rate_slot(RateSet *set, uint32 hash, Oid serverid, const char *bucket,
			   bool create, int64 now)
{
	int			oldest = -1;

	for (int i = 0; i < WAYS; i++)
	{
		RateSlot   *slot = &set->slots[i];

		if (set->hashes[i] == hash && slot->serverid == serverid &&
			slot->dbid == MyDatabaseId &&
			strncmp(slot->bucket, bucket, OSS_BUCKET_MAX) == 0)
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
	uint32		hash = rate_hash(serverid, bucket);
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
