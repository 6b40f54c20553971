/*-------------------------------------------------------------------------
 * process_queue.c
 *	  process_queue(), which does the worker's work in a session, and
 *	  wait_for_queue().
 *
 * Both are procedures that commit, so that no lock or snapshot is held while
 * they wait.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "client/budget.h"
#include "client/failure.h"
#include "client/http.h"
#include "dispatch/blocked.h"
#include "dispatch/deferred_end.h"
#include "dispatch/dispatch.h"
#include "dispatch/spooled.h"
#include "dispatch/turn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "queue/database_copy.h"
#include "queue/job.h"
#include "queue/worker_slot.h"
#include "spi/column_array.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "spi/wait_event.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "store/spool.h"
#include "sync/sync_row.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_process_queue);
PG_FUNCTION_INFO_V1(oss_labels_wait_for_queue);

/* How often progress is reported. */
#define REPORT_MS 5000

/*
 * How often the queue is read while waiting for it; the reads take at most one
 * part in WAIT_COST of the time.
 */
#define WAIT_MS 100
#define WAIT_COST 20

/*
 * Turns in a row that fail before process_queue() gives up, and the wait
 * between.
 */
#define MOST_ERRORS 5
#define ERROR_US INT64CONST(100000)

/* Tries to give back the jobs in hand at the end. */
#define MOST_TRIES 10

/* Lanes that wait_for_queue() reads at once. */
#define MOST_LANES 100

/* A job of a lane whose key is in none of the directories $6. */
static OssPlan job_elsewhere = {
	"SELECT FROM oss_labels.job j"
	" WHERE (j.server, j.server_id, j.bucket, j.requester, j.origin)"
	" = ($1, $2, $3, $4, $5) AND NOT EXISTS (SELECT FROM unnest($6) d"
	" WHERE CASE d WHEN '/' THEN strpos(j.key, '/') = 0"
	" ELSE starts_with(j.key, d) END) LIMIT 1",
	6, {TEXTOID, OIDOID, TEXTOID, OIDOID, INT8OID, TEXTARRAYOID}
};

/* Pauses because answers cannot be stored. */
static OssPlan find_storing = {
	"SELECT FROM oss_labels.active_pause WHERE storing LIMIT 1",
	0, {0}
};

/*
 * Raise 25001 where a procedure cannot commit, or if the transaction has
 * enqueued jobs.
 */
static void
require_commits(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context && IsA(fcinfo->context, CallContext) &&
		!((CallContext *) fcinfo->context)->atomic && !oss_wake_pending())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("oss_labels.%s() cannot run inside a transaction block",
					name),
			 errdetail("Jobs that the transaction enqueued are not visible before it commits."),
			 errhint("Call it outside of BEGIN and COMMIT, and not from a function.")));
}

static void
report_progress(const OssDispatcher *dispatcher)
{
	ereport(NOTICE,
			(errmsg("tagged " INT64_FORMAT " images, " INT64_FORMAT " failed",
					dispatcher->tagged, dispatcher->failed)));
}

/*
 * Commit, and make the next transaction read committed whatever the session's
 * default is: each claim must see earlier leases, and must not fail because of
 * concurrent updates.  A session that is being terminated does not wait for a
 * standby, as usual.
 */
static void
commit_foreground_turn(void)
{
	oss_end_allow();
	if (oss_end_came())
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactDeferrable = false;
}

/* Do a turn, as a function for a subtransaction. */
static void
run_turn(void *dispatcher)
{
	oss_dispatch_tables(dispatcher);
}

/* Do a turn and commit; false if the tables are locked. */
static bool
take_foreground_turn(OssDispatcher *dispatcher)
{
	ErrorData  *error;

	oss_end_defer();
	if (OidIsValid(oss_extension_owner()) && oss_dispatch_lock_tables(dispatcher))
	{
		oss_dispatch_share_unstored(dispatcher);
		commit_foreground_turn();
		return false;
	}

	/*
	 * a subtransaction closes SPI connections after an error, such as a
	 * trigger's
	 */
	error = oss_subtransaction(run_turn, dispatcher);
	if (error)
		ReThrowError(error);
	commit_foreground_turn();
	oss_dispatch_commit(dispatcher);
	return true;
}

