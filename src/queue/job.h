/*-------------------------------------------------------------------------
 * job.h
 *	  Jobs in memory, and the statements that claim and settle them.
 *
 * Functions that run a statement are called within oss_statement_begin(), with
 * a transaction open.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_JOB_H
#define OSS_JOB_H

#include "client/labels_response.h"
#include "client/object_facts.h"
#include "client/request.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "store/flight.h"

struct DispatchLane;

/* The outcome of a job. */
typedef enum OssVerdict
{
	OSS_VERDICT_NONE,			/* not decided yet */
	OSS_VERDICT_ANSWERED,		/* store its answer */
	OSS_VERDICT_DONE,			/* delete it: another answer serves it, or its
								 * row was deleted */
	OSS_VERDICT_FAILED,			/* move it to failed_job */
	OSS_VERDICT_LATER			/* put it back, to be due at "due" */
} OssVerdict;

/* Identifies a lane; strings are in the database's encoding. */
typedef struct OssLaneKey
{
	char	   *server;			/* all as in job */
	Oid			server_id;
	char	   *bucket;
	Oid			requester;
	int64		origin;
} OssLaneKey;

/*
 * A job's place in its lane, in the order of claims.  rank is ~priority,
 * which ascends like the other fields and does not overflow.
 */
typedef struct OssPlace
{
	int32		rank;
	TimestampTz due;
	int64		id;
} OssPlace;

/*
 * Why a job failed or was deferred; strings are in the job's context or
 * static.
 */
typedef struct OssReason
{
	int			sqlerrcode;
	int			http_status;
	const char *code;
	const char *message;
	const char *summary;		/* static: the message without the object's
								 * name, or NULL if that has none */
	const char *detail;
	const char *hint;
	const char *request_id;
	bool		permanent;		/* the next request would fail likewise */
} OssReason;

/*
 * SQL: is f, a row of failed_job, of the same image, role and server as j, a row
 * of job or failed_job?
 */
#define OSS_SAME_FAILURE(f, j) \
	f ".key = " j ".key AND " f ".bucket = " j ".bucket" \
	" AND " f ".version_id IS NOT DISTINCT FROM " j ".version_id" \
	" AND " f ".requester = " j ".requester AND " f ".origin = " j ".origin" \
	" AND (" f ".server_id = " j ".server_id AND (" j ".server_id <> 0" \
	" OR " f ".server = " j ".server))"

/*
 * A job leased by this process.  It owns its context and its request.
 * followers are jobs for the same object that its answer will serve; they are
 * in no other list.
 */
