/*-------------------------------------------------------------------------
 * worker.c
 *	  The process that drains one database's queue.
 *
 * It is started by the launcher, which asks it at the same time whether the
 * database has the extension at all, and ends when there is nothing to do.
 *
 * No lock is held between transactions, so that DROP EXTENSION and ALTER need
 * not wait; a transaction first tries to lock the tables and, when somebody
 * has them, comes again later with its answers.  A drop that is rolled back
 * therefore loses nothing.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "compat.h"
#include "dispatch/dispatch.h"
#include "dispatch/turn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/database_copy.h"
#include "queue/worker_slot.h"
#include "spi/statement.h"
#include "spi/wait_event.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

/* Errors in a row after which the process ends; the launcher starts another. */
#define MOST_ERRORS 3

/*
 * For how long answers are waited for that are under way: when the process is to
 * end; when the worker was set off, which is less of a hurry; when it is another
 * database's turn, which is none.
 */
#define STOP_MS 1500
#define OFF_MS 10000
#define YIELD_MS 60000

/* When another database waits for a process, a worker ends after that long. */
#define TURN_MS 30000

/*
 * What else may take so long when the process is to end: putting answers into the
 * jobs' rows that could not be stored.
 */
#define LEAVE_MS 500

/* How often locked tables are tried, and when and how often the log tells. */
#define LOCKED_TRY_MS 100
#define LOCKED_MS 5000
#define LOCKED_LOG_MS 60000

/* What a transaction finds of the extension. */
typedef enum Presence
{
	PRESENT,
	LOCKED,						/* somebody is changing it */
	ABSENT,
	MISMATCH
} Presence;

static OssSlot *slot = NULL;
static OssSlotState state_at_exit = OSS_SLOT_FAILED;
static TimestampTz next_start = 0;
static bool left_pending = false;

/* The queue is paused as it was copied with the database. */
static bool is_copy = false;

/* Errors since the last turn that went well. */
static int	errors = 0;

/* No turn before then, because the tables are locked or after an error. */
static TimestampTz turn_at = 0;

/*
 * What the database's and the role's settings said of oss_labels.worker when we
 * connected, and say now.
 */
static OssWorkerSwitch switch_at_start;
static OssWorkerSwitch switch_now;

/* When they are looked at again, without being told. */
#define SWITCH_MS 1000
static TimestampTz switch_at = 0;

/* Since when there are commits that may not be on the disk, 0: there are none. */
static TimestampTz unflushed_since = 0;

/*
 * How long a commit may be on its way to the disk.  What it says was paid for,
 * so that it must get there soon; but the network need not stand still
 * meanwhile, and when we are busy the WAL writer has done it by then.
 */
#define FLUSH_MS 10

/* Leave the slot. */
static void
detach_worker(int code, Datum arg)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->latch = NULL;
	slot->start_at = next_start;
	slot->pending = left_pending;
	if (state_at_exit == OSS_SLOT_FAILED)
		slot->failures++;
	oss_slot_set_state(slot, state_at_exit);
	if (oss_worker_shmem->launcher_latch)
		SetLatch(oss_worker_shmem->launcher_latch);
	LWLockRelease(oss_worker_shmem->lock);
}

/* Enter the slot; false when nobody shall work here. */
static bool
attach_worker(Oid dbid)
{
	bool		wanted;

	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	slot = oss_slot_find(dbid);
	wanted = slot && slot->pid == 0 && slot->ddl_holds == 0;
	if (wanted)
	{
		slot->pid = MyProcPid;
		slot->latch = &MyProc->procLatch;

		/* what is said from now on concerns us */
		pg_atomic_write_u32(&slot->recheck, 0);
	}
	else if (slot && slot->pid == 0)
		oss_slot_set_state(slot, OSS_SLOT_IDLE);
	LWLockRelease(oss_worker_shmem->lock);
	if (wanted)
		before_shmem_exit(detach_worker, 0);
	return wanted;
}

/* Show the state. */
static void
show_activity(OssSlotState state)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_slot_set_state(slot, state);
	LWLockRelease(oss_worker_shmem->lock);
}

/* Remember the last error for the view. */
static void
show_error(const char *message)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	strlcpy(slot->last_error, message, sizeof(slot->last_error));
	LWLockRelease(oss_worker_shmem->lock);
}

/* End the process for a reason that is no error. */
static void
leave_slot(OssSlotState state, TimestampTz start_at)
{
	state_at_exit = state;
	next_start = start_at;
	proc_exit(0);
}

/* Return the version of the extension in this database, or NULL. */
static char *
extension_version(void)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("oss_labels"));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(relation), &isnull);

		version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return version;
}