/* Undo a turn that failed. */
static void
undo_turn(OssDispatcher *dispatcher)
{
	oss_dispatch_abort(dispatcher);
	SPI_rollback();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactDeferrable = false;
}

/*
 * Do a turn; false if it has to be repeated.  Lock time-outs are repeated
 * without limit, other errors except a cancel MOST_ERRORS times.
 */
static bool
try_turn(OssDispatcher *dispatcher, int *errors)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		done = take_foreground_turn(dispatcher);
		*errors = 0;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(dispatcher->context);
		error = CopyErrorData();
		FlushErrorState();
		MemoryContextSwitchTo(caller);
		++*errors;
		if (oss_error_is_interrupt(error) ||
			(*errors >= MOST_ERRORS && !oss_error_is_wait(error)))
			ReThrowError(error);
		undo_turn(dispatcher);
		elog(DEBUG1, "oss_labels: a turn failed and is done again: %s",
			 error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return done;
}

/* Work until the queue is empty, the budget used up, or SIGTERM deferred. */
static void
dispatch_all(OssDispatcher *dispatcher)
{
	int64		report_at = oss_clock_us() + REPORT_MS * INT64CONST(1000);
	int64		turn_at = 0;
	int			errors = 0;
	bool		first = true;

	while (!oss_end_came())
	{
		int64		now = oss_clock_us();
		long		due;

		oss_end_check_cancel();
		(void) oss_dispatch_take_spooled(dispatcher, first);
		first = false;
		due = oss_dispatch_tables_due(dispatcher);

		if (due == 0)
			due = TimestampDifferenceMilliseconds(now, turn_at);
		oss_end_defer();
		oss_dispatch_network(dispatcher, due < 0 ? 1000 : Min(due, 1000));
		now = oss_clock_us();
		if (oss_dispatch_tables_due(dispatcher) == 0 && now >= turn_at)
			turn_at = try_turn(dispatcher, &errors) ? 0 :
				now + (ERROR_US << Min(errors, 4));
		if (turn_at == 0 && !oss_dispatch_busy(dispatcher) && !oss_dispatch_awaits(dispatcher) &&
			(dispatcher->claim.budget <= 0 ||
			 !oss_syncs_busy(dispatcher->syncs, dispatcher->settled)))
			break;
		if (now >= report_at)
		{
			/* the client may read slowly */
			oss_end_allow();
			report_progress(dispatcher);
			report_at = now + REPORT_MS * INT64CONST(1000);
		}
	}
}

/*
 * Store the answers that have come and give the other jobs back.  Answers that
 * cannot be stored at once are written into the jobs' rows, so that a cancel
 * does not wait for other transactions' locks.
 */
static void
settle_rest(OssDispatcher *dispatcher)
{
	oss_end_defer();
	undo_turn(dispatcher);
	dispatcher->keeps_answers = true;
	oss_dispatch_stop(dispatcher);
	oss_dispatch_cancel(dispatcher);
	for (int i = 0; oss_dispatch_busy(dispatcher) && i < MOST_TRIES; i++)
	{
		volatile bool done = false;

		if (i > 0)
			oss_dispatch_hand_over_all(dispatcher);
		PG_TRY();
		{
			done = take_foreground_turn(dispatcher);
		}
		PG_CATCH();
		{
			FlushErrorState();
			undo_turn(dispatcher);
		}
		PG_END_TRY();
		if (!done)
			pg_usleep(ERROR_US);
	}
}

/*
 * The same while another error is being handled: errors of its own are
 * dropped.
 */
