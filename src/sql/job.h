/*-------------------------------------------------------------------------
 * job.h
 *	  Jobs in hand, and the statements that claim and settle them.
 *
 * Top floor.  Every function runs within oss_statement_begin(), with SPI
 * connected and a transaction open.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_JOB_H
#define OSS_JOB_H

#include "postgres.h"

#include "client/request.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

struct DrainServer;

/* What becomes of a job when it is settled. */
typedef enum OssVerdict
{
	OSS_VERDICT_NONE,			/* not known yet */
	OSS_VERDICT_ANSWERED,		/* its answer is to be stored */
	OSS_VERDICT_DONE,			/* nothing to store: another's answer serves
								 * it, or nobody wants it any more */
	OSS_VERDICT_FAILED,			/* to failed_job */
	OSS_VERDICT_LATER			/* back into the queue, due at due */
} OssVerdict;

/* Why a job failed or was put off; strings in the job's context or static. */
typedef struct OssReason
{
	int			sqlerrcode;
	int			http_status;
	const char *code;
	const char *message;
	const char *summary;		/* static: the message without the object's
								 * name; NULL: it names none */
	const char *detail;
	const char *hint;
	const char *request_id;
} OssReason;

/*
 * A job that this process holds the lease of.  Owns its context, and its
 * request once there is one.  followers are jobs for the same object that its
 * answer will serve; they are in no other list.
 */
typedef struct OssJob
{
	MemoryContext context;
	dlist_node	node;			/* in one of its server's or the drain's lists */
	struct DrainServer *server;
	struct OssJob *followers;	/* linked by their own next */
	struct OssJob *next;
	struct OssJob *same_hash;	/* next in the table of objects */
	uint32		hash;

	int64		id;
	int			attempts;
	TimestampTz enqueued_at;
	TimestampTz leased_until;
	bool		has_thr;
	double		thr;
	Oid			requester;		/* InvalidOid: there is no such role */
	bool		source_gone;	/* the table it came from was dropped */
	char	   *bucket;
	char	   *key;
	char	   *version_id;
	char	   *names_utf8[3];	/* the same three as requests want them */
	bool		covered;		/* a stored answer serves it already */

	OssServer  *target;			/* pinned; NULL until resolved */
	OssRequest *request;
	TimestampTz started_at;

	OssVerdict	verdict;
	bool		stored;			/* OSS_VERDICT_ANSWERED: only to be deleted */
	bool		storing;		/* by the transaction that is still open */
	TimestampTz due;			/* of OSS_VERDICT_LATER */
	bool		refund;			/* OSS_VERDICT_LATER: the attempt is free */
	OssScope	pause;			/* OSS_VERDICT_LATER: what is to be paused,
								 * IMAGE when nothing is */
	OssReason	reason;
} OssJob;

/* A server and priority that has jobs, and how far claiming got. */
typedef struct OssLane
{
	char	   *server;
	int32		priority;
	TimestampTz first_due;		/* of any job in it */
	TimestampTz after_due;		/* claim what comes after this */
	int64		after_id;
	bool		drained;		/* the last claim found less than wanted */
} OssLane;

/* A pause; NULL and InvalidOid mean any. */
typedef struct OssPause
{
	const char *server;
	Oid			requester;
	const char *bucket;
	int			sqlerrcode;
	const char *reason;
} OssPause;

/* in holder.c: number of the process as lease holder, of its pid and start. */
extern int64 oss_lease_token(void);

/* List the servers and priorities that have jobs; returns OssLanes. */
extern List *oss_job_lanes(void);

/*
 * Claim up to n due jobs of a lane, in order, advancing it.  Returns OssJobs
 * in contexts below parent, leased with token until leased_until.  Unless we
 * are alone, leaves what other processes have leased a job for.
 */
extern List *oss_job_claim(OssLane *lane, int n, int64 token,
						   TimestampTz leased_until, bool alone,
						   MemoryContext parent);

/* Free what a job owns. */
extern void oss_job_free(OssJob *job);

/* Fix names and words in the job's context. */
extern void oss_job_set_reason(OssJob *job, const OssReason *reason);

/* The same with a failure's words. */
extern void oss_job_set_failure(OssJob *job, const OssFailure *failure);

/*
 * Delete jobs.  Those that somebody else has locked, or that are not ours any
 * more, are left: returns in locked which of them (by index) are still ours
 * and locked, and in lost which another process has taken over.
 */
extern void oss_job_delete(OssJob **jobs, int n, int64 token, bool *locked,
						   bool *lost);

/* Prolong the leases of jobs. */
extern void oss_job_renew(OssJob **jobs, int n, int64 token,
						  TimestampTz leased_until);

/* Move jobs with their reasons to failed_job. */
extern void oss_job_fail(OssJob **jobs, int n, int64 token);

/* Put jobs back, due at their due. */
extern void oss_job_put_back(OssJob **jobs, int n, int64 token);

/*
 * Free the leases of processes that are gone, of sessions that were cancelled,
 * and token's, whose holder must have nothing in hand; returns how many.
 */
extern uint64 oss_job_release_dead(int64 token);

/*
 * Let jobs go that were enqueued more than a minute, or are due more than a
 * day, after now: a clock was ahead.  Returns how many.
 */
extern uint64 oss_job_mend_times(void);

/* Forget up to n failed jobs that are older than minutes; returns how many. */
extern uint64 oss_job_forget_failed(int minutes, int n);

/* List the pauses; returns OssPauses. */
extern List *oss_pause_list(void);

/* Note a pause that the worker found necessary; false when it was there. */
extern bool oss_pause_add(const OssPause *pause);

/*
 * Delete automatic pauses whose server or mapping changed, or that are older
 * than minutes; returns how many.
 */
extern uint64 oss_pause_expire(int minutes);

#endif							/* OSS_JOB_H */