/*
 * Note whether a table is locked, and say so when it has been for a while: nothing
 * can be claimed or stored meanwhile.
 */
static void
report_locked(const char *table)
{
	static TimestampTz since = 0;
	static TimestampTz said_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	char		message[128];

	if (table == NULL || since == 0)
		since = table ? now : 0;
	if (since == 0 || now - since < LOCKED_MS * INT64CONST(1000) ||
		now - said_at < LOCKED_LOG_MS * INT64CONST(1000))
		return;
	said_at = now;
	snprintf(message, sizeof(message),
			 "another transaction has locked oss_labels.%s", table);
	show_error(message);
	ereport(LOG,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("oss_labels worker waits: %s", message),
			 errdetail("Nothing is requested or stored until that transaction ends; answers are kept."),
			 errhint("The view pg_locks shows who has locked it.")));
}

/* Look for the extension and lock its tables. */
static Presence
look_for_extension(const OssDispatcher *dispatcher)
{
	static bool warned = false;
	const char *locked;
	char	   *version = extension_version();

	if (version == NULL)
		return ABSENT;
	if (strcmp(version, OSS_LABELS_VERSION) != 0)
	{
		if (!warned)
			ereport(WARNING,
					(errmsg("oss_labels worker does not work in database \"%s\": the library is version %s, the extension %s",
							get_database_name(MyDatabaseId), OSS_LABELS_VERSION,
							version),
					 errhint("Use ALTER EXTENSION oss_labels UPDATE, or restart the server to load the new library.")));
		warned = true;
		return MISMATCH;
	}
	locked = oss_dispatch_lock_tables(dispatcher);
	report_locked(locked);
	return locked ? LOCKED : PRESENT;
}

/* Begin a transaction. */
static void
begin_turn(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, "oss_labels: claiming and settling");
}

/* End a transaction, of which flush_commits() is to be told. */
static void
commit_turn(void)
{
	CommitTransactionCommand();
	if (unflushed_since == 0)
		unflushed_since = GetCurrentTimestamp();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* See to it that what was committed is on the disk. */
static void
flush_commits(void)
{
	if (unflushed_since != 0 && XactLastCommitEnd != InvalidXLogRecPtr)
		XLogFlush(XactLastCommitEnd);
	unflushed_since = 0;
}

/*
 * Flush what was committed before an answer is looked at whose job may have
 * been claimed by that: should the answer kill the process, the attempt counts.
 */
static void
flush_claims(const OssDispatcher *dispatcher)
{
	if (dispatcher->hand.newest_start >= unflushed_since)
		flush_commits();
}

/* Run work in a transaction with the tables locked, if they can be. */
static Presence
with_tables(void (*work) (OssDispatcher *), OssDispatcher *dispatcher)
{
	Presence	presence;

	begin_turn();
	presence = look_for_extension(dispatcher);
	if (presence == PRESENT)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		work(dispatcher);
		PopActiveSnapshot();
	}
	commit_turn();
	return presence;
}

/* Find out whether the jobs came with the database when it was copied. */
static void
look_for_copy(OssDispatcher *dispatcher)
{
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	is_copy = oss_database_is_copy();
	oss_statement_end(&state);
}

/* Free what processes held that are gone: what came before us was one. */
static void
take_over(OssDispatcher *dispatcher)
{
	OssStatementState state;

	look_for_copy(dispatcher);
	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	(void) oss_job_release_dead(oss_lease_token());
	oss_statement_end(&state);
}

/* Leave when there is no work for us here, or wait when it is locked. */
static void
obey_settings(Presence presence)
{
	TimestampTz now = GetCurrentTimestamp();

	if (presence == ABSENT)
		leave_slot(OSS_SLOT_ABSENT, 0);
	if (presence == MISMATCH)
		leave_slot(OSS_SLOT_MISMATCH, TimestampTzPlusMilliseconds(now, 60000));
	turn_at = presence == LOCKED ? TimestampTzPlusMilliseconds(now, LOCKED_TRY_MS) : 0;
}

/* Do one turn on the tables. */
static void
turn_on_tables(OssDispatcher *dispatcher)
{
	Presence	presence;

	flush_claims(dispatcher);
	presence = with_tables(oss_dispatch_tables, dispatcher);
	if (presence == PRESENT)
		oss_dispatch_commit(dispatcher);
	if (dispatcher->last_error[0] != '\0')
		show_error(dispatcher->last_error);
	dispatcher->last_error[0] = '\0';
	obey_settings(presence);
}

