/*-------------------------------------------------------------------------
 * dispatch.h
 *	  Dispatching: claim, call, settle.
 *
 * Top floor.  The worker and process_queue() share it; they differ in how they
 * wait and make transactions:
 *
 *		oss_dispatch_network(dispatcher, ms);		-- no transaction
 *		if (oss_dispatch_tables_due(dispatcher) == 0)
 *			begin; SPI_connect; oss_dispatch_tables(dispatcher); SPI_finish; commit;
 *			oss_dispatch_commit(dispatcher);		-- or oss_dispatch_abort(drain)
 *
 * A job in hand is in one of these places: claimed (by a transaction that is
 * still open), ready (in its lane), in flight, finished (its verdict is
 * known), resting (throttled, to be asked for again soon), blocked (another transaction has locked what it is to write),
 * settled (by a transaction that is still open), or it follows one.
 *
 * What only this process needs to know of time is oss_clock_us()'s, which no
 * one sets; what is compared with the tables is the clock's.
 */
#ifndef OSS_DISPATCH_H
#define OSS_DISPATCH_H

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
	int64		turns;			/* claims so far */
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
	bool		halted;			/* there were pauses when last looked for */
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
	double		answer_ms;		/* smoothed */
	double		tables_ms;		/* of the last turn */

	int64		tagged;			/* images, since the start */
	int64		failed;
	char		last_error[256];
} OssDispatcher;

/* Make a dispatcher in a child of parent; budget -1 has no limit. */
extern OssDispatcher *oss_dispatch_create(MemoryContext parent, const char *only_server,
										  int64 budget);

/*
 * Start what may be started, wait up to timeout_ms (-1: no limit) for answers
 * or the latch, and take the answers.  May throw for interrupts.
 */
extern void oss_dispatch_network(OssDispatcher *dispatcher, long timeout_ms);

/* Take answers without waiting, in the middle of oss_dispatch_tables(). */
extern void oss_dispatch_glance(OssDispatcher *dispatcher);

/* For how many ms oss_dispatch_tables() is not wanted; -1: until woken. */
extern long oss_dispatch_tables_due(OssDispatcher *dispatcher);

/*
 * Lock the tables that a turn uses, in its transaction; false when some can't be
 * locked without waiting, or are not there.
 */
extern bool oss_dispatch_lock_tables(void);

/* Settle what is finished and claim as much as can be started soon. */
extern void oss_dispatch_tables(OssDispatcher *dispatcher);

/* The transaction of oss_dispatch_tables() committed, or did not. */
extern void oss_dispatch_commit(OssDispatcher *dispatcher);
extern void oss_dispatch_abort(OssDispatcher *dispatcher);

/* Something was enqueued or changed. */
extern void oss_dispatch_wake(OssDispatcher *dispatcher);

/* Is a job in hand? */
extern bool oss_dispatch_busy(const OssDispatcher *dispatcher);

/* Is a job not in hand for no other reason than that the service wants it later? */
extern bool oss_dispatch_awaits(const OssDispatcher *dispatcher);

/* Are jobs in hand whose answers are paid for, or on their way? */
extern bool oss_dispatch_holds_answers(const OssDispatcher *dispatcher);

/*
 * Stop, in two steps: claim and start nothing more; then, when there was time
 * enough for the answers under way, cancel what is still in flight.  The next
 * oss_dispatch_tables() writes what is given back.
 */
extern void oss_dispatch_stop(OssDispatcher *dispatcher);
extern void oss_dispatch_cancel(OssDispatcher *dispatcher);

/*
 * A third step, when not all could be stored in time: the next
 * oss_dispatch_tables() puts the other answers into the rows of their jobs, where
 * other processes find them.
 */
extern void oss_dispatch_leave_all(OssDispatcher *dispatcher);

/* Set a job's verdict, and its followers', and move it to the finished. */
extern void oss_dispatch_finish(OssDispatcher *dispatcher, OssJob *job, OssVerdict verdict);

/* Put a job back into the queue, due after ms; refund: at no cost. */
extern void oss_dispatch_finish_later(OssDispatcher *dispatcher, OssJob *job, double ms,
									  bool refund);

/* Give a job back that was not begun, due now and at no cost. */
extern void oss_dispatch_give_back(OssDispatcher *dispatcher, OssJob *job);

/* Settings. */
extern int	oss_job_attempts;
extern int	oss_failed_job_retention;

/* in lane.c: find a lane or make it; free lanes that nobody needs. */
extern DispatchLane *oss_dispatch_lane(OssDispatcher *dispatcher, const OssLaneHead *head,
									   bool create);
extern void oss_dispatch_sweep(OssDispatcher *dispatcher);

/* in lane.c: find out what the servers are called now. */
extern void oss_dispatch_follow_servers(OssDispatcher *dispatcher);

