/*-------------------------------------------------------------------------
 * launcher.c
 *	  The process that finds the databases with the extension and starts a
 *	  worker where there is something to do.
 *
 * It is connected to no database.  pg_extension can only be read inside, so
 * the first worker of a database is also the question whether it has the
 * extension; the answer is kept in the slot until a commit in the database
 * says otherwise.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/worker_slot.h"
#include "spi/wait_event.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

/* How often the list of databases is read. */
#define DATABASES_MS 60000

/* Workers that are being started at the same time. */
#define MOST_STARTING 4

/* A worker that has not come up by then is given up. */
#define START_MS 30000

/* How soon an enqueue starts the worker again where it was off. */
#define DISABLED_MS 10000

/*
 * When something fails for want of a slot or a process, and nobody says that
 * one got free.
 */
#define AGAIN_MS 5000

/* No plan looks farther ahead: if it seems to, the clock was set back. */
#define FARTHEST_MS (2 * OSS_LOOK_MS)

/*
 * A database that can be connected to.  While it has a slot, that knows more;
 * look_at is for when it gave it to another.
 */
typedef struct Database
{
	Oid			dbid;
	bool		template;		/* has a slot when somebody asks only */
	bool		slotted;
	TimestampTz look_at;		/* 0: nobody has looked; DT_NOEND: when asked */
} Database;

bool		oss_worker_enabled = true;
int			oss_worker_idle_timeout = 60;
int			oss_max_workers = 0;

/* Handles of the workers of the slots, by index. */
static BackgroundWorkerHandle *handles[OSS_MAX_SLOTS];

/* The databases, by OID. */
static Database *databases = NULL;
static int	ndatabases = 0;

/* Set what the launcher and its workers have in common. */
static void
describe_worker(BackgroundWorker *worker, const char *type, const char *function)
{
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, "oss_labels", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
}

/* Register the launcher. */
void
oss_launcher_init(void)
{
	BackgroundWorker worker = {0};

	/* pg_upgrade wants nobody in its databases */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	describe_worker(&worker, "oss_labels launcher", "oss_labels_launcher_main");
	strlcpy(worker.bgw_name, worker.bgw_type, BGW_MAXLEN);
	worker.bgw_restart_time = 5;
	RegisterBackgroundWorker(&worker);
}

/* Leave the shared memory. */
static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_worker_shmem->launcher_pid = 0;
	oss_worker_shmem->launcher_latch = NULL;
	LWLockRelease(oss_worker_shmem->lock);
}

/*
 * Enter the shared memory.  When a launcher died before, its workers may be
 * there still; those that it was starting are asked for again.
 */
static void
attach_launcher(void)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_worker_shmem->launcher_pid = MyProcPid;
	oss_worker_shmem->launcher_latch = &MyProc->procLatch;
	oss_worker_shmem->launcher_since = GetCurrentTimestamp();
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		if (oss_worker_shmem->slots[i].state == OSS_SLOT_STARTING &&
			oss_worker_shmem->slots[i].pid == 0)
			oss_slot_set_state(&oss_worker_shmem->slots[i], OSS_SLOT_UNKNOWN);
	}
	LWLockRelease(oss_worker_shmem->lock);
	before_shmem_exit(detach_launcher, 0);
}

/* Order databases by OID. */
static int
compare_databases(const void *a, const void *b)
{
	Oid			x = ((const Database *) a)->dbid;
	Oid			y = ((const Database *) b)->dbid;

	return x < y ? -1 : x > y;
}

/* Return a database by its OID, NULL if it can't be connected to. */
static Database *
find_database(Oid dbid)
{
	Database	key = {.dbid = dbid};

	if (ndatabases == 0)
		return NULL;
	return bsearch(&key, databases, ndatabases, sizeof(Database),
				   compare_databases);
}