typedef struct OssJob
{
	MemoryContext context;
	dlist_node	node;			/* in a list of its lane or of the dispatcher */
	struct DispatchLane *lane;
	struct OssJob *followers;	/* linked by next */
	int			nfollowers;
	struct OssJob *next;
	struct OssJob *same_hash;	/* next in the hash chain of the object table */
	uint32		hash;

	OssPlace	place;			/* includes its number */
	int			attempts;
	int			throttles;		/* in a row */
	bool		once;			/* one attempt, with exactly its threshold */
	int64		sync_id;		/* the sync that enqueued it, or 0 */
	int			spent;			/* requests that are billed or may be, since
								 * it was claimed */
	TimestampTz enqueued_at;
	TimestampTz fresh_since;	/* DT_NOBEGIN: any stored answer serves it */
	OssImage	image;
	OssImage	utf8;			/* the same in UTF-8 */
	bool		in_utf8;		/* it can be converted */
	Oid			requester;		/* InvalidOid: the role does not exist */
	bool		source_gone;	/* the source table was dropped */
	bool		usable;			/* requester has USAGE on the server */
	bool		covered;		/* a stored answer serves it */
	bool		has_failed;		/* failed_job has a row of its image */
	bool		fails_again;	/* a request would fail in the same way */
	Jsonb	   *answer;			/* left in the table by another process, or to
								 * be left there; or NULL */
	char	   *asked_id;		/* request id of answer */
	OssObjectFacts facts;		/* about the object answered for */

	bool		spooled;		/* a session's answer, which has no row */
	int			file;			/* of the spool, these four */
	char	   *server_name;
	char	   *body;
	size_t		body_len;

	OssServer  *target;			/* pinned; NULL until resolved */
	OssRequest *request;
	OssFlight  *flight;			/* of the request, or NULL */
	TimestampTz started_at;
	int64		sent_at;		/* the same by oss_clock_us() */
	bool		suspect;		/* throttled while others were answered:
								 * throttles say nothing of the bucket */

	OssVerdict	verdict;
	bool		stored;			/* OSS_VERDICT_ANSWERED: already stored, only
								 * to be deleted */
	bool		storing;		/* in the transaction in progress */
	bool		unwanted;		/* its row was deleted */
	bool		row_locked;		/* another transaction has locked its row */
	int			blocks;			/* attempts to settle it that were blocked */
	int			errors;			/* errors that it caused when storing */
	int64		tagged_before;	/* images tagged when that first happened */
	int64		blocked_until;
	int64		rest_until;		/* resting after a throttle */
	TimestampTz due;			/* of OSS_VERDICT_LATER */
	bool		refund;			/* OSS_VERDICT_LATER: do not count the attempt */
	OssScope	pause;			/* OSS_VERDICT_LATER: scope to pause, IMAGE
								 * for none */
	int			pause_s;		/* for how long, 0: the default */
	bool		denied;			/* access denied, perhaps only in a directory */
	bool		unsent;			/* not sent, because another request failed */
	int64		budget;			/* the one that is used up and pauses, or 0 */
	int			budget_scope;	/* OSS_BUDGET_OF_... */
	OssReason	reason;
} OssJob;

/* Does a job have an answer that must still be stored? */
static inline bool
oss_job_is_to_store(const OssJob *job)
{
	return job->verdict == OSS_VERDICT_ANSWERED && !job->stored;
}

/* A lane with jobs, and the rank of its first job. */
typedef struct OssLaneHead
{
	OssLaneKey	key;
	const char *server;			/* present name of the server */
	Oid			role;			/* the requester, InvalidOid if it does not
								 * exist */
	int32		rank;
} OssLaneHead;

/* A job that was read but not claimed. */
typedef struct OssSeen
{
	ItemPointerData tid;
	OssPlace	place;
	bool		free;			/* may be claimed if it is due */
	char	   *key;			/* with version_id only if asked for */
	char	   *version_id;
} OssSeen;

/* After so long it is tried whether something can be stored again. */
#define OSS_STORING_PAUSE_SECONDS 120

/* A pause; NULL and InvalidOid mean all. */
typedef struct OssPause
{
	const char *server;
	Oid			requester;
	const char *bucket;
	const char *directory;		/* see oss_in_directory() */
	int			sqlerrcode;
	const char *reason;
	int			seconds;		/* maximal duration */
	bool		storing;		/* nothing can be stored: ends only when
								 * something can */
	int64		budget;			/* that is used up, or 0: ends when it is not */
} OssPause;

/* in lease_holder.c: return this process's number as lease holder */
extern int64 oss_lease_token(void);

/* Compare places; negative if a comes first. */
extern int	oss_place_compare(const OssPlace *a, const OssPlace *b);

/*
 * in job_claim.c: return up to n lanes with jobs as OssLaneHeads, in their
 * order, after a lane or from the first (NULL)
 */
extern List *oss_job_lanes(const OssLaneKey *after, int n);

/*
 * in job_claim.c: return the lanes of the n newest jobs above number *newest,
 * and set that to the highest number
 */
extern List *oss_job_new_lanes(int64 *newest, int n);

/*
 * in job_claim.c: read the next n jobs of a lane after a place, up to rank
 * most_rank.  Unless alone, a job whose object another process requests is
 * not free.  with_names sets key and version_id.  Returns an array of *nseen
 * elements.
 */
extern OssSeen *oss_job_look(const OssLaneKey *lane, const OssPlace *after,
							 int32 most_rank, int n, bool alone,
							 bool with_names, int *nseen);

