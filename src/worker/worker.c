/*-------------------------------------------------------------------------
 * worker.c
 *	  The process that empties one database's queue.
 *
 * The launcher starts it, also to find out whether the database has the
 * extension.  It ends when it has been idle for some time.
 *
 * No lock is held between transactions, so that DROP EXTENSION and ALTER need
 * not wait.  Each transaction first tries to lock the tables; if another session
 * has locked one, the answers in hand are kept for a later try.  So a DROP that
 * is rolled back loses none.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "client/http.h"
#include "client/usage.h"
#include "commands/dbcommands.h"
#include "compat.h"
#include "dispatch/blocked.h"
#include "dispatch/dispatch.h"
#include "dispatch/spooled.h"
#include "dispatch/turn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/database_copy.h"
#include "queue/worker_slot.h"
#include "spi/statement.h"
#include "spi/wait_event.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "store/spool.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/worker.h"
#include "worker/worker_turn.h"

/* Errors in a row after which the process ends; the launcher starts another. */
#define MOST_ERRORS 3

/* Longest wait between turns that fail. */
#define MOST_ERROR_MS 30000

/* Wait after an error outside a turn, so that the loop does not spin. */
#define NETWORK_ERROR_MS 500

/* Delay before the next try if the extension has another version. */
#define MISMATCH_MS 60000

/*
 * How long the worker waits for answers in flight before it ends: when it is
 * terminated, when it is switched off, when another database needs its process.
 */
#define STOP_MS 1500
#define OFF_MS 10000
#define YIELD_MS 60000

/*
 * A process that only stores what sessions hand on goes on for so long, and tries
 * so often what others have locked.
 */
#define STORE_MS 5000
#define BLOCKED_MS 200

/* A worker ends after this time if another database waits for a process. */
#define TURN_MS 30000

/* Additional time at the end to write unstored answers into the jobs' rows. */
#define LEAVE_MS 500

/* How often locked tables are tried. */
#define LOCKED_TRY_MS 100

/* How often oss_labels.worker is read while jobs are in hand. */
#define SWITCH_MS 1000

/* Longest waits for the network: with jobs in hand, and without. */
#define BUSY_WAIT_MS 1000
#define IDLE_WAIT_MS 10000

/* State of the extension, as a transaction finds it. */
typedef enum Presence
{
	PRESENT,
	LOCKED,						/* another session has locked a table */
	ABSENT,
	MISMATCH
} Presence;

/* State of this process.  Times are those of oss_clock_us(), 0: none. */
typedef struct Worker
{
	OssSlot    *slot;

	/* written to the slot at exit */
	OssSlotState exit_state;
	int64		start_at;
	bool		pending;

	bool		is_copy;		/* the queue is paused: its jobs were copied
								 * with the database */
	bool		warned;			/* the log has told of a version mismatch */
	int			errors;			/* since the last turn that succeeded */
	int64		turn_at;		/* no turn before, after an error or a lock */
	int64		busy_at;		/* last time that there was work */

	/* oss_labels.worker of database and role */
	OssWorkerSwitch switch_at_start;
	OssWorkerSwitch switch_now;
	int64		switch_at;		/* when to read it without a recheck flag */

	int64		started_at;
	bool		stores_only;	/* the worker is off */
	int64		stored_at;		/* last time that there was something to store */
	bool		read_spool;		/* it has, at least once */
} Worker;

static Worker worker = {.exit_state = OSS_SLOT_FAILED};

/* Return the time ms from now. */
static int64
from_now(int64 ms)
{
	return oss_clock_us() + ms * 1000;
}

/* Exit callback: release the slot. */
static void
detach_worker(int code, Datum arg)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	worker.slot->pid = 0;
	worker.slot->latch = NULL;
	worker.slot->start_at = worker.start_at;
	worker.slot->pending = worker.pending;
	if (worker.exit_state == OSS_SLOT_FAILED)
		worker.slot->failures++;
	oss_slot_set_state(worker.slot, worker.exit_state);
	if (oss_worker_shmem->launcher_latch)
		SetLatch(oss_worker_shmem->launcher_latch);
	LWLockRelease(oss_worker_shmem->lock);
}