/* Read the databases that one can connect to; returns how many. */
static int
read_databases(Database **list)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;
	int			room = 64;

	*list = MemoryContextAlloc(TopMemoryContext, room * sizeof(Database));
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		/* what DROP DATABASE left half done lets nobody in, either */
		if (!database->datallowconn ||
			database->datconnlimit == OSS_DATABASE_INVALID)
			continue;
		if (n == room)
			*list = repalloc(*list, (room *= 2) * sizeof(Database));
		(*list)[n].dbid = database->oid;
		(*list)[n].template = database->datistemplate;
		(*list)[n].slotted = false;
		(*list)[n++].look_at = database->datistemplate ? DT_NOEND : 0;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	qsort(*list, n, sizeof(Database), compare_databases);
	return n;
}

/* List the databases anew, keeping what is known of them. */
static void
list_all_databases(void)
{
	Database   *list;
	int			n = read_databases(&list);

	for (int i = 0; i < n; i++)
	{
		Database   *before = find_database(list[i].dbid);

		if (before && before->template == list[i].template)
			list[i].look_at = before->look_at;
	}
	if (databases)
		pfree(databases);
	databases = list;
	ndatabases = n;
}

/* Has a database been made since we last asked? */
static bool
take_new_databases(void)
{
	bool		any;

	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	any = oss_worker_shmem->new_databases;
	oss_worker_shmem->new_databases = false;
	LWLockRelease(oss_worker_shmem->lock);
	return any;
}

/* Let those try at once that wait for a process: one got free. */
static void
free_process(void)
{
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		if (oss_worker_shmem->slots[i].state == OSS_SLOT_NO_PROCESS ||
			oss_worker_shmem->slots[i].state == OSS_SLOT_CAPPED)
			oss_worker_shmem->slots[i].start_at = 0;
	}
}

/* Note workers that ended, and how when they did not say. */
static void
note_ended_worker(int i, TimestampTz now)
{
	OssSlot    *slot = &oss_worker_shmem->slots[i];
	pid_t		pid;
	BgwHandleStatus status;

	if (handles[i] == NULL)
		return;
	status = GetBackgroundWorkerPid(handles[i], &pid);
	if (status != BGWH_STOPPED)
	{
		if (slot->state == OSS_SLOT_STARTING && slot->pid == 0 &&
			now > TimestampTzPlusMilliseconds(slot->since, START_MS))
			TerminateBackgroundWorker(handles[i]);
		return;
	}
	pfree(handles[i]);
	handles[i] = NULL;
	free_process();
	if (slot->state == OSS_SLOT_STARTING && slot->pid == 0)
	{
		slot->failures++;
		oss_slot_set_state(slot, OSS_SLOT_FAILED);
	}
	if (slot->state == OSS_SLOT_FAILED)
		slot->start_at = TimestampTzPlusMilliseconds(now,
													 Min(1000L << Min(slot->failures, 6), 60000));
	else
		slot->failures = 0;
}

/*
 * Return when a slot's worker is to be started: 0 for now, DT_NOEND for not
 * before somebody asks.
 */
static TimestampTz
start_time(const OssSlot *slot)
{
	bool		woken = pg_atomic_read_u32(unconstify(pg_atomic_uint32 *,
													  &slot->wake)) != 0;

	if (!OidIsValid(slot->dbid) || slot->pid != 0 || slot->ddl_holds > 0)
		return DT_NOEND;
	switch (slot->state)
	{
		case OSS_SLOT_UNKNOWN:
			return 0;
		case OSS_SLOT_STARTING:
		case OSS_SLOT_RUNNING:
			return DT_NOEND;
		case OSS_SLOT_ABSENT:
			return woken ? 0 : DT_NOEND;
		case OSS_SLOT_IDLE:
		case OSS_SLOT_COPY:
			return woken ? 0 : slot->start_at;
		case OSS_SLOT_DISABLED:
			return woken ? Min(slot->start_at,
							   TimestampTzPlusMilliseconds(slot->since,
														   DISABLED_MS)) :
				slot->start_at;
		case OSS_SLOT_MISMATCH:
		case OSS_SLOT_FAILED:
		case OSS_SLOT_NO_PROCESS:
		case OSS_SLOT_CAPPED:
			return slot->start_at;
	}
	return DT_NOEND;
}

