/*-------------------------------------------------------------------------
 * launcher.c
 *	  The process that starts a worker in each database with jobs.
 *
 * The launcher is connected to no database and cannot read pg_extension.  The
 * first worker of a database finds out whether the extension is installed, and
 * leaves the result in the slot.  A wake-up from that database resets it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "client/budget.h"
#include "client/http.h"
#include "client/usage.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/worker_slot.h"
#include "spi/wait_event.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "store/spool.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

/* How often the list of databases is read. */
#define DATABASES_MS 60000

/* Delay before the postmaster restarts a launcher that ended. */
#define RESTART_SECONDS 5

/* Most workers that are being started at the same time. */
#define MOST_STARTING 4

/* A worker that has not taken its slot after this time is terminated. */
#define START_MS 30000

/* Longest delay before a worker that failed is started again. */
#define MOST_FAILED_MS 60000

/* Least delay before a wake-up starts a disabled worker again. */
#define DISABLED_MS 10000

/* Delay before the next try when there is no free slot or process. */
#define AGAIN_MS 5000

/* Later than any oss_clock_us(): not before a wake-up. */
#define WHEN_WOKEN PG_INT64_MAX

/*
 * A database that accepts connections.  While it has a slot, the slot says when
 * to start its worker; look_at is used after it has lost the slot.
 */
typedef struct Database
{
	Oid			dbid;
	bool		template;		/* gets a slot only when it is woken */
	bool		slotted;
	int64		look_at;		/* when to assign a slot; 0: now */
} Database;

bool		oss_worker_enabled = true;
int			oss_worker_idle_timeout = 60;
int			oss_max_workers = 0;

/* Handles of the workers of the slots, by index. */
static BackgroundWorkerHandle *handles[OSS_MAX_SLOTS];

/* The databases, by OID. */
static Database *databases = NULL;
static int	ndatabases = 0;

/* Set the fields that the launcher and its workers have in common. */
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

void
oss_launcher_init(void)
{
	BackgroundWorker worker = {0};

	/* pg_upgrade allows no other sessions */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	describe_worker(&worker, "oss_labels launcher", "oss_labels_launcher_main");
	strlcpy(worker.bgw_name, worker.bgw_type, BGW_MAXLEN);
	worker.bgw_restart_time = RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);
}

/* Exit callback: leave the shared memory. */
static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_worker_shmem->launcher_pid = 0;
	oss_worker_shmem->launcher_latch = NULL;
	LWLockRelease(oss_worker_shmem->lock);
}

/*
 * Enter the shared memory.  Workers of a launcher that died may still run.
 * Those that it was starting are started again, since their handles are lost.
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

/* Find a database by its OID; NULL if it does not accept connections. */
static Database *
find_database(Oid dbid)
{
	Database	key = {.dbid = dbid};

	if (ndatabases == 0)
		return NULL;
	return bsearch(&key, databases, ndatabases, sizeof(Database),
				   compare_databases);
}

/* Read the databases that accept connections; returns their number. */
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

		/* an interrupted DROP DATABASE leaves an invalid database */
		if (!database->datallowconn ||
			database->datconnlimit == OSS_DATABASE_INVALID)
			continue;
		if (n == room)
			*list = repalloc(*list, (room *= 2) * sizeof(Database));
		(*list)[n].dbid = database->oid;
		(*list)[n].template = database->datistemplate;
		(*list)[n].slotted = false;
		(*list)[n++].look_at = database->datistemplate ? WHEN_WOKEN : 0;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	qsort(*list, n, sizeof(Database), compare_databases);
	return n;
}

/* Read the list of databases again, keeping their look_at. */
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

/*
 * Remove what waits to be stored or written in databases that are gone.  What is listed
 * before the databases are read is of one that was there.
 */
static void
remove_strays(void)
{
	List	   *strays = list_concat_unique_oid(oss_spool_databases(), oss_usage_databases());
	ListCell   *cell;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	strays = list_concat_unique_oid(strays, oss_budget_databases());
	if (strays == NIL)
		return;
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		strays = list_delete_oid(strays, ((Form_pg_database) GETSTRUCT(tuple))->oid);
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	foreach(cell, strays)
	{
		oss_spool_remove(lfirst_oid(cell));
		oss_usage_forget(lfirst_oid(cell));
		oss_budget_drop(lfirst_oid(cell));
	}
	list_free(strays);
}