/* Take the database's slot; returns false if no worker may run now. */
static bool
attach_worker(Oid dbid)
{
	bool		wanted;

	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	worker.slot = oss_slot_find(dbid);
	wanted = worker.slot && worker.slot->pid == 0 && worker.slot->ddl_holds == 0;
	if (wanted)
	{
		worker.slot->pid = MyProcPid;
		worker.slot->latch = &MyProc->procLatch;

		/* the setting is read after this */
		pg_atomic_write_u32(&worker.slot->recheck, 0);
	}
	else if (worker.slot && worker.slot->pid == 0)
		oss_slot_set_state(worker.slot, OSS_SLOT_IDLE);
	LWLockRelease(oss_worker_shmem->lock);
	if (wanted)
		before_shmem_exit(detach_worker, 0);
	return wanted;
}

/* Set the state for the view worker. */
static void
show_state(OssSlotState state)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_slot_set_state(worker.slot, state);
	LWLockRelease(oss_worker_shmem->lock);
}

/* Set the error for the view worker, "" for none. */
static void
show_error(const char *message)
{
	/* only this process writes it */
	if (strcmp(worker.slot->last_error, message) == 0)
		return;
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	strlcpy(worker.slot->last_error, message, sizeof(worker.slot->last_error));
	LWLockRelease(oss_worker_shmem->lock);
}

/*
 * End the process without an error.  The launcher starts another at start_at;
 * 0: as soon as possible.
 */
static void
leave_slot(OssSlotState state, int64 start_at)
{
	worker.exit_state = state;
	worker.start_at = start_at;
	elog(DEBUG1, "oss_labels worker ends: %s", oss_slot_state_name(state));
	proc_exit(0);
}

/* Look for the extension and lock its tables. */
static Presence
look_for_extension(const OssDispatcher *dispatcher)
{
	const char *locked;
	const char *message;
	char	   *version = oss_extension_version();

	if (version == NULL)
		return ABSENT;
	if (strcmp(version, OSS_LABELS_VERSION) != 0)
	{
		if (!worker.warned && !ShutdownRequestPending)
			ereport(WARNING,
					(errmsg("oss_labels cannot work in database \"%s\": its extension has another version than the library",
							get_database_name(MyDatabaseId)),
					 errdetail("The library is version %s, the extension %s.",
							   OSS_LABELS_VERSION, version),
					 errhint("Use ALTER EXTENSION oss_labels UPDATE, or restart the server to load the new library.")));
		worker.warned = true;
		return MISMATCH;
	}
	locked = oss_dispatch_lock_tables(dispatcher);
	message = oss_worker_report_locked(locked);
	if (message)
		show_error(message);
	return locked ? LOCKED : PRESENT;
}

/* Run work in a transaction with the tables locked, if the locks are free. */
static Presence
with_tables(void (*work) (OssDispatcher *), OssDispatcher *dispatcher)
{
	Presence	presence;

	oss_worker_begin();
	presence = look_for_extension(dispatcher);
	if (presence == PRESENT)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		work(dispatcher);
		PopActiveSnapshot();
	}
	oss_worker_commit();
	return presence;
}

/* Read whether the database is a copy whose queue is paused. */
static void
look_for_copy(OssDispatcher *dispatcher)
{
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	worker.is_copy = oss_database_is_copy();
	oss_statement_end(&state);
}

/* Release the leases of dead processes, such as an earlier worker. */
static void
take_over(OssDispatcher *dispatcher)
{
	OssStatementState state;
	uint64		released;

	look_for_copy(dispatcher);
	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	released = oss_job_release_dead(oss_lease_token());
	oss_statement_end(&state);
	elog(DEBUG1, "oss_labels worker starts; released " UINT64_FORMAT " leases of dead processes",
		 released);
}

/* End if the extension cannot be used; defer the next turn if it is locked. */
static void
check_presence(Presence presence)
{
	if (presence == ABSENT)
	{
		oss_spool_discard();
		oss_usage_forget(MyDatabaseId);
		pg_atomic_write_u32(&worker.slot->counted, 0);
		leave_slot(OSS_SLOT_ABSENT, 0);
	}
	if (presence == MISMATCH)
		leave_slot(OSS_SLOT_MISMATCH, from_now(MISMATCH_MS));
	if (presence == LOCKED && worker.turn_at == 0)
		elog(DEBUG1, "oss_labels worker waits: another session has locked its tables");
	worker.turn_at = presence == LOCKED ? from_now(LOCKED_TRY_MS) : 0;
}

/*
 * Do one turn.  The view shows an error until a turn ends without one and leaves
 * no answer unstored.
 */
