/*-------------------------------------------------------------------------
 * drain.h
 *	  Draining the queue: claim, call, settle.
 *
 * Top floor.  The worker and process_queue() share it; they differ in how they
 * wait and make transactions:
 *
 *		oss_drain_network(drain, ms);		-- no transaction
 *		if (oss_drain_tables_due(drain) == 0)
 *			begin; SPI_connect; oss_drain_tables(drain); SPI_finish; commit;
 *			oss_drain_commit(drain);		-- or oss_drain_abort(drain)
 *
 * A job in hand is in one of these places: claimed (by a transaction that is
 * still open), ready (on its server), in flight, finished (its verdict is
 * known), settled (by a transaction that is still open), or it follows one.
 */
#ifndef OSS_DRAIN_H
#define OSS_DRAIN_H

#include "postgres.h"

#include "client/request.h"
#include "datatype/timestamp.h"
#include "sql/job.h"

/*
 * How long a lease lasts.  It is renewed while the job is in hand, and freed
 * when the process is seen to be gone, so that it only matters when a process
 * hangs or the whole machine is lost.
 */
#define LEASE_MS 300000

/* A server of the queue as this process drains it. */
typedef struct DrainServer
{
	char	   *name;
	dlist_head	ready;
	int			nready;
	int			in_flight;
	int			max_concurrency;	/* of the last job's target */
	int			reserve;		/* ready jobs wanted besides those in flight */
	bool		starved;		/* ready ran empty since the last claim */
	OssServer  *target;			/* the last job's, pinned; for the rates */
	TimestampTz held_until;		/* the endpoint can't be reached */
	int			held;			/* times in a row */
	bool		pausing;		/* a finished job's pause is to be written:
								 * start nothing */
} DrainServer;

#define DRAIN_HASH 4096

typedef struct OssDrain
{
	MemoryContext context;
	MemoryContext turn;			/* reset by each turn */
	OssGroup   *group;
	int64		token;
	const char *only_server;	/* NULL: all */
	int64		budget;			/* jobs still to be claimed */
	bool		patient;		/* keep answers while they can't be stored */
	bool		stopping;		/* claim nothing more */

	List	   *servers;
	List	   *lanes;
	OssJob	   *objects[DRAIN_HASH];	/* leaders by object */
	dlist_head	finished;
	dlist_head	settled;
	dlist_head	claimed;
	int			nfinished;
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
	TimestampTz finished_since; /* of the first finished one */
	TimestampTz newest_start;	/* of a request whose job has finished */
	TimestampTz scan_at;		/* next look from the beginning */
	TimestampTz rescan_at;		/* the soonest, if late and idle */
	TimestampTz lanes_at;		/* the soonest next look for lanes */
	TimestampTz renew_at;
	TimestampTz tidy_at;
	TimestampTz mend_at;		/* next look for jobs from the future */
	TimestampTz release_at;		/* next look for leases of the dead */
	TimestampTz settle_at;		/* not before, after trouble or a lock */
	TimestampTz turned_at;		/* end of the last turn */
	int			settle_troubles;
	TimestampTz next_due;		/* of the jobs that were not due, 0: none */
	double		answer_ms;		/* smoothed */
	double		tables_ms;		/* of the last turn */

	int64		tagged;			/* images, since the start */
	int64		failed;
	char		last_error[256];
} OssDrain;

/* Make a drain in a child of parent; budget -1 has no limit. */
extern OssDrain *oss_drain_create(MemoryContext parent, const char *only_server,
								  int64 budget);

/*
 * Start what may be started, wait up to timeout_ms (-1: no limit) for answers
 * or the latch, and take the answers.  May throw for interrupts.
 */
extern void oss_drain_network(OssDrain *drain, long timeout_ms);

/* Take answers without waiting, in the middle of oss_drain_tables(). */
extern void oss_drain_glance(OssDrain *drain);

/* For how many ms oss_drain_tables() is not wanted; -1: until woken. */
extern long oss_drain_tables_due(OssDrain *drain);

/* Settle what is finished and claim as much as can be started soon. */
extern void oss_drain_tables(OssDrain *drain);

/* The transaction of oss_drain_tables() committed, or did not. */
extern void oss_drain_commit(OssDrain *drain);
extern void oss_drain_abort(OssDrain *drain);

/* Something was enqueued or changed. */
extern void oss_drain_wake(OssDrain *drain);

/* Is a job in hand? */
extern bool oss_drain_busy(const OssDrain *drain);

/*
 * Stop, in two steps: claim and start nothing more; then, when there was time
 * enough for the answers under way, cancel what is still in flight.  The next
 * oss_drain_tables() writes what is given back.
 */
extern void oss_drain_stop(OssDrain *drain);
extern void oss_drain_cancel(OssDrain *drain);

/* Set a job's verdict, and its followers', and move it to the finished. */
extern void oss_drain_finish(OssDrain *drain, OssJob *job, OssVerdict verdict);

/* Settings. */
extern int	oss_job_attempts;
extern int	oss_failed_job_retention;

/* in drain_claim.c: find or make a server; the jobs that it wants now. */
extern DrainServer *oss_drain_server(OssDrain *drain, const char *name);
extern int	oss_drain_wanted(const DrainServer *server, TimestampTz now);

/* in drain_claim.c: take a job out of the table of objects. */
extern void oss_drain_forget(OssDrain *drain, OssJob *job);

/* in drain_claim.c: claim; hand out what was claimed, or drop it. */
extern void oss_drain_claim(OssDrain *drain);
extern void oss_drain_hand_out(OssDrain *drain);

/* in drain_claim.c: give back what is ready and paused. */
extern void oss_drain_obey_pauses(OssDrain *drain);

/* in drain_pause.c: pause what a job's failure says is not set up, and tell. */
extern void oss_drain_pause(OssJob *job);

#endif							/* OSS_DRAIN_H */