/* Return and clear the flag that databases were created. */
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

/* After a process became free: retry the slots that wait for one. */
static void
retry_waiting_slots(void)
{
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		if (oss_worker_shmem->slots[i].state == OSS_SLOT_NO_PROCESS ||
			oss_worker_shmem->slots[i].state == OSS_SLOT_CAPPED)
			oss_worker_shmem->slots[i].start_at = 0;
	}
}

/*
 * Handle the end of a slot's worker, if it has ended.  Terminate a worker that
 * has not taken its slot within START_MS.
 */
static void
reap_worker(int i, int64 now)
{
	OssSlot    *slot = &oss_worker_shmem->slots[i];
	bool		is_starting = slot->state == OSS_SLOT_STARTING && slot->pid == 0;
	pid_t		pid;

	if (handles[i] == NULL)
		return;
	if (GetBackgroundWorkerPid(handles[i], &pid) != BGWH_STOPPED)
	{
		if (is_starting && now > slot->since_us + START_MS * INT64CONST(1000))
		{
			elog(DEBUG1, "oss_labels launcher gives up a worker for database %u that does not start",
				 slot->dbid);
			TerminateBackgroundWorker(handles[i]);
		}
		return;
	}
	pfree(handles[i]);
	handles[i] = NULL;
	retry_waiting_slots();
	if (is_starting)
	{
		slot->failures++;
		oss_slot_set_state(slot, OSS_SLOT_FAILED);
	}
	if (slot->state == OSS_SLOT_FAILED)
	{
		int64		ms = Min(1000L << Min(slot->failures, 6), MOST_FAILED_MS);

		elog(DEBUG1, "oss_labels worker for database %u failed %d times; the next starts in " INT64_FORMAT " ms",
			 slot->dbid, slot->failures, ms);
		slot->start_at = now + ms * 1000;
	}
	else
		slot->failures = 0;
}

/* Has a slot's worker ended with nothing to do before start_at? */
static bool
is_asleep(const OssSlot *slot)
{
	return slot->state == OSS_SLOT_IDLE || slot->state == OSS_SLOT_COPY ||
		slot->state == OSS_SLOT_DISABLED || slot->state == OSS_SLOT_MISMATCH;
}

/*
 * Return when to start a slot's worker: WHEN_WOKEN if it runs, must not run, or
 * has nothing to do.
 */
static int64
start_time(const OssSlot *slot)
{
	bool		woken = pg_atomic_read_u32(unconstify(pg_atomic_uint32 *,
													  &slot->wake)) != 0;

	if (!OidIsValid(slot->dbid) || slot->pid != 0 || slot->ddl_holds > 0)
		return WHEN_WOKEN;

	/*
	 * whatever else is wanted there, what is paid for is stored and accounted
	 * for
	 */
	if ((pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &slot->spooled)) != 0 ||
		 pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &slot->counted)) != 0) &&
		(slot->state == OSS_SLOT_ABSENT || is_asleep(slot)))
		return slot->state == OSS_SLOT_MISMATCH ? slot->start_at : 0;
	switch (slot->state)
	{
		case OSS_SLOT_UNKNOWN:
			return 0;
		case OSS_SLOT_STARTING:
		case OSS_SLOT_RUNNING:
			return WHEN_WOKEN;
		case OSS_SLOT_ABSENT:
			return woken ? 0 : WHEN_WOKEN;
		case OSS_SLOT_IDLE:
		case OSS_SLOT_COPY:
			return woken ? 0 : slot->start_at;
		case OSS_SLOT_DISABLED:
			return woken ? Min(slot->start_at,
							   slot->since_us + DISABLED_MS * INT64CONST(1000)) :
				slot->start_at;
		case OSS_SLOT_MISMATCH:
		case OSS_SLOT_FAILED:
		case OSS_SLOT_NO_PROCESS:
		case OSS_SLOT_CAPPED:
			return slot->start_at;
	}
	return WHEN_WOKEN;
}

