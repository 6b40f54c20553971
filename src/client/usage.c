/*-------------------------------------------------------------------------
 * usage.c
 *	  Accounts: counts by day, server, role and bucket.
 *
 * A hash of these selects a set, which its spinlock guards.  Counts for which a
 * set has no room are added to the day's total, so that sums are right.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/budget.h"
#include "client/usage.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

/*
 * The last way of a set holds the day's total of counts without a way of their own.
 */
#define SPARE (OSS_USAGE_WAYS - 1)

typedef struct UsageSet
{
	slock_t		mutex;
	uint32		hashes[OSS_USAGE_WAYS]; /* 0: free */
	OssUsage	usages[OSS_USAGE_WAYS];
} UsageSet;

typedef struct UsageTable
{
	int64		start;
	UsageSet	sets[OSS_USAGE_SETS];
} UsageTable;

static UsageTable *table = NULL;

void		(*oss_usage_wake) (void) = NULL;

static void
init_table(UsageTable *new_table)
{
	for (int i = 0; i < OSS_USAGE_SETS; i++)
		SpinLockInit(&new_table->sets[i].mutex);
}

Size
oss_usage_shared_size(void)
{
	return MAXALIGN(sizeof(UsageTable));
}

void
oss_usage_shared_start(void)
{
	bool		found;

	table = ShmemInitStruct("oss_labels usage", sizeof(UsageTable), &found);
	if (found)
		return;
	memset(table, 0, sizeof(UsageTable));
	init_table(table);
	table->start = GetCurrentTimestamp();
}

int64
oss_usage_shared(void)
{
	return table == NULL ? 0 : table->start;
}

/* Return a set, of the process's own table if there is no shared one. */
static UsageSet *
get_set(uint32 n)
{
	static UsageTable own;

	if (table == NULL)
	{
		init_table(&own);
		table = &own;
	}
	return &table->sets[n % OSS_USAGE_SETS];
}

/* Hash day, server, role and bucket of counts.  Never 0. */
static uint32
usage_hash(const OssUsage *usage)
{
	uint32		hash = hash_combine(murmurhash32(usage->dbid),
									murmurhash32(usage->userid));

	hash = hash_combine(hash, murmurhash32((uint32) usage->day));
	hash = hash_combine(hash, hash_bytes((const unsigned char *) usage->server,
										 strlen(usage->server)));
	hash = hash_combine(hash, hash_bytes((const unsigned char *) usage->bucket,
										 strlen(usage->bucket)));
	return Max(hash, 1);
}

static bool
is_same_usage(const OssUsage *a, const OssUsage *b)
{
	return a->dbid == b->dbid && a->userid == b->userid && a->day == b->day &&
		strcmp(a->server, b->server) == 0 && strcmp(a->bucket, b->bucket) == 0;
}

static bool
is_zero(const int64 *counts)
{
	for (int i = 0; i < OSS_USAGE_COUNTS; i++)
	{
		if (counts[i] != 0)
			return false;
	}
	return true;
}

/* Free a way that has nothing left to be written. */
static void
free_way(UsageSet *set, int way)
{
	if (!is_zero(set->usages[way].counts) || !is_zero(set->usages[way].written))
		return;
	set->hashes[way] = 0;
	set->usages[way].dbid = InvalidOid;
}

/* Find the way of these counts in a locked set, or a free one; -1: neither. */
static int
find_way(const UsageSet *set, uint32 hash, const OssUsage *usage, int first, int last)
{
	int			way = -1;

	for (int i = first; i <= last; i++)
	{
		if (set->hashes[i] == hash && is_same_usage(&set->usages[i], usage))
			return i;
		if (set->hashes[i] == 0 && way < 0)
			way = i;
	}
	return way;
}

/*
 * Add to the counts of a locked set, and unlock it.  Returns false if there is no
 * room between these ways.
 */
static bool
add_and_unlock(UsageSet *set, uint32 hash, const OssUsage *usage, int first, int last)
{
	int			way = find_way(set, hash, usage, first, last);
	bool		first_count = false;

	if (way >= 0)
	{
		OssUsage   *kept = &set->usages[way];

		if (set->hashes[way] == 0)
		{
			set->hashes[way] = hash;
			*kept = *usage;
			first_count = true;
		}
		else
		{
			first_count = is_zero(kept->counts);
			for (int i = 0; i < OSS_USAGE_COUNTS; i++)
				kept->counts[i] += usage->counts[i];
		}
	}
	SpinLockRelease(&set->mutex);
	if (first_count && oss_usage_wake)
		oss_usage_wake();
	return way >= 0;
}

/* Add counts, to the day's total if there is no room. */
static void
add_usage(OssUsage *usage)
{
	uint32		hash = usage_hash(usage);
	UsageSet   *set = get_set(hash);

	SpinLockAcquire(&set->mutex);
	if (add_and_unlock(set, hash, usage, 0, SPARE - 1))
		return;
	usage->userid = InvalidOid;
	usage->server[0] = usage->bucket[0] = '\0';
	hash = usage_hash(usage);
	for (uint32 i = 0; i < OSS_USAGE_SETS; i++)
	{
		set = get_set(hash + i);
		SpinLockAcquire(&set->mutex);
		if (add_and_unlock(set, hash, usage, SPARE, SPARE))
			return;
	}
}