/*
 * in job_claim.c: claim jobs of oss_job_look() that are not locked and not
 * claimed by others meanwhile.  Returns OssJobs in contexts below parent, in
 * the order of claims, leased with token until leased_until.
 */
extern List *oss_job_claim(const OssLaneKey *lane, const OssSeen *seen, int n,
						   int64 token, TimestampTz leased_until,
						   MemoryContext parent);

/*
 * in job_claim.c: count an attempt of a job that cannot be claimed because of
 * an error, and defer it; after most_attempts it fails.
 */
extern void oss_job_charge(int64 id, int most_attempts, int64 token,
						   const ErrorData *error);

/*
 * Return the jobs that still exist and are leased with token.  Sorts the
 * array.
 */
extern List *oss_job_still_ours(OssJob **jobs, int n, int64 token);

/* Free a job and everything that it owns. */
extern void oss_job_free(OssJob *job);

/* Set a job's reason to a copy. */
extern void oss_job_set_reason(OssJob *job, const OssReason *reason);

/* The same from a failure. */
extern void oss_job_set_failure(OssJob *job, const OssFailure *failure);

/*
 * Delete jobs leased with token, and the failures of images that are answered;
 * sets row_locked of those that another
 * transaction has locked, which remain.  Sorts the array.
 */
extern void oss_job_delete(OssJob **jobs, int n, int64 token);

/* Extend the leases of jobs. */
extern void oss_job_renew(OssJob **jobs, int n, int64 token,
						  TimestampTz leased_until);

/*
 * Move jobs with their reasons to failed_job, except locked ones, in place of
 * earlier failures of the same images.
 */
extern void oss_job_fail(OssJob **jobs, int n, int64 token);

/* Put jobs back into the queue, due at job->due, except locked ones. */
extern void oss_job_put_back(OssJob **jobs, int n, int64 token);

/* Store a reason with leased jobs, for the view queue. */
extern void oss_job_note(OssJob **jobs, int n, int64 token, const char *reason);

/*
 * Free the leases of dead processes, of idle sessions whose process_queue()
 * was cancelled, and of token, whose holder must not have jobs.  Returns
 * their number.
 */
extern uint64 oss_job_release_dead(int64 token);

/* A call corrects at most that many jobs of a lane and priority. */
#define OSS_MOST_MENDED 1000

/*
 * Correct jobs whose times are in the future because a clock was ahead:
 * enqueued more than a minute or due more than a day from now.  Returns their
 * number.
 */
extern uint64 oss_job_mend_times(void);

/*
 * Let the jobs that are put off be due so much earlier: the clock was set back.
 * Those that were enqueued by the clock before count as enqueued now.
 */
extern void oss_job_bring_forward(int64 us);

/*
 * Make the jobs of a server (NULL: of all) due that rest after a throttle.
 * Returns their number.
 */
extern uint64 oss_job_end_rests(const char *server);

/*
 * Delete up to n failed jobs older than that many minutes.  Returns their
 * number.
 */
extern uint64 oss_job_forget_failed(int minutes, int n);

/*
 * Is a key in a directory?  A directory is a prefix that ends with a slash,
 * or a single slash for keys without any.
 */
extern bool oss_in_directory(const char *key, const char *directory);

/* Return the pauses as OssPauses. */
extern List *oss_pause_list(void);

/*
 * Does a pause concern the jobs of a role in a bucket, whatever its directory?
 * Names are present ones.  The view queue has this rule in SQL.
 */
extern bool oss_pause_concerns(const OssPause *pause, const char *server,
							   const char *bucket, Oid role);

/* Insert an automatic pause.  Returns false if it exists. */
extern bool oss_pause_add(const OssPause *pause);

/*
 * Delete automatic pauses that have ended, or whose server or mapping has
 * changed, except those of storing.  Returns their number.
 */
extern uint64 oss_pause_expire(void);

/*
 * Prolong the pauses of storing that have ended, and return their buckets as
 * strings, NULL for the whole database.
 */
extern List *oss_pause_prolong(void);

/* Delete the pauses of storing of a bucket, NULL: of the whole database. */
extern void oss_pause_end(const char *bucket);

#endif							/* OSS_JOB_H */