/* May the process of a slot be gone for now? */
static bool
is_asleep(const OssSlot *slot)
{
	return slot->state == OSS_SLOT_IDLE || slot->state == OSS_SLOT_COPY ||
		slot->state == OSS_SLOT_DISABLED || slot->state == OSS_SLOT_MISMATCH;
}

/*
 * Does nobody need a slot any more?  Its database can't be connected to, or is
 * a template in which somebody had enqueued and all is done.
 */
static bool
is_unused(OssSlot *slot, const Database *database)
{
	if (slot->pid != 0 || slot->ddl_holds != 0)
		return false;
	if (database == NULL)
		return true;
	return database->template && !slot->pending && is_asleep(slot) &&
		pg_atomic_read_u32(&slot->wake) == 0 &&
		slot->start_at != 0 && slot->start_at <= GetCurrentTimestamp();
}

/*
 * Free the slots that nobody needs, and note when those of the others are wanted
 * again, for they may be taken at any time.
 */
static void
read_slots(void)
{
	for (int i = 0; i < ndatabases; i++)
	{
		databases[i].slotted = false;
		if (oss_worker_shmem->wake_lost)
			databases[i].look_at = 0;
	}
	oss_worker_shmem->wake_lost = false;
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &oss_worker_shmem->slots[i];
		Database   *database;

		if (!OidIsValid(slot->dbid))
			continue;
		database = find_database(slot->dbid);
		if (is_unused(slot, database))
		{
			slot->dbid = InvalidOid;
			if (database)
				database->look_at = DT_NOEND;
		}
		else if (database)
		{
			database->slotted = true;
			if (is_asleep(slot))
				database->look_at = slot->start_at;
			else
				database->look_at = slot->state == OSS_SLOT_ABSENT ?
					DT_NOEND : 0;
		}
	}
}

/*
 * Give slots to databases that are to be looked at.  Returns when the next is.
 * When something is to be done in all that have one, the others wait.
 */
static TimestampTz
give_slots(TimestampTz now)
{
	TimestampTz next = DT_NOEND;

	read_slots();
	for (int i = 0; i < ndatabases; i++)
	{
		Database   *database = &databases[i];

		if (database->slotted)
			continue;
		if (database->look_at > now)
			next = Min(next, database->look_at);
		else if (oss_slot_make(database->dbid) == NULL)
			return TimestampTzPlusMilliseconds(now, AGAIN_MS);
	}
	return next;
}

/* Register a worker for a slot; false when no process can be had. */
static bool
start_worker(int i)
{
	BackgroundWorker worker = {0};
	OssSlot    *slot = &oss_worker_shmem->slots[i];

	snprintf(worker.bgw_name, BGW_MAXLEN, "oss_labels worker for database %u",
			 slot->dbid);
	describe_worker(&worker, "oss_labels worker", "oss_labels_worker_main");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(slot->dbid);
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handles[i]);
}

/*
 * Say once that no process can be had, and let workers know how many others have
 * waited for theirs for long.
 */
static void
report_waiting(TimestampTz now)
{
	static bool warned = false;
	uint32		waiting = 0;
	bool		exhausted = false;

	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &oss_worker_shmem->slots[i];

		if (!OidIsValid(slot->dbid) ||
			(slot->state != OSS_SLOT_NO_PROCESS &&
			 slot->state != OSS_SLOT_CAPPED))
			continue;
		exhausted |= slot->state == OSS_SLOT_NO_PROCESS;
		if (now >= TimestampTzPlusMilliseconds(slot->since, 2 * AGAIN_MS))
			waiting++;
	}
	pg_atomic_write_u32(&oss_worker_shmem->waiting, waiting);
	for (int i = 0; i < OSS_MAX_SLOTS && waiting > 0; i++)
	{
		if (oss_worker_shmem->slots[i].latch)
			SetLatch(oss_worker_shmem->slots[i].latch);
	}
	if (exhausted && !warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("oss_labels cannot start a worker: max_worker_processes is exhausted"),
				 errhint("Raise max_worker_processes; until then workers take turns.")));
	warned = exhausted;
}

