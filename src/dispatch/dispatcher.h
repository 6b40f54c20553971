/*-------------------------------------------------------------------------
 * dispatcher.h
 *	  Dispatching: claim, call, settle.
 *
 * Top floor.  The worker and process_queue() share it; they differ in how they
 * wait and make transactions:
 *
 *		oss_dispatch_network(dispatcher, ms);		-- no transaction
 *		if (oss_dispatch_tables_due(dispatcher) == 0)
 *			begin; oss_dispatch_tables(dispatcher); commit;
 *			oss_dispatch_commit(dispatcher);		-- or oss_dispatch_abort(dispatcher)
 *
 * A job in hand is in one of these places: claimed (by a transaction that is
 * still open), ready (in its lane), in flight, finished (its verdict is
 * known), resting (throttled, to be asked for again soon), blocked (another
 * transaction has locked what it is to write), settled (by a transaction that is
 * still open), or it follows one.
 *
 * What only this process needs to know of time is oss_clock_us()'s, which no
 * one sets; what is compared with the tables is the clock's.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DISPATCHER_H
#define OSS_DISPATCHER_H

#include "postgres.h"

#include "client/request.h"
#include "datatype/timestamp.h"
#include "queue/job.h"

/*
 * How long a lease lasts.  It is renewed while the job is in hand, and freed
 * when the process is seen to be gone, so that it only matters when a process
 * hangs or the whole machine is lost.
 */
#define OSS_LEASE_MS 300000

/* Jobs of one object that wait for one answer, at most. */
#define OSS_MOST_FOLLOWERS 1000

/*
 * Answers in hand that others keep from being stored: with that many, no lane
 * has more than LEAST_BLOCKED.
 */
#define OSS_MOST_BLOCKED 6000
#define LEAST_BLOCKED 16

/* For so long after a wait for a lock we look before we write. */
#define OSS_DISPATCH_PROBE_US (10 * USECS_PER_SEC)

/* Answers, counted by windows. */
typedef struct DrainRate
{
	int64		window_at;
	int			answers;
	double		last_rate;		/* answers a second in the window before */
} DrainRate;

/* A server of the queue as this process drains it. */
typedef struct DispatchServer
{
	Oid			serverid;		/* InvalidOid: there is none of the name */
	char	   *name;			/* at present */
	dlist_head	lanes;			/* those with ready jobs, least recently
								 * served first */
	int			nready;
	int			nclaimed;		/* that get ready by the open transaction */
	int			in_flight;
	int			max_concurrency;	/* of the last job's target */
	OssServer  *target;			/* the last job's, pinned; for the rates */
	uint32		resumed;		/* resumes that we obeyed */
	bool		pausing;		/* a finished job's pause is to be written:
								 * start nothing */
	DrainRate	rate;
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

	int			allowance;		/* what the rates let start within a second */
	int64		allowance_at;	/* when they were asked */
	int64		open_at;		/* nothing may start before */

	DrainRate	rate;
	int64		heard_at;		/* its last answer */
	int			heard;			/* answers since it was silent for a while */

	int			fruitless;		/* jobs in a row whose first request failed
								 * for the moment */
	int			unreached;		/* times in a row that it wasn't reached, or
								 * wasn't well */
	int64		unreached_until;

	double		answered;		/* share of the last requests that were not
								 * throttled */
	int			barren;			/* throttles since the last answer */
	double		relenting;		/* share of those throttled before that were
								 * answered when asked for again */
	bool		objects;		/* it throttles some objects, not its rate */
	int64		logged_at;		/* that it is throttled */
} DispatchBucket;

/* A role that has lanes. */
typedef struct DispatchRequester
{
	Oid			requester;
	int			nlanes;
	int64		turn;			/* of its last claim */
} DispatchRequester;

/*
 * The jobs of one server, bucket and requester, who take turns.  Claiming goes
 * on after place.  What was passed over and is due later lies after again.
 */