/* Begin counts of today. */
static void
init_usage(OssUsage *usage, const char *server, Oid userid, const char *bucket)
{
	memset(usage, 0, sizeof(OssUsage));
	usage->dbid = MyDatabaseId;
	usage->userid = userid;
	usage->day = oss_billing_day(GetCurrentTimestamp());
	if (server)
		strlcpy(usage->server, server, sizeof(usage->server));
	strlcpy(usage->bucket, bucket, sizeof(usage->bucket));
}

/* Return the counter of an outcome. */
static OssUsageCount
count_of(OssOutcome outcome)
{
	switch (outcome)
	{
		case OSS_OUTCOME_BILLED:
			return OSS_USAGE_BILLED;
		case OSS_OUTCOME_THROTTLED:
			return OSS_USAGE_THROTTLED;
		case OSS_OUTCOME_REFUSED:
			return OSS_USAGE_REFUSED;
		case OSS_OUTCOME_FAILED:
			return OSS_USAGE_FAILED;
		default:
			return OSS_USAGE_AMBIGUOUS;
	}
}

void
oss_usage_attempt(const OssServer *server, const char *bucket, OssKind kind,
				  OssOutcome outcome, int64 bytes)
{
	OssUsage	usage;

	if (outcome == OSS_OUTCOME_UNSENT)
		return;
	init_usage(&usage, server->name, server->userid, bucket);
	if (kind == OSS_KIND_LABELS)
		usage.counts[OSS_USAGE_REQUESTS] = usage.counts[count_of(outcome)] = 1;
	else
		usage.counts[kind == OSS_KIND_HEAD ? OSS_USAGE_HEADS : OSS_USAGE_LISTINGS] = 1;
	usage.counts[OSS_USAGE_BYTES] = bytes;
	add_usage(&usage);
}

void
oss_usage_free(OssUsageCount which, const char *server, Oid userid,
			   const char *bucket, int64 n)
{
	OssUsage	usage;

	if (n == 0)
		return;
	init_usage(&usage, server, userid, bucket);
	usage.counts[which] = n;
	add_usage(&usage);
}

void
oss_usage_over_budget(const OssServer *server, const char *bucket)
{
	oss_usage_free(OSS_USAGE_OVER_BUDGET, server->name, server->userid, bucket, 1);
}

int
oss_usage_read(int n, int64 flush, OssUsage usages[OSS_USAGE_WAYS])
{
	UsageSet   *set = get_set(n);
	int			found = 0;

	SpinLockAcquire(&set->mutex);
	for (int i = 0; i < OSS_USAGE_WAYS; i++)
	{
		if (set->hashes[i] != 0 && set->usages[i].dbid == MyDatabaseId)
			usages[found++] = set->usages[i];
	}
	SpinLockRelease(&set->mutex);
	for (int i = 0; i < found; i++)
	{
		for (int j = 0; j < OSS_USAGE_COUNTS && usages[i].flush > flush; j++)
			usages[i].counts[j] += usages[i].written[j];
	}
	return found;
}

int
oss_usage_take(int n, int64 flush, OssUsage usages[OSS_USAGE_WAYS])
{
	UsageSet   *set = get_set(n);
	int			found = 0;

	SpinLockAcquire(&set->mutex);
	for (int i = 0; i < OSS_USAGE_WAYS; i++)
	{
		OssUsage   *usage = &set->usages[i];

		if (set->hashes[i] == 0 || usage->dbid != MyDatabaseId)
			continue;
		for (int j = 0; j < OSS_USAGE_COUNTS; j++)
		{
			usage->written[j] = usage->counts[j] +
				(usage->flush > flush ? usage->written[j] : 0);
			usage->counts[j] = 0;
		}
		usage->flush = flush + 1;
		if (is_zero(usage->written))
			free_way(set, i);
		else
			usages[found++] = *usage;
	}
	SpinLockRelease(&set->mutex);
	return found;
}

void
oss_usage_forget(Oid dbid)
{
	for (int n = 0; n < OSS_USAGE_SETS; n++)
	{
		UsageSet   *set = get_set(n);

		SpinLockAcquire(&set->mutex);
		for (int i = 0; i < OSS_USAGE_WAYS; i++)
		{
			if (set->hashes[i] != 0 && set->usages[i].dbid == dbid)
				set->hashes[i] = 0;
		}
		SpinLockRelease(&set->mutex);
	}
}

List *
oss_usage_databases(void)
{
	List	   *databases = NIL;

	for (int n = 0; n < OSS_USAGE_SETS; n++)
	{
		UsageSet   *set = get_set(n);
		Oid			dbids[OSS_USAGE_WAYS];
		int			found = 0;

		SpinLockAcquire(&set->mutex);
		for (int i = 0; i < OSS_USAGE_WAYS; i++)
		{
			if (set->hashes[i] != 0)
				dbids[found++] = set->usages[i].dbid;
		}
		SpinLockRelease(&set->mutex);
		while (found-- > 0)
			databases = list_append_unique_oid(databases, dbids[found]);
	}
	return databases;
}