/* Bury the dead; returns how many workers there are, and are being started. */
static int
count_workers(TimestampTz now, int *starting)
{
	int			running = 0;

	*starting = 0;
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &oss_worker_shmem->slots[i];

		note_ended_worker(i, now);
		if (!OidIsValid(slot->dbid))
			continue;
		if (slot->state == OSS_SLOT_STARTING)
			(*starting)++;
		if (slot->state == OSS_SLOT_STARTING || slot->pid != 0)
			running++;
	}
	return running;
}

/* Order slots by the time since which they wait. */
static int
compare_slots(const void *a, const void *b)
{
	TimestampTz x = oss_worker_shmem->slots[*(const int *) a].since;
	TimestampTz y = oss_worker_shmem->slots[*(const int *) b].since;

	return x < y ? -1 : x > y;
}

/* List the slots whose time has come; next is set to when others' will. */
static int
list_due(TimestampTz now, int *due, TimestampTz *next)
{
	int			n = 0;

	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		TimestampTz at = start_time(&oss_worker_shmem->slots[i]);

		if (at == DT_NOEND)
			continue;
		if (at > now && at < TimestampTzPlusMilliseconds(now, FARTHEST_MS))
			*next = Min(*next, at);
		else if (handles[i] == NULL)
			due[n++] = i;
	}
	qsort(due, n, sizeof(int), compare_slots);
	return n;
}

/*
 * Start what is to be started, who has waited longest first.  Returns when there
 * is something to do again, DT_NOEND when nothing is planned.
 */
static TimestampTz
start_workers(TimestampTz now)
{
	TimestampTz again = TimestampTzPlusMilliseconds(now, AGAIN_MS);
	TimestampTz next;
	int			due[OSS_MAX_SLOTS];
	int			ndue;
	int			starting;
	int			running;
	bool		exhausted = false;

	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	running = count_workers(now, &starting);
	next = give_slots(now);
	ndue = list_due(now, due, &next);
	for (int i = 0; i < ndue && starting < MOST_STARTING; i++)
	{
		OssSlot    *slot = &oss_worker_shmem->slots[due[i]];
		bool		capped = oss_max_workers > 0 && running >= oss_max_workers;

		if (!exhausted && !capped && start_worker(due[i]))
		{
			oss_slot_set_state(slot, OSS_SLOT_STARTING);
			starting++;
			running++;
			continue;
		}
		exhausted |= !capped;
		slot->start_at = again;
		oss_slot_set_state(slot, capped ? OSS_SLOT_CAPPED : OSS_SLOT_NO_PROCESS);
		next = Min(next, again);
	}
	report_waiting(now);
	LWLockRelease(oss_worker_shmem->lock);
	return next;
}

/* List the databases when it is time, and start what is to be started. */
static long
serve_databases(void)
{
	static TimestampTz databases_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;

	if (take_new_databases() || now >= databases_at ||
		databases_at > TimestampTzPlusMilliseconds(now, DATABASES_MS))
	{
		list_all_databases();
		databases_at = TimestampTzPlusMilliseconds(now, DATABASES_MS);
	}
	next = Min(start_workers(now), databases_at);
	return Max((long) ((next - now) / 1000 + 1), 1);
}

/* Read the configuration again, which may set workers on or off. */
static void
reload_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	oss_worker_settings();
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_slots_recheck();
	free_process();
	LWLockRelease(oss_worker_shmem->lock);
}

/* The launcher's main. */
void
oss_labels_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	oss_worker_settings();
	attach_launcher();
	for (;;)
	{
		long		ms = serve_databases();

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 ms, oss_queue_wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		/* the postmaster restarts what ends with 1, unless it ends itself */
		if (ShutdownRequestPending)
			proc_exit(1);
		if (ConfigReloadPending)
			reload_settings();
	}
}
