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
#include "sql/drain.h"
#include "sql/shared.h"
#include "sql/worker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* How often the list of databases is read. */
#define DATABASES_MS 60000

/* Workers that are being started at the same time. */
#define MOST_STARTING 4

/* A worker that has not come up by then never will. */
#define START_MS 30000

bool		oss_worker_enabled = true;
int			oss_worker_idle_timeout = 60;

/* Handles of the workers of the slots, by index. */
static BackgroundWorkerHandle *handles[OSS_MAX_SLOTS];

/* Define the queue's settings. */
static void
define_settings(void)
{
	DefineCustomBoolVariable("oss_labels.worker",
							 "Lets the background worker tag what is queued.",
							 "Off in a database (ALTER DATABASE ... SET) keeps its queue as it is, such as in a copy made for tests.",
							 &oss_worker_enabled, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.worker_idle_timeout",
							"Time after which a worker without work ends.",
							"It is started again when something is enqueued or due.",
							&oss_worker_idle_timeout, 60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.job_attempts",
							"Attempts at a job before it fails for good.",
							"Throttles, unreachable endpoints and pauses are not counted.",
							&oss_job_attempts, 5, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.failed_job_retention",
							"Time for which failed jobs are kept.",
							"0 keeps them for ever.",
							&oss_failed_job_retention, 30 * 24 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

/* Set what the launcher and its workers have in common. */
static void
describe(BackgroundWorker *worker, const char *type, const char *function)
{
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, "oss_labels", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
}

/* Define the settings and register the launcher. */
void
oss_launcher_init(void)
{
	BackgroundWorker worker = {0};

	define_settings();

	/* pg_upgrade wants nobody in its databases */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	describe(&worker, "oss_labels launcher", "oss_launcher_main");
	strlcpy(worker.bgw_name, worker.bgw_type, BGW_MAXLEN);
	worker.bgw_restart_time = 5;
	RegisterBackgroundWorker(&worker);
}

/* Leave the shared memory. */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(oss_shared->lock, LW_EXCLUSIVE);
	oss_shared->launcher_pid = 0;
	oss_shared->launcher_latch = NULL;
	LWLockRelease(oss_shared->lock);
}

/*
 * Enter the shared memory.  When a launcher died before, its workers may be
 * there still; those that it was starting are asked for again.
 */
static void
attach(void)
{
	LWLockAcquire(oss_shared->lock, LW_EXCLUSIVE);
	oss_shared->launcher_pid = MyProcPid;
	oss_shared->launcher_latch = &MyProc->procLatch;
	oss_shared->launcher_since = GetCurrentTimestamp();
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		if (oss_shared->slots[i].state == OSS_SLOT_STARTING &&
			oss_shared->slots[i].pid == 0)
			oss_slot_set_state(&oss_shared->slots[i], OSS_SLOT_UNKNOWN);
	}
	LWLockRelease(oss_shared->lock);
	before_shmem_exit(detach, 0);
}

/* List the databases that one can connect to, templates apart. */
static List *
list_databases(List **templates)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *databases = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!database->datallowconn)
			continue;
		old = MemoryContextSwitchTo(caller);
		if (database->datistemplate)
			*templates = lappend_oid(*templates, database->oid);
		else
			databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return databases;
}

/* Has a database been made since we last asked? */
static bool
take_new_databases(void)
{
	bool		any;

	LWLockAcquire(oss_shared->lock, LW_EXCLUSIVE);
	any = oss_shared->new_databases;
	oss_shared->new_databases = false;
	LWLockRelease(oss_shared->lock);
	return any;
}

/* Let those try at once that wait for a process: one got free. */
static void
free_process(void)
{
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		if (oss_shared->slots[i].state == OSS_SLOT_NO_PROCESS)
			oss_shared->slots[i].start_at = 0;
	}
}

/* Note workers that ended, and how when they did not say. */
static void
bury(int i, TimestampTz now)
{
	OssSlot    *slot = &oss_shared->slots[i];
	pid_t		pid;
	BgwHandleStatus status;

	if (handles[i] == NULL)
		return;
	status = GetBackgroundWorkerPid(handles[i], &pid);
	if (status != BGWH_STOPPED)
		return;
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

	if (!OidIsValid(slot->dbid) || slot->pid != 0 || slot->held > 0)
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
			return woken ? 0 : slot->start_at;
		case OSS_SLOT_MISMATCH:
		case OSS_SLOT_DISABLED:
		case OSS_SLOT_FAILED:
		case OSS_SLOT_NO_PROCESS:
			return slot->start_at;
	}
	return DT_NOEND;
}