/* Has there been nothing to do for long enough? */
static bool
idle_for_long(OssDispatcher *dispatcher)
{
	static TimestampTz busy_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	int64		timeout = (int64) oss_worker_idle_timeout * USECS_PER_SEC;

	if (busy_at == 0 || oss_dispatch_busy(dispatcher) || dispatcher->claim.woken || dispatcher->claim.behind)
	{
		busy_at = now;
		return false;
	}

	/* others wait for our process */
	if (pg_atomic_read_u32(&oss_worker_shmem->waiting) > 0)
		timeout = 0;
	return now - busy_at >= timeout &&
		(dispatcher->claim.next_due == 0 || dispatcher->claim.next_due > now + timeout);
}

/* Flush when it is time; returns for how many ms it is not, -1: for ever. */
static long
flush_due(void)
{
	TimestampTz at = unflushed_since + FLUSH_MS * 1000;
	TimestampTz now;

	if (unflushed_since == 0)
		return -1;
	now = GetCurrentTimestamp();
	if (now < at)
		return (at - now + 999) / 1000;
	flush_commits();
	return -1;
}

/* Return for how long to wait for the network. */
static long
network_ms(OssDispatcher *dispatcher)
{
	long		flush_ms = flush_due();
	long		ms = oss_dispatch_tables_due(dispatcher);

	if (ms == 0 && turn_at != 0)
		ms = Max((turn_at - GetCurrentTimestamp() + 999) / 1000, 0);
	if (ms < 0 || ms > 1000)
		ms = oss_dispatch_busy(dispatcher) ? 1000 :
			Min(ms < 0 ? 10000 : ms, Max(oss_worker_idle_timeout * 1000 / 2, 100));
	return flush_ms < 0 ? ms : Min(ms, flush_ms);
}

/* Wait a little for who has locked our tables. */
static void
wait_for_locks(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 LOCKED_TRY_MS, oss_queue_wait_event());
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Store what is finished, or put it into the jobs' rows, until nothing is left or
 * nothing more can be done.  Tables that are locked are tried until an end; when
 * the process is not told to end by then, for as long as they are.
 */
static void
settle_or_leave(OssDispatcher *dispatcher, TimestampTz end)
{
	int			tries = 3;

	while (tries > 0 && (dispatcher->hand.nfinished > 0 || dispatcher->hand.nblocked > 0))
	{
		int			before = dispatcher->hand.nfinished + dispatcher->hand.nblocked;

		turn_on_tables(dispatcher);
		if (turn_at != 0 && dispatcher->state == DISPATCH_LEAVING)
		{
			if (ShutdownRequestPending && GetCurrentTimestamp() >= end)
				return;
			wait_for_locks();
		}
		else if (dispatcher->hand.nfinished + dispatcher->hand.nblocked >= before)
			tries--;
	}
}

/*
 * Give back what is not begun, wait up to ms for the answers under way, for they
 * are paid for, and store them.
 */
static void
let_go(OssDispatcher *dispatcher, long ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

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
	} while (GetCurrentTimestamp() < end);
	oss_dispatch_cancel(dispatcher);
	settle_or_leave(dispatcher, end);
	oss_dispatch_hand_over_all(dispatcher);
	settle_or_leave(dispatcher, TimestampTzPlusMilliseconds(end, LEAVE_MS));
	flush_commits();
}

/* Read the configuration again. */
static void
reload(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	oss_worker_settings();
}

/* End when there is nothing to do. */
static void
leave_when_idle(OssDispatcher *dispatcher)
{
	TimestampTz look;

	if (!idle_for_long(dispatcher))
		return;
	look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), OSS_LOOK_MS);
	pgstat_report_stat(true);
	left_pending = dispatcher->claim.next_due != 0;
	leave_slot(is_copy ? OSS_SLOT_COPY : OSS_SLOT_IDLE,
			   dispatcher->claim.next_due != 0 ? Min(dispatcher->claim.next_due, look) : look);
}

/* Leave until somebody sets oss_labels.worker on. */
static void
leave_off(void)
{
	leave_slot(OSS_SLOT_DISABLED,
			   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), OSS_LOOK_MS));
}

/* Read again what ALTER DATABASE and ALTER ROLE said of oss_labels.worker. */
static void
read_own_switch(OssDispatcher *dispatcher)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		told = pg_atomic_exchange_u32(&slot->recheck, 0) != 0;

	if (!told && !(oss_dispatch_busy(dispatcher) && now >= switch_at))
		return;
	switch_at = TimestampTzPlusMilliseconds(now, SWITCH_MS);
	begin_turn();
	switch_now = oss_worker_switch();
	commit_turn();
}