/* in lane.c: a job gets ready in its place; it is not ready any more. */
extern void oss_dispatch_make_ready(OssDispatcher *dispatcher, OssJob *job);
extern void oss_dispatch_unready(OssDispatcher *dispatcher, OssJob *job);

/*
 * in lane.c: the job to be started next, NULL: none may be, for *ms as
 * far as time tells.
 */
extern OssJob *oss_dispatch_next_ready(DispatchServer *server, int64 now, long *ms);

/* in lane.c: how many jobs a lane may claim now, or when it may. */
extern int	oss_dispatch_room(const OssDispatcher *dispatcher, DispatchLane *lane, int64 now);
extern int64 oss_dispatch_open_at(DispatchLane *lane, int64 now);

/* in lane.c: give back what is ready beyond what the rates let start. */
extern void oss_dispatch_shrink(OssDispatcher *dispatcher);

/* in lane.c: count an answer; note that a bucket gave any. */
extern void oss_dispatch_count_answer(DispatchBucket *bucket, int64 now);
extern void oss_dispatch_hear(DispatchBucket *bucket, int64 now);

/* in lane.c: something after a place is due at a time. */
extern void oss_dispatch_look_again(DispatchLane *lane, const OssPlace *place,
									TimestampTz at);

/* in lane.c: is one of the pauses that of a lane, or of a role in it? */
extern bool oss_dispatch_is_paused(List *pauses, const DispatchLane *lane, Oid role);

/* in lane.c: free a job. */
extern void oss_dispatch_free_job(OssJob *job);

/* in object.c: hash of a job's object; take a job out of their table. */
extern uint32 oss_dispatch_object_hash(const OssJob *job);
extern void oss_dispatch_forget(OssDispatcher *dispatcher, OssJob *job);

/* in object.c: has what was seen a leader that has all its followers? */
extern bool oss_dispatch_is_crowded(const OssDispatcher *dispatcher, const DispatchLane *lane,
									const OssSeen *seen);

/* in object.c: hand out what was claimed. */
extern void oss_dispatch_hand_out(OssDispatcher *dispatcher);

/* in object.c: drop ready jobs whose rows are gone, give back paused ones. */
extern void oss_dispatch_check_ready(OssDispatcher *dispatcher);
extern void oss_dispatch_obey_pauses(OssDispatcher *dispatcher);

/* in claim.c: claim. */
extern void oss_dispatch_claim(OssDispatcher *dispatcher);

/*
 * Find the server and mapping of a job's requester.  Returns the error, of which
 * job->usable says whether it is for want of USAGE, or NULL.
 */
extern ErrorData *oss_dispatch_resolve(OssJob *job);

/*
 * in claim_lane.c: claim up to n jobs of a lane, of a rank up to
 * most_rank.  Returns how many were looked at, and in *nclaimed how many are to
 * be asked for.
 */
extern int	oss_dispatch_claim_lane(OssDispatcher *dispatcher, DispatchLane *lane, int n,
									int32 most_rank, bool alone, int *nclaimed);

/* in throttle.c: take a throttle; learn from each answer what they are
 * about. */
extern void oss_dispatch_take_throttle(OssDispatcher *dispatcher, OssJob *job,
									   const OssFailure *failure);
extern void oss_dispatch_learn_of_throttles(OssJob *job);

/*
 * in throttle.c: make ready what has rested, returning ms to the next (-1:
 * none); let one job rest no more.
 */
extern long oss_dispatch_end_rests(OssDispatcher *dispatcher);
extern void oss_dispatch_end_rest(OssDispatcher *dispatcher, OssJob *job);

/*
 * in blocked.c: leave a job to other processes, due after ms, with its
 * answer if it has one.  With a message it has lost an attempt.
 */
extern void oss_dispatch_leave(OssDispatcher *dispatcher, OssJob *job, double ms,
							   const char *message);

/*
 * in blocked.c: set aside a job that can't be stored now; take back those
 * whose time has come; say what is set aside.
 */
extern void oss_dispatch_set_aside(OssDispatcher *dispatcher, OssJob *job);
extern void oss_dispatch_bring_back(OssDispatcher *dispatcher, int64 now);
extern void oss_dispatch_see_to_blocked(OssDispatcher *dispatcher);

/* in settle.c: settle what is finished. */
extern void oss_dispatch_settle(OssDispatcher *dispatcher);

/*
 * in pause.c: the level at which to tell of a job: what a session drains of
 * others is not for its user.
 */
extern int	oss_dispatch_log_level(Oid requester);

/* in pause.c: pause what a job's failure says is not set up, and tell. */
extern void oss_dispatch_pause(OssJob *job);

#endif							/* OSS_DISPATCH_H */
