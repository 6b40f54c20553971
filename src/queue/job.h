/*-------------------------------------------------------------------------
 * job.h
 *	  Jobs in hand, and the statements that claim and settle them.
 *
 * Top floor.  Functions that run a statement are called within
 * oss_statement_begin(), with a transaction open.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_JOB_H
#define OSS_JOB_H

#include "postgres.h"

#include "client/labels_response.h"
#include "client/request.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

struct DispatchLane;

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

/* Names what takes turns in the queue; strings in the database's encoding. */
typedef struct OssLaneKey
{
	char	   *server;			/* as in job, all of them */
	Oid			server_id;
	char	   *bucket;
	Oid			requester;
	int64		origin;
} OssLaneKey;

/*
 * A job's place in its lane, in the order of claiming: rank is ~priority, so
 * that it ascends as the others do and never overflows.
 */
typedef struct OssPlace
{
	int32		rank;
	TimestampTz due;
	int64		id;
} OssPlace;

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
	dlist_node	node;			/* in one of its server's or the dispatcher's
								 * lists */
	struct DispatchLane *lane;
	struct OssJob *followers;	/* linked by their own next */
	int			nfollowers;
	struct OssJob *next;
	struct OssJob *same_hash;	/* next in the table of objects */
	uint32		hash;

	OssPlace	place;			/* with its number */
	int			attempts;
	int			throttles;		/* in a row */
	TimestampTz enqueued_at;
	OssImage	image;
	OssImage	utf8;			/* the same as requests want it */
	bool		in_utf8;		/* it has such a form */
	Oid			requester;		/* InvalidOid: there is no such role */
	bool		source_gone;	/* the table it came from was dropped */
	bool		usable;			/* the requester has USAGE on the server */
	bool		covered;		/* a stored answer serves it already */
	Jsonb	   *answer;			/* which another process left in the table, or
								 * is to be left there; NULL: none */
	char	   *asked_id;		/* its request's */

	OssServer  *target;			/* pinned; NULL until resolved */
	OssRequest *request;
	TimestampTz started_at;
	int64		sent_at;		/* the same by oss_clock_us() */
	bool		suspect;		/* others are answered, it was throttled: that
								 * says nothing of the bucket */

	OssVerdict	verdict;
	bool		stored;			/* OSS_VERDICT_ANSWERED: only to be deleted */
	bool		storing;		/* by the transaction that is still open */
	bool		unwanted;		/* its row is gone */
	bool		row_locked;		/* another transaction has its row in job */
	int			blocks;			/* tries to settle it that others stood in the
								 * way of */
	int			errors;			/* of its own when it was to be stored */
	int64		tagged_before;	/* images, when there was the first */
	int64		blocked_until;
	int64		rest_until;		/* it was throttled */
	TimestampTz due;			/* of OSS_VERDICT_LATER */
	bool		refund;			/* OSS_VERDICT_LATER: the attempt is free */
	OssScope	pause;			/* OSS_VERDICT_LATER: what is to be paused,
								 * IMAGE when nothing is */
	int			pause_s;		/* for how long, 0: as long as any */
	bool		denied;			/* for want of rights, maybe in a directory */
	bool		unsent;			/* for what was said of another */
	OssReason	reason;
} OssJob;

/* A lane that has jobs, and its first one's rank. */
typedef struct OssLaneHead
{
	OssLaneKey	key;
	const char *server;			/* its present name */
	Oid			role;			/* who the requester is, InvalidOid: nobody */
	int32		rank;
} OssLaneHead;

/* A job that was looked at. */
typedef struct OssSeen
{
	ItemPointerData tid;
	OssPlace	place;
	bool		free;			/* it may be claimed, if it is due */
	char	   *key;			/* if they were asked for */
	char	   *version_id;
} OssSeen;