/* End when the process was told to, or the worker set off. */
static void
leave_when_told(OssDispatcher *dispatcher)
{
	if (ShutdownRequestPending)
	{
		let_go(dispatcher, STOP_MS);
		leave_slot(OSS_SLOT_IDLE, 0);
	}
	read_own_switch(dispatcher);
	if (switch_now == OSS_WORKER_OFF ||
		(switch_now == OSS_WORKER_UNSET && !oss_worker_enabled))
	{
		let_go(dispatcher, OFF_MS);
		leave_off();
	}

	if (pg_atomic_read_u32(&oss_worker_shmem->waiting) > 0 &&
		GetCurrentTimestamp() - MyStartTimestamp > TURN_MS * INT64CONST(1000))
	{
		let_go(dispatcher, YIELD_MS);
		leave_slot(OSS_SLOT_IDLE, 0);
	}

	/* only a new process learns what the configuration file says */
	if (switch_now == OSS_WORKER_UNSET && switch_at_start != OSS_WORKER_UNSET)
	{
		let_go(dispatcher, STOP_MS);
		leave_slot(OSS_SLOT_IDLE, 0);
	}
}

/* Something was enqueued or resumed. */
static void
wake_on_signal(OssDispatcher *dispatcher)
{
	oss_dispatch_wake(dispatcher);
	if (is_copy && with_tables(look_for_copy, dispatcher) == PRESENT && !is_copy)
		show_activity(OSS_SLOT_RUNNING);
}

/* Claim, call and settle for ever. */
static void
run_worker(OssDispatcher *dispatcher)
{
	for (;;)
	{
		reload();
		leave_when_told(dispatcher);
		if (pg_atomic_exchange_u32(&slot->wake, 0) != 0)
			wake_on_signal(dispatcher);
		oss_dispatch_network(dispatcher, network_ms(dispatcher));
		if (oss_dispatch_tables_due(dispatcher) != 0 ||
			GetCurrentTimestamp() < turn_at)
		{
			leave_when_idle(dispatcher);
			continue;
		}
		if (pg_atomic_read_u32(&slot->recheck) != 0 ||
			ShutdownRequestPending)
			continue;
		turn_on_tables(dispatcher);
		errors = 0;
	}
}

/*
 * Recover from an error; what is in flight and in hand stays.  The network and
 * interrupts are served while the next turn is waited for.
 */
static void
recover_from_error(OssDispatcher *dispatcher)
{
	ErrorData  *error;
	MemoryContext old;
	bool		in_turn = IsTransactionState();

	errors++;
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
	RESUME_INTERRUPTS();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (errors >= MOST_ERRORS &&
		(ShutdownRequestPending || !oss_dispatch_holds_answers(dispatcher)))
		proc_exit(1);
	turn_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										  Min(1000L << Min(errors, 5), 30000));
	if (in_turn)
		return;

	/* an error of the network must not become a busy loop */
	ResetLatch(MyLatch);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 500, oss_queue_wait_event());
	SetLatch(MyLatch);
}

/* Connect and find the extension. */
static void
start_worker_process(Oid dbid)
{
	Presence	presence;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	if (!attach_worker(dbid))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);
	oss_worker_settings();

	/* what woke us is seen to now, whether there is an extension or not */
	pg_atomic_write_u32(&slot->wake, 0);
	begin_turn();
	switch_now = switch_at_start = oss_worker_switch();
	commit_turn();
	if (!oss_worker_enabled || switch_now == OSS_WORKER_OFF)
		leave_off();
	while ((presence = with_tables(take_over, NULL)) != PRESENT)
	{
		obey_settings(presence);
		wait_for_locks();
		if (ShutdownRequestPending)
			leave_slot(OSS_SLOT_IDLE, 0);
	}
	show_activity(is_copy ? OSS_SLOT_COPY : OSS_SLOT_RUNNING);
}

/* The worker's main. */
void
oss_labels_worker_main(Datum dbid)
{
	sigjmp_buf	local_sigjmp_buf;
	OssDispatcher *volatile dispatcher = NULL;

	start_worker_process(DatumGetObjectId(dbid));
	dispatcher = oss_dispatch_create(TopMemoryContext, NULL, -1);
	dispatcher->keeps_answers = true;
	if (sigsetjmp(local_sigjmp_buf, 1) != 0)
		recover_from_error(dispatcher);
	PG_exception_stack = &local_sigjmp_buf;
	MemoryContextSwitchTo(TopMemoryContext);
	run_worker(dispatcher);
}