/*
 * Does nobody need a slot any more?  Its database was dropped, or is a template
 * in which somebody had enqueued and all is done.
 */
static bool
is_unused(const OssSlot *slot, List *databases, List *templates)
{
	TimestampTz soon = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   DATABASES_MS);

	if (!OidIsValid(slot->dbid) || slot->pid != 0 || slot->held != 0 ||
		list_member_oid(databases, slot->dbid))
		return false;
	return !list_member_oid(templates, slot->dbid) ||
		(slot->state != OSS_SLOT_STARTING && start_time(slot) > soon);
}

/* Make slots for new databases and free those that nobody needs. */
static void
match_slots(List *databases, List *templates)
{
	static bool warned = false;
	ListCell   *cell;
	bool		full = false;

	LWLockAcquire(oss_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &oss_shared->slots[i];

		if (is_unused(slot, databases, templates))
			slot->dbid = InvalidOid;
	}
	foreach(cell, databases)
		full |= oss_slot_make(lfirst_oid(cell)) == NULL;
	LWLockRelease(oss_shared->lock);
	if (full && !warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("oss_labels looks after %d databases at most",
						OSS_MAX_SLOTS),
				 errhint("Drain the queues of the others with CALL oss_labels.process_queue().")));
	warned = full;
}

/* Register a worker for a slot; false when no process can be had. */
static bool
start_worker(int i)
{
	BackgroundWorker worker = {0};
	OssSlot    *slot = &oss_shared->slots[i];

	snprintf(worker.bgw_name, BGW_MAXLEN, "oss_labels worker for database %u",
			 slot->dbid);
	describe(&worker, "oss_labels worker", "oss_worker_main");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(slot->dbid);
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handles[i]);
}

/* Say once that no process can be had. */
static void
warn_no_process(bool exhausted)
{
	static bool warned = false;

	if (exhausted && !warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("oss_labels cannot start a worker: max_worker_processes is exhausted"),
				 errhint("Raise max_worker_processes; until then the queue waits.")));
	warned = exhausted;
}

/*
 * Start what is to be started.  Returns for how many ms there is nothing to
 * do, -1 when nothing is planned.
 */
static long
start_workers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int			starting = 0;
	bool		exhausted = false;
	bool		tried = false;

	LWLockAcquire(oss_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		bury(i, now);
		if (OidIsValid(oss_shared->slots[i].dbid) &&
			oss_shared->slots[i].state == OSS_SLOT_STARTING)
			starting++;
	}
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &oss_shared->slots[i];
		TimestampTz at = start_time(slot);

		if (at > now)
		{
			next = Min(next, at);
			continue;
		}
		if (starting >= MOST_STARTING || handles[i] != NULL)
			continue;
		tried = true;
		if (!exhausted && start_worker(i))
		{
			oss_slot_set_state(slot, OSS_SLOT_STARTING);
			starting++;
			continue;
		}
		exhausted = true;
		slot->start_at = TimestampTzPlusMilliseconds(now, 5000);
		oss_slot_set_state(slot, OSS_SLOT_NO_PROCESS);
		next = Min(next, slot->start_at);
	}
	LWLockRelease(oss_shared->lock);
	if (tried)
		warn_no_process(exhausted);
	return next == DT_NOEND ? -1 : (long) ((next - now) / 1000 + 1);
}

/* The launcher's main. */
void
oss_launcher_main(Datum arg)
{
	TimestampTz databases_at = 0;
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	attach();
	context = AllocSetContextCreate(TopMemoryContext, "oss_labels launcher",
									ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		long		ms;

		if (GetCurrentTimestamp() >= databases_at || take_new_databases())
		{
			List	   *templates = NIL;
			List	   *databases;

			MemoryContextSwitchTo(context);
			databases = list_databases(&templates);
			match_slots(databases, templates);
			MemoryContextSwitchTo(TopMemoryContext);
			MemoryContextReset(context);
			databases_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   DATABASES_MS);
		}
		ms = start_workers();
		if (ms < 0 || ms > DATABASES_MS)
			ms = DATABASES_MS;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 ms, oss_queue_wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		/* the postmaster restarts what ends with 1, unless it ends itself */
		if (ShutdownRequestPending)
			proc_exit(1);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}
