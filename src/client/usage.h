/*-------------------------------------------------------------------------
 * usage.h
 *	  Accounts: what was requested and what became of it, by day, server, role
 *	  and bucket.
 *
 * Counts are kept in shared memory if the library is preloaded, else in memory
 * of the process, until account/usage_flush.c has written them to usage_day.
 * That writes them under a number, which the same transaction writes to the
 * table usage_written: whoever reads both in one snapshot counts all once.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_USAGE_H
#define OSS_USAGE_H

#include "client/outcome.h"
#include "client/server.h"
#include "nodes/pg_list.h"
#include "utils/date.h"

/* Counters, in the order of the columns of usage_day. */
typedef enum OssUsageCount
{
	OSS_USAGE_REQUESTS,			/* attempts for labels, of any outcome */
	OSS_USAGE_BILLED,
	OSS_USAGE_AMBIGUOUS,
	OSS_USAGE_THROTTLED,
	OSS_USAGE_REFUSED,
	OSS_USAGE_FAILED,
	OSS_USAGE_OVER_BUDGET,		/* not sent: refused by a budget or a setting */
	OSS_USAGE_STORED_HITS,		/* answered from the store */
	OSS_USAGE_SHARED,			/* answered by somebody else's request */
	OSS_USAGE_LISTINGS,
	OSS_USAGE_HEADS,
	OSS_USAGE_BYTES				/* received, of headers and bodies */
} OssUsageCount;

#define OSS_USAGE_COUNTS (OSS_USAGE_BYTES + 1)

/* The counts of one day, role, server and bucket. */
typedef struct OssUsage
{
	Oid			dbid;			/* InvalidOid: free */
	Oid			userid;			/* InvalidOid: not known */
	DateADT		day;
	char		server[NAMEDATALEN];	/* "": not known */
	char		bucket[OSS_BUCKET_MAX + 1]; /* "": not known */
	int64		counts[OSS_USAGE_COUNTS];
	int64		written[OSS_USAGE_COUNTS];	/* taken out of counts by a flush */
	int64		flush;			/* its number */
} OssUsage;

/* Sets of counts; one has at most OSS_USAGE_WAYS. */
#define OSS_USAGE_SETS	256
#define OSS_USAGE_WAYS	17

/*
 * Count an attempt that has ended, or one that a budget or a setting refused.
 * Neither throws nor allocates; needs no transaction.
 */
extern void oss_usage_attempt(const OssServer *server, const char *bucket,
							  OssKind kind, OssOutcome outcome, int64 bytes);
extern void oss_usage_over_budget(const OssServer *server, const char *bucket);

/* Count images that needed no request of their own; server NULL: not known. */
extern void oss_usage_free(OssUsageCount which, const char *server, Oid userid,
						   const char *bucket, int64 n);

/*
 * Copy the counts of this database in a set that the flush of this number does
 * not include.  Returns how many there are.
 */
extern int	oss_usage_read(int set, int64 flush, OssUsage usages[OSS_USAGE_WAYS]);

/*
 * Begin flush number "flush" + 1 with a set: the counts that an earlier flush took are
 * dropped if "flush" includes them, else they are counts again, as that flush
 * failed.  Then all counts are taken, and copied to "written".  Returns how many
 * there are.  The caller excludes other flushes of the database.
 */
extern int	oss_usage_take(int set, int64 flush, OssUsage usages[OSS_USAGE_WAYS]);

/* List the databases that have counts, in CurrentMemoryContext. */
extern List *oss_usage_databases(void);

/* Forget the counts of a database. */
extern void oss_usage_forget(Oid dbid);

/* Called for the first count since the last flush.  Set by the queue. */
extern void (*oss_usage_wake) (void);

/* Are the counts in shared memory?  If so, a number of its start, never 0. */
extern int64 oss_usage_shared(void);

/* For the shared memory hooks: bytes needed; attach or initialize. */
extern Size oss_usage_shared_size(void);
extern void oss_usage_shared_start(void);

#endif							/* OSS_USAGE_H */