/* A pause; NULL and InvalidOid mean any. */
typedef struct OssPause
{
	const char *server;
	Oid			requester;
	const char *bucket;
	const char *directory;		/* see oss_in_directory() */
	int			sqlerrcode;
	const char *reason;
	int			seconds;		/* that it lasts at most */
} OssPause;

/* in lease_holder.c: number of the process as lease holder, of its pid and start. */
extern int64 oss_lease_token(void);

/* Compare places: negative when a comes first. */
extern int	oss_place_compare(const OssPlace *a, const OssPlace *b);

/* in job_claim.c: list up to n lanes that have jobs, after one or from the
 * first; returns OssLaneHeads in their order. */
extern List *oss_job_lanes(const OssLaneKey *after, int n);

/*
 * in job_claim.c: list the lanes of the n newest jobs above a number, which
 * becomes that of the newest.
 */
extern List *oss_job_new_lanes(int64 *newest, int n);

/*
 * in job_claim.c: look at the next n jobs of a lane after a place, of rank
 * most_rank at most.  Unless we are alone, one whose object another process is
 * asking for is not free.  with_names fills key and version_id.  Returns an
 * array and its length.
 */
extern OssSeen *oss_job_look(const OssLaneKey *lane, const OssPlace *after,
							 int32 most_rank, int n, bool alone,
							 bool with_names, int *nseen);

/*
 * in job_claim.c: claim jobs that were looked at, but those that somebody was
 * faster with or has locked.  Returns OssJobs in contexts below parent, in the
 * order of claiming, leased with token until leased_until.
 */
extern List *oss_job_claim(const OssLaneKey *lane, const OssSeen *seen, int n,
						   int64 token, TimestampTz leased_until,
						   MemoryContext parent);

/*
 * in job_claim.c: count an attempt for a job that can't be claimed at all
 * because of an error, and put it off; the last one fails it.
 */
extern void oss_job_charge(int64 id, int most_attempts, int64 token,
						   const ErrorData *error);

/* List which of the jobs are still there and leased with token. */
extern List *oss_job_still_ours(OssJob **jobs, int n, int64 token);

/* Free what a job owns. */
extern void oss_job_free(OssJob *job);

/* Fix names and words in the job's context. */
extern void oss_job_set_reason(OssJob *job, const OssReason *reason);

/* The same with a failure's words. */
extern void oss_job_set_failure(OssJob *job, const OssFailure *failure);

/*
 * Delete jobs.  Those that somebody else has locked are left, and row_locked is
 * set; those that are not ours any more are left, too.  Sorts the array.
 */
extern void oss_job_delete(OssJob **jobs, int n, int64 token);

/* Prolong the leases of jobs. */
extern void oss_job_renew(OssJob **jobs, int n, int64 token,
						  TimestampTz leased_until);

/* Move jobs with their reasons to failed_job, but those that are locked. */
extern void oss_job_fail(OssJob **jobs, int n, int64 token);

/* Put jobs back, due at their due, but those that are locked. */
extern void oss_job_put_back(OssJob **jobs, int n, int64 token);

/* Note for the view what jobs in hand are waiting for. */
extern void oss_job_note(OssJob **jobs, int n, int64 token, const char *reason);

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

/*
 * Make due the jobs of a server (NULL: of all) that rest after a throttle;
 * returns how many.
 */
extern uint64 oss_job_end_rests(const char *server);

/* Forget up to n failed jobs that are older than minutes; returns how many. */
extern uint64 oss_job_forget_failed(int minutes, int n);

/*
 * Is a key in a directory?  That is the beginning of keys up to a slash, or only
 * a slash for the keys without one.
 */
extern bool oss_in_directory(const char *key, const char *directory);

/* List the pauses; returns OssPauses. */
extern List *oss_pause_list(void);

/* Note a pause that the worker found necessary; false when it was there. */
extern bool oss_pause_add(const OssPause *pause);

/*
 * Delete automatic pauses whose server or mapping changed, or that have had
 * their time; returns how many.
 */
extern uint64 oss_pause_expire(void);

#endif							/* OSS_JOB_H */
