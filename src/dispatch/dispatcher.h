/*-------------------------------------------------------------------------
 * dispatcher.h
 *	  Dispatching: claim, call, settle.
 *
 * The worker and process_queue() differ in how they wait and in how they make
 * transactions:
 *
 *		oss_dispatch_network(dispatcher, ms);		-- no transaction
 *		if (oss_dispatch_tables_due(dispatcher) == 0)
 *			begin; oss_dispatch_tables(dispatcher); commit;
 *			oss_dispatch_commit(dispatcher);		-- or oss_dispatch_abort(dispatcher)
 *
 * A job in hand is in one of these places: claimed (by the open transaction),
 * ready (in its lane), in flight, finished (its verdict is known), resting
 * (throttled, to be asked for again soon), blocked (another transaction has
 * locked what is to be written), settled (by the open transaction), or it follows
 * one of those.  check_dispatcher() in turn.c asserts that.
 *
 * int64 times are those of oss_clock_us(), which nobody can set.  Times that are
 * compared with the tables are TimestampTz.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCHER_H
#define OSS_DISPATCHER_H

#include "client/request.h"
#include "datatype/timestamp.h"
#include "queue/job.h"
#include "sync/sync.h"

/*
 * How long a lease lasts.  It is renewed while the job is in hand, and freed when
 * its process has ended, so that it matters only if a process hangs or the machine
 * is lost.
 */
#define OSS_LEASE_MS 300000

/* Followers that a job has at most. */
#define OSS_MOST_FOLLOWERS 1000

/*
 * Limit of blocked answers in hand.  When it is reached, no lane may have more than
 * LEAST_BLOCKED.
 */
#define OSS_MOST_BLOCKED 6000
#define LEAST_BLOCKED 16

/* How long to look for locks before writing, after a wait for one. */
#define OSS_DISPATCH_PROBE_US (10 * USECS_PER_SEC)

/* Answers a second, counted by windows of time. */
typedef struct AnswerRate
{
	int64		window_at;
	int			answers;
	double		last_rate;		/* of the window before */
} AnswerRate;

/* A foreign server, as this process knows it. */
typedef struct DispatchServer
{
	Oid			serverid;		/* InvalidOid: there is none of the name */
	char	   *name;			/* at present */
	dlist_head	lanes;			/* those with ready jobs, least recently
								 * served first */
	int			nready;
	int			nclaimed;		/* become ready when the transaction commits */
	int			in_flight;
	int			max_concurrency;	/* of the last job's target */
	OssServer  *target;			/* the last job's, pinned; for the rates */
	uint32		resumed;		/* resumes that were applied */
	bool		pausing;		/* a finished job's pause is to be written:
								 * start nothing */
	AnswerRate	rate;
} DispatchServer;

/* A bucket of a server: what its rates and its endpoint allow. */
typedef struct DispatchBucket
{
	DispatchServer *server;
	char	   *name;
	char	   *name_utf8;		/* as requests have it, NULL before the first */
	int			nlanes;
	int			nready;
	int			nclaimed;
	int			nresting;
	int			in_flight;

	/* what may start */
	int			allowance;		/* requests that the rates allow within a
								 * second */
	int64		allowance_at;	/* when it was computed */
	int64		open_at;		/* start nothing before */

	/* whether the endpoint answers */
	AnswerRate	rate;
	int64		answered_at;	/* time of the last answer */
	int			answers_in_row; /* since it last gave none for a while */
	int			failures_in_row;	/* jobs whose first request had a
									 * transient failure */
	int			unreached;		/* times in a row that no connection was made,
								 * or the service failed */
	int64		unreached_until;

	/* what its throttles are about; shares are moving averages */
	double		answered;		/* share of requests that were not throttled */
	double		retry_answered; /* the same of those of throttled jobs */
	int			throttles_in_row;
	bool		per_object;		/* single objects are throttled, not the
								 * bucket's rate */
	int64		logged_at;		/* when throttles were last logged */
} DispatchBucket;

/* A role that has lanes. */
typedef struct DispatchRequester
{
	Oid			requester;
	int			nlanes;
	int64		last_claim;		/* number of its last claim */
} DispatchRequester;

/* What can be claimed of a lane. */
typedef enum DispatchLaneState
{
	LANE_OPEN,					/* there may be jobs after place */
	LANE_READ_TO_END,			/* there are none after place */
	LANE_EMPTY,					/* the table has none */
	LANE_PAUSED					/* they must not be claimed; place is void */
} DispatchLaneState;

/*
 * The jobs of one server, bucket, requester and origin.  Claiming continues after
 * place.  Jobs before place that were skipped, because they are not due or
 * locked, lie after skipped.
 */
