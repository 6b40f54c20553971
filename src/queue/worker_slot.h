/*-------------------------------------------------------------------------
 * worker_slot.h
 *	  Communication between launcher, workers and backends: a slot per database
 *	  in shared memory, and wake-ups at commit.
 *
 * Without shared_preload_libraries there is no shared memory; functions that
 * do not require the lock then do nothing.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WORKER_SLOT_H
#define OSS_WORKER_SLOT_H

#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

/*
 * Number of slots.  If there are more databases, those without work give up
 * their slots.
 */
#define OSS_MAX_SLOTS 128

/* Counters of resumes per database, which its servers share by hash. */
#define OSS_RESUME_COUNTS 32

typedef enum OssSlotState
{
	OSS_SLOT_UNKNOWN,			/* the database has not been checked yet */
	OSS_SLOT_STARTING,			/* a worker is registered */
	OSS_SLOT_RUNNING,			/* the worker runs */
	OSS_SLOT_IDLE,				/* no work until start_at */
	OSS_SLOT_ABSENT,			/* the extension is not installed */
	OSS_SLOT_DISABLED,			/* oss_labels.worker is off */
	OSS_SLOT_MISMATCH,			/* versions of library and extension differ */
	OSS_SLOT_FAILED,			/* the worker failed; restart at start_at */
	OSS_SLOT_COPY,				/* as IDLE, in a copy whose jobs were not
								 * accepted */
	OSS_SLOT_NO_PROCESS,		/* max_worker_processes is exhausted */
	OSS_SLOT_CAPPED				/* the limit oss_labels.max_workers is reached */
} OssSlotState;

/*
 * A database.  The lock protects all fields but the atomic ones.  latch is
 * the worker's procLatch, in shared memory, while pid is not 0.
 */
typedef struct OssSlot
{
	Oid			dbid;			/* InvalidOid: free */
	OssSlotState state;
	int			ddl_holds;		/* DDL commands that exclude a worker */
	int			failures;		/* in a row */
	pid_t		pid;
	Latch	   *latch;
	TimestampTz since;			/* when state was set */
	int64		since_us;		/* the same by oss_clock_us() */
	int64		start_at;		/* next start unless woken, by oss_clock_us() */
	bool		pending;		/* there are jobs that are due later */
	int64		clock_offset;	/* OssDispatcher's, for the next worker */
	pg_atomic_uint32 wake;		/* jobs were enqueued */
	pg_atomic_uint32 recheck;	/* oss_labels.worker was changed */
	pg_atomic_uint32 spooled;	/* answers are to be stored */
	pg_atomic_uint32 counted;	/* accounts are to be written */
	int			foreground;		/* sessions in process_queue() */

	/* resumes and ALTERs of servers, and how many of them were processed */
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
	bool		new_databases;	/* the launcher must list databases again */
	bool		wake_lost;		/* a database without a slot was woken */
	pg_atomic_uint32 waiting;	/* slots that have waited long for a process */
	OssSlot		slots[OSS_MAX_SLOTS];
} OssWorkerShmem;

/* The shared memory, or NULL if the library was not preloaded. */
extern OssWorkerShmem *oss_worker_shmem;

/* For _PG_init(): reserve shared memory and register the callbacks. */
extern void oss_worker_shmem_init(void);

/*
 * Return the slot of a database, NULL if it has none.  The lock must be held.
 */
extern OssSlot *oss_slot_find(Oid dbid);

/*
 * Return the slot of a database, assigning one if necessary; NULL if all
 * slots are needed.  The lock must be held exclusively.
 */
extern OssSlot *oss_slot_make(Oid dbid);

/* Set a slot's state and since.  The lock must be held exclusively. */
extern void oss_slot_set_state(OssSlot *slot, OssSlotState state);

/* At commit, wake the worker of this database or have it started. */
extern void oss_wake_at_commit(void);

/*
 * At commit, end holds and rates found by throttles of a server (InvalidOid:
 * of all of this database), and wake the worker.
 */
extern void oss_resume_at_commit(Oid serverid);

/*
 * Return the count of a server's resumes and ALTERs (collisions may add those
 * of other servers), and in *obeyed the count last passed to
 * oss_resume_obeyed().
 */
extern uint32 oss_resume_count(Oid serverid, uint32 *obeyed);
extern void oss_resume_obeyed(Oid serverid, uint32 count);

/* At commit, have the launcher list the databases again. */
extern void oss_list_databases_at_commit(void);

/* At commit, have the workers read oss_labels.worker again. */
extern void oss_recheck_at_commit(void);

/*
 * The same now, after a change of the configuration file.  The lock must be
 * held.
 */
extern void oss_slots_recheck(void);

/* Has this transaction enqueued jobs? */
extern bool oss_wake_pending(void);

/* Count this session as one in process_queue() (1), or no longer (-1). */
extern void oss_foreground_count(int change);

/*
 * Is any session of this database in process_queue()?  True without shared
 * memory, since it is unknown.
 */
extern bool oss_foreground_any(void);

extern void oss_wake_launcher(void);

/* If no worker will be started, raise a NOTICE, once per session. */
extern void oss_notice_no_worker(void);

/* Return the name of a state, for the view. */
extern const char *oss_slot_state_name(OssSlotState state);

#endif							/* OSS_WORKER_SLOT_H */