/*
 * Can a slot be freed, since its database does not accept connections, or is a
 * template whose queue is empty again?
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
		pg_atomic_read_u32(&slot->spooled) == 0 &&
		pg_atomic_read_u32(&slot->counted) == 0 &&
		slot->start_at != 0 && slot->start_at <= oss_clock_us();
}

/*
 * Free unused slots.  Copy the next start of the others to their databases,
 * since another database may take an idle slot at any time.
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
				database->look_at = WHEN_WOKEN;
		}
		else if (database)
		{
			database->slotted = true;
			if (is_asleep(slot))
				database->look_at = slot->start_at;
			else
				database->look_at = slot->state == OSS_SLOT_ABSENT ?
					WHEN_WOKEN : 0;
		}
	}
}

/*
 * Assign slots to the databases that are due; returns when the next one is.  If
 * all slots are in use, the other databases wait.
 */
static int64
assign_slots(int64 now)
{
	int64		next = WHEN_WOKEN;

	read_slots();
	for (int i = 0; i < ndatabases; i++)
	{
		Database   *database = &databases[i];

		if (database->slotted)
			continue;
		if (database->look_at > now)
			next = Min(next, database->look_at);
		else if (oss_slot_make(database->dbid) == NULL)
		{
			elog(DEBUG1, "oss_labels launcher has no free slot for database %u",
				 database->dbid);
			return now + AGAIN_MS * INT64CONST(1000);
		}
	}
	return next;
}

/* Register a worker for a slot; returns false if no process is free. */
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
 * Warn once if max_worker_processes is exhausted, and tell the workers how many
 * databases have been waiting for a process for long.
 */
static void
report_waiting(int64 now)
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
		if (now >= slot->since_us + 2 * AGAIN_MS * INT64CONST(1000))
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
				 errdetail("Workers of several databases take turns meanwhile."),
				 errhint("Raise max_worker_processes.")));
	warned = exhausted;
}

/*
 * Reap workers that ended.  Returns how many run or start; *starting: how many
 * start.
 */
static int
count_workers(int64 now, int *starting)
{
	int			running = 0;

	*starting = 0;
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &oss_worker_shmem->slots[i];

		reap_worker(i, now);
		if (!OidIsValid(slot->dbid))
			continue;
		if (slot->state == OSS_SLOT_STARTING)
			(*starting)++;
		if (slot->state == OSS_SLOT_STARTING || slot->pid != 0)
			running++;
	}
	return running;
}

/* Order slots by the time that they have waited, longest first. */
static int
compare_slots(const void *a, const void *b)
{
	int64		x = oss_worker_shmem->slots[*(const int *) a].since_us;
	int64		y = oss_worker_shmem->slots[*(const int *) b].since_us;

	return x < y ? -1 : x > y;
}

/* List the slots that are due; lowers *next to the time of the next one. */
static int
list_due(int64 now, int *due, int64 *next)
{
	int			n = 0;

	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		int64		at = start_time(&oss_worker_shmem->slots[i]);

		if (at > now)
			*next = Min(*next, at);
		else if (handles[i] == NULL)
			due[n++] = i;
	}
	qsort(due, n, sizeof(int), compare_slots);
	return n;
}

/*
 * Start the workers that are due, longest waiting first.  Returns when to call it
 * again.
 */
static int64
start_workers(int64 now)
{
	int64		again = now + AGAIN_MS * INT64CONST(1000);
	int64		next;
	int			due[OSS_MAX_SLOTS] = {0};
	int			ndue;
	int			starting;
	int			running;
	bool		exhausted = false;

	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	running = count_workers(now, &starting);
	next = assign_slots(now);
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
	if (starting > 0)
		next = Min(next, now + START_MS * INT64CONST(1000));
	LWLockRelease(oss_worker_shmem->lock);
	return next;
}

/* List databases and start workers if due; returns the ms until the next time. */
static long
serve_databases(void)
{
	static int64 databases_at = 0;
	int64		now = oss_clock_us();

	if (take_new_databases() || now >= databases_at)
	{
		list_all_databases();
		remove_strays();
		databases_at = now + DATABASES_MS * INT64CONST(1000);
	}
	return (long) ((Min(start_workers(now), databases_at) - now) / 1000 + 1);
}

/* Reload the configuration, which may set workers on or off. */
static void
reload_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	oss_worker_settings();
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_slots_recheck();
	retry_waiting_slots();
	LWLockRelease(oss_worker_shmem->lock);
}

/* Entry point of the launcher. */
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
		oss_queue_wait(serve_databases());

		/* the postmaster restarts a process that exits with 1 */
		if (ShutdownRequestPending)
			proc_exit(1);
		if (ConfigReloadPending)
			reload_settings();
	}
}