static void
turn_on_tables(OssDispatcher *dispatcher)
{
	Presence	presence;

	oss_worker_flush_before(dispatcher->hand.newest_start);
	presence = with_tables(oss_dispatch_tables, dispatcher);
	if (presence == PRESENT)
	{
		oss_dispatch_commit(dispatcher);

		/* only this process uses it */
		worker.slot->clock_offset = dispatcher->claim.clock_offset;
	}
	if (dispatcher->last_error[0] != '\0' ||
		(presence == PRESENT && dispatcher->hand.nblocked == 0 &&
		 dispatcher->settle.troubles == 0))
		show_error(dispatcher->last_error);
	dispatcher->last_error[0] = '\0';
	check_presence(presence);
}

/* Write the accounts if there are any, now or when it is time. */
static void
keep_accounts(OssDispatcher *dispatcher, bool now)
{
	if (oss_worker_accounts_begin(worker.slot, now) &&
		with_tables(oss_worker_write_accounts, dispatcher) != PRESENT)
		pg_atomic_write_u32(&worker.slot->counted, 1);
}

/* Return in how many ms the next job that is not in hand, or sync, is due, -1: none. */
static int64
next_due_ms(const OssDispatcher *dispatcher)
{
	TimestampTz due = dispatcher->claim.next_due;
	TimestampTz next = oss_syncs_next(dispatcher->syncs);

	if (due == 0 || (next != 0 && next < due))
		due = next;
	if (due == 0)
		return -1;
	return Max((due - GetCurrentTimestamp()) / 1000, 0);
}

/* Has the worker been idle for oss_labels.worker_idle_timeout? */
static bool
idle_for_long(OssDispatcher *dispatcher)
{
	int64		now = oss_clock_us();
	int64		timeout = (int64) oss_worker_idle_timeout * USECS_PER_SEC;
	int64		due_ms = next_due_ms(dispatcher);

	if (worker.busy_at == 0 || oss_dispatch_busy(dispatcher) ||
		dispatcher->claim.woken || dispatcher->claim.behind || oss_syncs_pending(dispatcher->syncs))
	{
		worker.busy_at = now;
		return false;
	}

	/* another database waits for a process */
	if (pg_atomic_read_u32(&oss_worker_shmem->waiting) > 0)
		timeout = 0;
	return now - worker.busy_at >= timeout &&
		(due_ms < 0 || due_ms * 1000 > timeout);
}

/* Return how long to wait for the network. */
static long
network_ms(OssDispatcher *dispatcher)
{
	long		flush_ms = oss_worker_flush_due();
	long		ms = oss_dispatch_tables_due(dispatcher);

	flush_ms = oss_shorter_wait(flush_ms, oss_worker_accounts_due(worker.slot));
	if (ms == 0 && worker.turn_at != 0)
		ms = TimestampDifferenceMilliseconds(oss_clock_us(), worker.turn_at);
	if (ms < 0 || ms > BUSY_WAIT_MS)
		ms = oss_dispatch_busy(dispatcher) ? BUSY_WAIT_MS :
			Min(ms < 0 ? IDLE_WAIT_MS : ms,
				Max(oss_worker_idle_timeout * 1000 / 2, 100));
	return oss_shorter_wait(ms, flush_ms);
}

/*
 * Do turns until no finished or blocked job is left, or three turns settle none.
 * While the dispatcher hands over its answers, wait for locked tables: until end
 * if the process is being terminated, else without limit.
 */
static void
settle_or_leave(OssDispatcher *dispatcher, int64 end)
{
	int			tries = 3;

	while (tries > 0 && (dispatcher->hand.nfinished > 0 || dispatcher->hand.nblocked > 0))
	{
		int			before = dispatcher->hand.nfinished + dispatcher->hand.nblocked;

		turn_on_tables(dispatcher);
		if (worker.turn_at != 0 && dispatcher->state == DISPATCH_LEAVING)
		{
			if (ShutdownRequestPending && oss_clock_us() >= end)
				return;
			oss_queue_wait(LOCKED_TRY_MS);
		}
		else if (dispatcher->hand.nfinished + dispatcher->hand.nblocked >= before)
			tries--;
	}
}

/*
 * Give back the jobs that have not started, wait up to ms for the answers in
 * flight, which are paid for, and store them.
 */
static void
finish_work(OssDispatcher *dispatcher, int64 ms)
{
	int64		end = from_now(ms);

	elog(DEBUG1, "oss_labels worker stops with %d requests in flight",
		 dispatcher->network.in_flight);
	oss_dispatch_stop(dispatcher);
	do
	{
		if (dispatcher->hand.nfinished > 0 || dispatcher->hand.nblocked > 0)
			turn_on_tables(dispatcher);
		if (dispatcher->network.in_flight == 0)
			break;
		oss_dispatch_network(dispatcher, 50);
	} while (oss_clock_us() < end);
	oss_dispatch_cancel(dispatcher);
	settle_or_leave(dispatcher, end);
	oss_dispatch_hand_over_all(dispatcher);
	settle_or_leave(dispatcher, end + LEAVE_MS * INT64CONST(1000));
	keep_accounts(dispatcher, true);
	oss_worker_flush();
}