static void
try_to_settle_rest(OssDispatcher *dispatcher)
{
	PG_TRY();
	{
		settle_rest(dispatcher);
	}
	PG_CATCH();
	{
		/* a process that claims later frees the leases */
		FlushErrorState();
	}
	PG_END_TRY();
}

/*
 * Work on the queue.  After an error, a cancel, a timeout or SIGTERM, no answer
 * is lost, and a job that is given back has lost an attempt only if its request
 * was sent.
 */
static void
dispatch_or_give_back(OssDispatcher *dispatcher)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		dispatch_all(dispatcher);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(dispatcher->context);
		error = CopyErrorData();
		FlushErrorState();
		try_to_settle_rest(dispatcher);
		MemoryContextSwitchTo(caller);
		ReThrowError(error);
	}
	PG_END_TRY();
	if (oss_end_came())
	{
		try_to_settle_rest(dispatcher);
		oss_end_give_back();
		CHECK_FOR_INTERRUPTS();
	}
}

/* Raise 55000 if the jobs came with a copy of another database. */
static void
refuse_copy(void)
{
	OssStatementState state;
	bool		copy;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	copy = oss_database_is_copy();
	oss_statement_end(&state);
	commit_foreground_turn();
	if (copy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the jobs came with the database when it was copied"),
				 errdetail("The database that it was copied from has them, too: each image would be paid for twice."),
				 errhint("SELECT oss_labels.resume() accepts them; TRUNCATE oss_labels.job forgets them.")));
}

/* Is this session counted, and SIGTERM taken? */
static bool entered = false;

/* Leave process_queue(), however it ends. */
static void
leave_queue(void)
{
	if (!entered)
		return;
	entered = false;
	oss_end_give_back();

	/* a worker that has looked meanwhile could not read what is left */
	if (oss_spool_leave())
		oss_spool_wake();
	oss_foreground_count(-1);
}

/* The same at the end of the session. */
static void
leave_at_exit(int code, Datum arg)
{
	leave_queue();
}

/*
 * Enter process_queue().  The callback stays: PG_ENSURE_ERROR_CLEANUP() cannot
 * remove it from beneath one that a trigger's first temporary table adds.
 */
static void
enter_queue(void)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(leave_at_exit, (Datum) 0);
	registered = true;
	entered = true;
	oss_foreground_count(1);
	oss_end_take();
}

/* oss_labels.process_queue(max_jobs, server) */
Datum
oss_labels_process_queue(PG_FUNCTION_ARGS)
{
	OssDispatcher *dispatcher;
	int64		budget = PG_ARGISNULL(0) ? -1 : PG_GETARG_INT64(0);

	require_commits(fcinfo, "process_queue");
	PreventCommandIfReadOnly("process_queue()");
	if (!PG_ARGISNULL(0) && budget < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_jobs must not be negative"),
				 errhint("Give the number of jobs to process, or NULL for all.")));
	if (!oss_allow_requests)
		oss_failure_throw(oss_failure_make("RequestsForbidden",
										   "oss_labels.allow_requests is off.",
										   "labels of the queue's images"));
	oss_procedure_begin();
	dispatcher = oss_dispatch_create(PortalContext, oss_name_argument(fcinfo, 1), budget);
	enter_queue();
	PG_TRY();
	{
		/* the snapshot of CALL is older than other processes' last claims */
		commit_foreground_turn();
		refuse_copy();
		dispatch_or_give_back(dispatcher);
		if (XactLastCommitEnd != InvalidXLogRecPtr)
			XLogFlush(XactLastCommitEnd);
		oss_spool_tell(true);
	}
	PG_FINALLY();
	{
		leave_queue();
	}
	PG_END_TRY();
	report_progress(dispatcher);
	MemoryContextDelete(dispatcher->context);
	oss_procedure_end();
	PG_RETURN_VOID();
}