typedef struct DispatchLane
{
	dlist_node	node;			/* in its server's lanes, while any is ready */
	DispatchBucket *bucket;
	char	   *server;			/* as in job, these four */
	Oid			server_id;
	Oid			requester;
	int64		origin;
	Oid			role;			/* who that is here */
	DispatchRequester *owner;	/* the same as requester */
	int64		round;			/* the last round of lists that had it */
	dlist_head	ready;			/* in the order of claiming */
	int			nready;
	int			in_flight;
	int			njobs;			/* in hand, wherever they are */
	int			nblocked;		/* of them */

	OssPlace	place;
	int32		head;			/* rank of what comes next, or less */
	OssPlace	again;
	TimestampTz again_at;		/* 0: nothing was passed over */
	bool		drained;		/* nothing is there after place */
	bool		empty;			/* nothing is there at all */
	bool		paused;
	List	   *closed;			/* directories that are paused, within a turn */
	int			nclosed;		/* as many were so in the last turn */
	int64		turn;			/* of the last claim */
} DispatchLane;

#define DISPATCH_HASH 4096

typedef struct OssDispatcher
{
	MemoryContext context;
	MemoryContext turn;			/* reset by each turn */
	OssGroup   *group;
	int64		token;
	const char *only_server;	/* NULL: all */
	int64		budget;			/* jobs still to be claimed */
	bool		patient;		/* keep answers while they can't be stored */
	bool		stopping;		/* claim nothing more */
	bool		leaving;		/* and store nothing more */

	List	   *servers;
	List	   *buckets;
	List	   *lanes;
	List	   *requesters;
	int64		turns;			/* claims so far */
	int64		round;			/* of lists, each of all lanes */
	int64		newest;			/* job that was looked at for its lane */
	OssLaneKey *listed;			/* lanes were listed up to here, NULL: to the
								 * end */
	OssJob	   *objects[DISPATCH_HASH]; /* leaders by object */
	int			nfull;			/* leaders with as many followers as may be */
	dlist_head	resting;
	dlist_head	finished;
	dlist_head	blocked;
	dlist_head	settled;
	dlist_head	claimed;
	int			nresting;
	int			nfinished;
	int			nblocked;
	int			batch;			/* as many are settled without delay */
	int			in_flight;
	int			nready;

	bool		woken;			/* look for new jobs */
	bool		unseen;			/* they may be in a lane that is not known */
	bool		late;			/* a new job may lie before the place that a
								 * lane was read to, as its transaction took
								 * longer than others */
	bool		obey;			/* pauses were added */
	bool		obeyed_resume;	/* by the open transaction */
	bool		paused;			/* there were pauses when last looked for */
	TimestampTz newest_start;	/* of a request whose job has finished */
	TimestampTz next_due;		/* when the first of the jobs that may not
								 * start yet may, 0: there are none */
	int64		clock_offset;	/* of the clock to oss_clock_us() */
	int64		finished_since; /* of the first finished one */
	int64		blocked_due;	/* next try of the blocked ones */
	TimestampTz put_off_at;		/* the last job that was put off is due then */
	int64		probe_until;	/* look for locks before writing */
	int64		scan_at;		/* next look from the beginning */
	int64		rescan_at;		/* the soonest, if late and idle */
	int64		lanes_at;		/* the soonest next look for lanes */
	int64		claim_at;		/* look at the lanes again, 0: when woken */
	int64		yield_until;	/* another process claims */
	int64		check_at;		/* look whether ready jobs are still wanted */
	int64		checked_at;
	int64		renew_at;
	int64		tidy_at;
	int64		mend_at;		/* next look for jobs from the future */
	int64		release_at;		/* next look for leases of the dead */
	int64		settle_at;		/* not before, after trouble */
	int64		turned_at;		/* end of the last turn */
	int64		block_logged_at;
	int64		throttled_until;	/* a throttled job is due then */
	int			settle_troubles;
	int			claim_waits;	/* for locks, by this turn's claims */
	double		answer_ms;		/* smoothed */
	double		tables_ms;		/* of the last turn */

	int64		tagged;			/* images, since the start */
	int64		failed;
	char		last_error[256];
} OssDispatcher;

#endif							/* OSS_DISPATCHER_H */
