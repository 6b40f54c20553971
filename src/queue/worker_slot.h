/*-------------------------------------------------------------------------
 * worker_slot.h
 *	  What launcher, workers and backends tell each other: one slot per
 *	  database in shared memory, and the wake-up at commit.
 *
 * Top floor.  Without shared_preload_libraries there is no shared memory: those
 * that need no lock then do nothing.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WORKER_SLOT_H
#define OSS_WORKER_SLOT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

/*
 * Slots.  There may be any number of databases: those in which nothing is to be
 * done now give up their slot to those in which something is.
 */
#define OSS_MAX_SLOTS 128

/* Servers of a database share that many counts of what was resumed. */
#define OSS_RESUME_COUNTS 32

typedef enum OssSlotState
{
	OSS_SLOT_UNKNOWN,			/* nobody has looked into the database yet */
	OSS_SLOT_STARTING,			/* a worker is registered */
	OSS_SLOT_RUNNING,			/* it works */
	OSS_SLOT_IDLE,				/* nothing to do until start_at */
	OSS_SLOT_ABSENT,			/* the database has no oss_labels */
	OSS_SLOT_DISABLED,			/* oss_labels.worker is off there */
	OSS_SLOT_MISMATCH,			/* library and extension differ in version */
	OSS_SLOT_FAILED,			/* the worker failed; again at start_at */
	OSS_SLOT_COPY,				/* as idle, of a copy whose jobs nobody has
								 * accepted */
	OSS_SLOT_NO_PROCESS,		/* max_worker_processes is exhausted */
	OSS_SLOT_CAPPED				/* oss_labels.max_workers are running */
} OssSlotState;

/*
 * One database.  Everything but wake and recheck is protected by the lock;
 * latch is the worker's procLatch (it points into shared memory) while pid is
 * not 0.
 */
typedef struct OssSlot
{
	Oid			dbid;			/* InvalidOid: free */
	OssSlotState state;
	int			ddl_holds;		/* DDL that wants no worker here */
	int			failures;		/* in a row */
	pid_t		pid;
	Latch	   *latch;
	TimestampTz since;			/* of the state */
	TimestampTz start_at;		/* next start, unless woken */
	bool		pending;		/* jobs were left that are due later */
	pg_atomic_uint32 wake;		/* something was enqueued */
	pg_atomic_uint32 recheck;	/* oss_labels.worker was set */
	int			foreground;		/* sessions in process_queue() */

	/* how often servers were resumed or altered, and what of it is obeyed */
	uint32		resumed[OSS_RESUME_COUNTS];
	uint32		obeyed[OSS_RESUME_COUNTS];
	char		last_error[256];
} OssSlot;

typedef struct OssWorkerShmem
{
	LWLock	   *lock;
	pid_t		launcher_pid;
	Latch	   *launcher_latch;
	TimestampTz launcher_since;
	bool		new_databases;	/* the launcher is to list them again */
	bool		wake_lost;		/* one without a slot was woken */
	pg_atomic_uint32 waiting;	/* slots that have long waited for a process */
	OssSlot		slots[OSS_MAX_SLOTS];
} OssWorkerShmem;

/* The shared memory, or NULL when the library was not preloaded. */
extern OssWorkerShmem *oss_worker_shmem;

/* Reserve shared memory and register the callbacks; from _PG_init. */
extern void oss_worker_shmem_init(void);

/* Find the slot of a database; the lock must be held.  NULL: none. */
extern OssSlot *oss_slot_find(Oid dbid);

/*
 * Find or make the slot of a database; the lock must be held exclusively.  NULL
 * when there is something to do in all that have one.
 */
extern OssSlot *oss_slot_make(Oid dbid);

/* Set a slot's state and the time since; the lock must be held exclusively. */
extern void oss_slot_set_state(OssSlot *slot, OssSlotState state);

/* Wake the worker of this database, or have it started, at commit. */
extern void oss_wake_at_commit(void);

/*
 * End the holds and learned rates of a server (InvalidOid: of all in this
 * database) at commit, and wake the worker then.
 */
extern void oss_resume_at_commit(Oid serverid);

/*
 * Return how often a server of this database was resumed or altered, others now
 * and then counted along, and how much of that oss_resume_obeyed() was told.
 */
extern uint32 oss_resume_count(Oid serverid, uint32 *obeyed);
extern void oss_resume_obeyed(Oid serverid, uint32 count);

/* Have the launcher list the databases again, at commit. */
extern void oss_list_databases_at_commit(void);

/* Have the workers look at oss_labels.worker again, at commit. */
extern void oss_recheck_at_commit(void);

/* The same now, for what was set in the configuration file; lock held. */
extern void oss_slots_recheck(void);

/* Has this transaction enqueued something? */
extern bool oss_wake_pending(void);

/*
 * Count this session among those that drain this database's queue beside the
 * worker, or no more.  Does nothing without shared memory.
 */
extern void oss_foreground_count(int change);

/*
 * Does anybody but the worker drain this database's queue?  True without shared
 * memory, where nobody can tell.
 */
extern bool oss_foreground_any(void);

/* Wake the launcher now. */
extern void oss_wake_launcher(void);

/* Say once per session that no worker will come, when that is so. */
extern void oss_notice_no_worker(void);

/* Name of a state, for the view. */
extern const char *oss_slot_state_name(OssSlotState state);

#endif							/* OSS_WORKER_SLOT_H */