typedef struct DispatchLane
{
	dlist_node	node;			/* in its server's lanes, while any is ready */
	DispatchBucket *bucket;
	char	   *server;			/* as in job, these four */
	Oid			server_id;
	Oid			requester;
	int64		origin;
	Oid			role;			/* the requester in this cluster */
	DispatchRequester *owner;	/* the same as requester */
	int64		round;			/* the last round of lists that had it */
	dlist_head	ready;			/* in the order of claiming */
	int			nready;
	int			in_flight;
	int			njobs;			/* in hand, wherever they are */
	int			nblocked;		/* of them */

	DispatchLaneState state;
	OssPlace	place;
	int32		next_rank;		/* of the next job, or less */
	OssPlace	skipped;
	TimestampTz skipped_due;	/* of the first skipped job, 0: none */
	List	   *paused_directories; /* valid within a turn */
	int			npaused_directories;	/* in the last turn */
	int64		last_claim;		/* its number */
} DispatchLane;

#define DISPATCH_HASH 4096

/* Jobs in hand, by where they are. */
typedef struct DispatchHand
{
	OssJob	   *objects[DISPATCH_HASH]; /* leaders by object */
	int			ncrowded;		/* leaders with OSS_MOST_FOLLOWERS */
	dlist_head	claimed;
	dlist_head	resting;
	dlist_head	finished;
	dlist_head	blocked;
	dlist_head	settled;
	int			nready;			/* in all lanes */
	int			nresting;
	int			nfinished;
	int			nblocked;
	int64		finished_since; /* of the first finished one */
	int64		newest_start;	/* of a request whose job has finished */
} DispatchHand;

/* Servers, buckets and lanes with jobs. */
typedef struct DispatchQueue
{
	List	   *servers;
	List	   *buckets;
	List	   *lanes;
	List	   *requesters;
	DispatchLane *spool_lane;	/* of answers that have no row, or NULL */
	int64		newest;			/* number of the last new job whose lane was
								 * looked up */
	int64		round;			/* of lists; one goes through all lanes */
	OssLaneKey *listed;			/* last lane of the current round, NULL: it is
								 * complete */
} DispatchQueue;

/* When to claim, and from where. */
typedef struct DispatchClaims
{
	int64		budget;			/* jobs that may still be claimed */
	int64		nclaims;		/* so far */
	int			waits;			/* for locks, in this turn */
	bool		woken;			/* there may be new jobs */
	bool		unlisted;		/* they may be in a lane that is not known */
	bool		behind;			/* a new job may lie before its lane's place,
								 * as its transaction took longer than others */
	TimestampTz next_due;		/* of the first job that may not start yet, 0:
								 * there are none */
	TimestampTz put_off_at;		/* due time of the job put off last */
	int64		clock_offset;	/* of the clock to oss_clock_us(), 0: unknown */
	int64		clock_now;		/* the same, in the open transaction */
	int64		scan_at;		/* read all lanes from the beginning */
	int64		rescan_at;		/* the same while behind and idle */
	int64		lanes_at;		/* list lanes not before */
	int64		retry_at;		/* look at the lanes again, 0: when woken */
	int64		yield_until;	/* another process claims */
} DispatchClaims;

/* When to settle, and obstacles. */
typedef struct DispatchSettling
{
	int			batch;			/* this many are settled without delay */
	int			troubles;		/* turns in a row that could store nothing */
	int64		retry_at;		/* not before, after trouble */
	int64		blocked_due;	/* next try of the blocked ones */
	int64		probe_until;	/* look for locks before writing */
	int64		logged_at;		/* when blocked answers were last logged */
} DispatchSettling;

/* What else a turn does in the tables, and when. */
typedef struct DispatchUpkeep
{
	bool		pauses_added;	/* return ready jobs that they concern */
	bool		pauses_exist;	/* when last looked for */
	bool		obeyed_resume;	/* in the open transaction */
	int64		check_at;		/* check whether ready jobs are still wanted */
	int64		checked_at;
	int64		renew_at;		/* renew leases */
	int64		tidy_at;		/* end pauses, delete old failed jobs */
	int64		mend_at;		/* look for jobs from the future */
	int64		release_at;		/* look for leases of processes that are gone */
} DispatchUpkeep;

/* The requests. */
typedef struct DispatchNetwork
{
	OssGroup   *group;
	int			in_flight;
	double		answer_ms;		/* how long one takes, a moving average */
	int64		throttled_until;	/* a throttled job will have come back */
} DispatchNetwork;

/* A dispatcher only goes down this list. */
typedef enum DispatchState
{
	DISPATCH_RUNNING,
	DISPATCH_STOPPING,			/* claims and starts nothing more */
	DISPATCH_LEAVING			/* and hands its answers over to others */
} DispatchState;

typedef struct OssDispatcher
{
	MemoryContext context;
	MemoryContext turn_context; /* reset by each turn */
	int64		token;			/* of its leases */
	const char *only_server;	/* NULL: all */
	bool		keeps_answers;	/* if they cannot be stored, else raises */
	DispatchState state;

	DispatchHand hand;
	DispatchQueue queue;
	DispatchClaims claim;
	DispatchSettling settle;
	DispatchUpkeep upkeep;
	DispatchNetwork network;

	OssSyncs   *syncs;			/* buckets that are kept in step */
	int64		settled;		/* jobs, since the start */

	int64		turned_at;		/* end of the last turn */
	double		tables_ms;		/* how long it took */
	int64		tagged;			/* images, since the start */
	int64		failed;
	char		last_error[256];
} OssDispatcher;

#endif							/* OSS_DISPATCHER_H */