/* End if the worker has been idle for long. */
static void
leave_when_idle(OssDispatcher *dispatcher)
{
	int64		due_ms;

	if (!idle_for_long(dispatcher))
		return;
	keep_accounts(dispatcher, true);
	due_ms = next_due_ms(dispatcher);
	pgstat_report_stat(true);
	worker.pending = due_ms >= 0;
	leave_slot(worker.is_copy ? OSS_SLOT_COPY : OSS_SLOT_IDLE,
			   from_now(due_ms < 0 ? OSS_LOOK_MS : Min(due_ms, OSS_LOOK_MS)));
}

/* Read oss_labels.worker of database and role, if told to or from time to time. */
static void
read_own_switch(OssDispatcher *dispatcher)
{
	bool		told = pg_atomic_exchange_u32(&worker.slot->recheck, 0) != 0;

	if (!told && !(oss_dispatch_busy(dispatcher) &&
				   oss_clock_us() >= worker.switch_at))
		return;
	worker.switch_at = from_now(SWITCH_MS);
	oss_worker_begin();
	worker.switch_now = oss_worker_switch();
	oss_worker_commit();
}

/*
 * Store what sessions hand on, while the worker is off.  Returns false when that
 * has been nothing for a while.
 */
static bool
store_only(OssDispatcher *dispatcher)
{
	if (dispatcher->state == DISPATCH_RUNNING)
	{
		oss_dispatch_stop(dispatcher);
		show_state(OSS_SLOT_DISABLED);
	}
	if (oss_dispatch_busy(dispatcher) || oss_spool_pending() ||
		pg_atomic_read_u32(&worker.slot->counted) != 0)
		worker.stored_at = oss_clock_us();

	/* what others have locked is not tried in a loop */
	if (dispatcher->hand.nblocked > 0 && worker.turn_at < oss_clock_us())
		worker.turn_at = from_now(BLOCKED_MS);
	return oss_clock_us() - worker.stored_at < STORE_MS * INT64CONST(1000);
}

/*
 * End if the process is terminated or switched off, or if another database needs
 * it.
 */
static void
leave_when_told(OssDispatcher *dispatcher)
{
	if (ShutdownRequestPending)
	{
		finish_work(dispatcher, STOP_MS);
		leave_slot(OSS_SLOT_IDLE, 0);
	}
	read_own_switch(dispatcher);

	/* only a new process has the configuration file's value */
	if (worker.switch_now == OSS_WORKER_UNSET &&
		worker.switch_at_start != OSS_WORKER_UNSET)
	{
		finish_work(dispatcher, STOP_MS);
		leave_slot(OSS_SLOT_IDLE, 0);
	}
	if (worker.switch_now == OSS_WORKER_OFF ||
		(worker.switch_now == OSS_WORKER_UNSET && !oss_worker_enabled))
	{
		if (worker.stores_only && store_only(dispatcher))
			return;
		finish_work(dispatcher, OFF_MS);

		/* another process stores them, and nothing else */
		if (oss_spool_pending())
			pg_atomic_write_u32(&worker.slot->spooled, 1);
		leave_slot(OSS_SLOT_DISABLED, from_now(OSS_LOOK_MS));
	}
	if (worker.stores_only)
	{
		finish_work(dispatcher, STOP_MS);
		leave_slot(OSS_SLOT_IDLE, 0);
	}

	if (pg_atomic_read_u32(&oss_worker_shmem->waiting) > 0 &&
		oss_clock_us() - worker.started_at > TURN_MS * INT64CONST(1000))
	{
		finish_work(dispatcher, YIELD_MS);
		leave_slot(OSS_SLOT_IDLE, 0);
	}
}

/* Take what sessions have handed on. */
static void
take_spooled(OssDispatcher *dispatcher)
{
	if (pg_atomic_exchange_u32(&worker.slot->spooled, 0) == 0 && worker.read_spool)
		return;
	if (oss_dispatch_take_spooled(dispatcher, !worker.read_spool))
		pg_atomic_write_u32(&worker.slot->spooled, 1);
	worker.read_spool = true;
}