/* Does a lane have a job that is not paused? */
static bool
lane_has_job(const OssLaneHead *head, List *pauses)
{
	OssColumn	directories;
	ListCell   *cell;
	Datum		values[6] = {
		CStringGetTextDatum(head->key.server), ObjectIdGetDatum(head->key.server_id),
		CStringGetTextDatum(head->key.bucket), ObjectIdGetDatum(head->key.requester),
		Int64GetDatum(head->key.origin)
	};

	oss_column_init(&directories, TEXTOID, 0);
	foreach(cell, pauses)
	{
		const OssPause *pause = lfirst(cell);

		if (!oss_pause_concerns(pause, head->server, head->key.bucket, head->role))
			continue;
		if (pause->directory == NULL)
			return false;
		oss_column_add_string(&directories, pause->directory);
	}
	if (directories.n == 0)
		return true;
	values[5] = oss_column_array(&directories);
	return oss_statement_execute(&job_elsewhere, values, NULL, SPI_OK_SELECT) > 0;
}

/*
 * Does the caller have a job that is not paused?  The jobs of a lane have one
 * requester and the same pauses.
 */
static bool
queue_has_jobs(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "oss_labels wait",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Oid			caller = GetUserId();
	const OssLaneKey *last = NULL;
	OssStatementState state;
	List	   *pauses;
	List	   *heads;
	ListCell   *cell;
	bool		found = false;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	pauses = oss_pause_list();
	do
	{
		heads = oss_job_lanes(last, MOST_LANES);
		foreach(cell, heads)
		{
			const OssLaneHead *head = lfirst(cell);

			last = &head->key;
			found = found || (has_privs_of_role(caller, head->role) &&
							  lane_has_job(head, pauses));
		}
	} while (!found && list_length(heads) == MOST_LANES);
	oss_statement_end(&state);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return found;
}

/* Do answers of sessions wait that can be stored? */
static bool
answers_wait(void)
{
	return oss_spool_pending() &&
		oss_statement_run(OSS_STATEMENT_WORK, &find_storing, NULL, NULL, SPI_OK_SELECT) == 0;
}

/* Is a bucket of the caller's listed, or about to be? */
static bool
syncs_at_work(void)
{
	OssStatementState state;
	Oid			caller = GetUserId();
	bool		at_work;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	at_work = oss_sync_at_work(caller);
	oss_statement_end(&state);
	return at_work;
}

/* Return when an interval from now ends, by the calendar. */
static int64
end_of_wait(int64 now, Datum interval)
{
	TimestampTz start = GetCurrentTimestamp();
	Datum		end = DirectFunctionCall2(timestamptz_pl_interval,
										  TimestampTzGetDatum(start), interval);

	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(end)))
		return DatumGetTimestampTz(end) < start ? now : PG_INT64_MAX;
	return now + (DatumGetTimestampTz(end) - start);
}

/* oss_labels.wait_for_queue(timeout) */
Datum
oss_labels_wait_for_queue(PG_FUNCTION_ARGS)
{
	int64		looked_at = oss_clock_us();
	int64		end = PG_INT64_MAX;

	require_commits(fcinfo, "wait_for_queue");
	if (!PG_ARGISNULL(0))
		end = end_of_wait(looked_at, PG_GETARG_DATUM(0));
	oss_procedure_begin();
	for (;;)
	{
		long		ms;

		looked_at = oss_clock_us();
		if (!queue_has_jobs() && !answers_wait() && !syncs_at_work())
			break;
		SPI_commit();
		oss_notice_no_worker();
		if (oss_clock_us() >= end)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("timeout while waiting for the queue"),
					 errhint("The views oss_labels.queue and oss_labels.worker show what it waits for.")));
		ms = (long) ((oss_clock_us() - looked_at) / 1000) * WAIT_COST;
		oss_queue_wait(oss_wait_until(Max(ms, WAIT_MS), oss_clock_us(), end));
	}
	oss_procedure_end();
	PG_RETURN_VOID();
}