/* Alternate between the network and the tables until the process ends. */
static void
run_worker(OssDispatcher *dispatcher)
{
	for (;;)
	{
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			oss_worker_settings();
		}
		leave_when_told(dispatcher);
		if (pg_atomic_exchange_u32(&worker.slot->wake, 0) != 0)
		{
			/* jobs were enqueued, or pauses ended */
			oss_dispatch_wake(dispatcher);
			if (worker.is_copy &&
				with_tables(look_for_copy, dispatcher) == PRESENT && !worker.is_copy)
				show_state(OSS_SLOT_RUNNING);
		}
		take_spooled(dispatcher);
		keep_accounts(dispatcher, false);
		if (worker.turn_at != 0 || dispatcher->settle.troubles > 0)
			oss_dispatch_share_unstored(dispatcher);
		oss_dispatch_network(dispatcher, network_ms(dispatcher));
		if (oss_dispatch_tables_due(dispatcher) != 0 ||
			oss_clock_us() < worker.turn_at)
		{
			leave_when_idle(dispatcher);
			continue;
		}
		if (pg_atomic_read_u32(&worker.slot->recheck) != 0 ||
			ShutdownRequestPending)
			continue;
		turn_on_tables(dispatcher);
		worker.errors = 0;
	}
}

/*
 * Recover from an error.  Jobs in hand and requests in flight are kept, and the
 * network is served while the next turn is deferred.
 */
static void
recover_from_error(OssDispatcher *dispatcher)
{
	ErrorData  *error;
	MemoryContext old;
	bool		in_turn = IsTransactionState();

	worker.errors++;
	error_context_stack = NULL;
	HOLD_INTERRUPTS();
	EmitErrorReport();
	old = MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	show_error(error->message);
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
	AbortCurrentTransaction();
	FlushErrorState();
	oss_dispatch_abort(dispatcher);
	if (in_turn)
		pg_atomic_write_u32(&worker.slot->counted, 1);
	RESUME_INTERRUPTS();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (worker.errors >= MOST_ERRORS &&
		(ShutdownRequestPending || !oss_dispatch_holds_answers(dispatcher)))
		proc_exit(1);
	worker.turn_at = from_now(Min(1000L << Min(worker.errors, 5), MOST_ERROR_MS));
	if (in_turn)
		return;
	ResetLatch(MyLatch);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 NETWORK_ERROR_MS, oss_queue_wait_event());
	SetLatch(MyLatch);
}

/* Take the slot, connect, and wait until the extension can be used. */
static void
start_worker_process(Oid dbid)
{
	Presence	presence;
	bool		spooled;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	if (!attach_worker(dbid))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);
	worker.started_at = oss_clock_us();
	oss_worker_settings();

	/* the first turn finds what set the flag */
	pg_atomic_write_u32(&worker.slot->wake, 0);
	spooled = pg_atomic_exchange_u32(&worker.slot->spooled, 0) != 0 || oss_spool_waits() ||
		pg_atomic_read_u32(&worker.slot->counted) != 0;
	oss_worker_begin();
	worker.switch_now = worker.switch_at_start = oss_worker_switch();
	oss_worker_commit();
	worker.stores_only = !oss_worker_enabled || worker.switch_now == OSS_WORKER_OFF;
	worker.stored_at = oss_clock_us();
	if (worker.stores_only && !spooled)
		leave_slot(OSS_SLOT_DISABLED, from_now(OSS_LOOK_MS));
	while ((presence = with_tables(take_over, NULL)) != PRESENT)
	{
		check_presence(presence);
		oss_queue_wait(LOCKED_TRY_MS);
		if (ShutdownRequestPending)
			leave_slot(OSS_SLOT_IDLE, 0);
	}
	show_state(worker.is_copy ? OSS_SLOT_COPY : OSS_SLOT_RUNNING);
}

/* Entry point of a worker. */
void
oss_labels_worker_main(Datum dbid)
{
	sigjmp_buf	local_sigjmp_buf;
	OssDispatcher *volatile dispatcher = NULL;

	start_worker_process(DatumGetObjectId(dbid));
	dispatcher = oss_dispatch_create(TopMemoryContext, NULL, -1);
	dispatcher->keeps_answers = true;
	dispatcher->claim.clock_offset = worker.slot->clock_offset;
	if (sigsetjmp(local_sigjmp_buf, 1) != 0)
		recover_from_error(dispatcher);
	PG_exception_stack = &local_sigjmp_buf;
	MemoryContextSwitchTo(TopMemoryContext);
	run_worker(dispatcher);
}
