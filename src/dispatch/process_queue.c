/*-------------------------------------------------------------------------
 * process_queue.c
 *	  process_queue(), the worker's work in the foreground, and
 *	  wait_for_queue().
 *
 * Both are procedures that commit, so that nothing is held while they wait.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "dispatch/dispatch.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "queue/database_copy.h"
#include "queue/worker_slot.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "spi/wait_event.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_process_queue);
PG_FUNCTION_INFO_V1(oss_wait_for_queue);

/* How often progress is reported. */
#define REPORT_MS 5000

/* How often the queue is looked at while waiting for it. */
#define WAIT_MS 100

/* Jobs of the caller that are not paused. */
static OssPlan any_job = {
	"SELECT FROM oss_labels.job j WHERE pg_has_role($1, coalesce("
	"oss_labels.role_of(j.origin, j.requester, j.requester_name), 0), 'USAGE')"
	" AND NOT EXISTS (SELECT FROM oss_labels.halted x"
	" WHERE (x.server IS NULL OR"
	" oss_labels.server_of(x.origin, x.server_id, x.server)"
	" = oss_labels.server_of(j.origin, j.server_id, j.server))"
	" AND (x.requester IS NULL OR"
	" oss_labels.role_of(x.origin, x.requester, x.requester_name)"
	" = oss_labels.role_of(j.origin, j.requester, j.requester_name))"
	" AND (x.bucket IS NULL OR x.bucket = j.bucket)) LIMIT 1",
	1, {OIDOID}
};

/*
 * Raise 25001 where a procedure can't commit, and where the transaction has
 * enqueued something itself.
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
			 errdetail("What the transaction enqueued is seen by nobody before it commits.")));
}

/* Report how far it got. */
static void
report(const OssDrain *drain)
{
	ereport(NOTICE,
			(errmsg("tagged " INT64_FORMAT " images, " INT64_FORMAT " failed",
					drain->tagged, drain->failed)));
}

/*
 * Commit and make the next transaction a read committed one, whatever the
 * session's default is: each claim must see the leases of the one before, and
 * what others lock meanwhile is no reason to fail.
 */
static void
commit(void)
{
	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactDeferrable = false;
}

/* Do a turn on the tables, as a function for a subtransaction. */
static void
turn(void *drain)
{
	oss_drain_tables(drain);
}

/* Do a turn on the tables. */
static void
take_turn(OssDrain *drain)
{
	/* an error must leave no connection of SPI open, such as a trigger's */
	ErrorData  *error = oss_subtransaction(turn, drain);

	if (error)
		ReThrowError(error);
	commit();
	oss_drain_commit(drain);
}

/* Drain until there is nothing left to do. */
static void
drain_all(OssDrain *drain)
{
	TimestampTz report_at;

	report_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REPORT_MS);
	for (;;)
	{
		long		due = oss_drain_tables_due(drain);

		oss_drain_network(drain, due < 0 ? 1000 : Min(due, 1000));
		if (oss_drain_tables_due(drain) == 0)
			take_turn(drain);
		if (!oss_drain_busy(drain) && !oss_drain_awaits(drain))
			break;
		if (GetCurrentTimestamp() >= report_at)
		{
			report(drain);
			report_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													REPORT_MS);
		}
	}
}

/* Store the answers that have come and give the other jobs back. */
static void
settle_rest(OssDrain *drain)
{
	oss_drain_abort(drain);
	SPI_rollback();
	XactIsoLevel = XACT_READ_COMMITTED;

	/* who cancels does not wait for somebody else's locks */
	(void) set_config_option("lock_timeout", "200ms", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	drain->patient = true;
	oss_drain_stop(drain);
	oss_drain_cancel(drain);
	take_turn(drain);
}

/*
 * Drain.  On an error, a cancel or a time-out nothing is lost that was paid for,
 * and what is given back has lost an attempt only if its request was sent.
 */
static void
drain_or_give_back(OssDrain *drain)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		drain_all(drain);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(drain->context);
		error = CopyErrorData();
		FlushErrorState();
		PG_TRY();
		{
			settle_rest(drain);
		}
		PG_CATCH();
		{
			/* the leases are freed by whoever claims next */
			FlushErrorState();
		}
		PG_END_TRY();
		MemoryContextSwitchTo(caller);
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* Raise 55000 where the jobs came with the database when it was copied. */
static void
refuse_copy(void)
{
	OssStatementState state;
	bool		copy;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	copy = oss_database_is_copy();
	oss_statement_end(&state);
	commit();
	if (copy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the jobs came with the database when it was copied"),
				 errdetail("The database that it was copied from has them, too: each image would be paid for twice."),
				 errhint("SELECT oss_labels.resume() accepts them; TRUNCATE oss_labels.job forgets them.")));
}

/* Leave process_queue() by an error or the end of the session. */
static void
leave(int code, Datum arg)
{
	oss_foreground_count(-1);
}

/* oss_labels.process_queue(max_jobs, server) */
Datum
oss_process_queue(PG_FUNCTION_ARGS)
{
	OssDrain   *drain;
	int64		budget = PG_ARGISNULL(0) ? -1 : PG_GETARG_INT64(0);
	char	   *server = NULL;

	if (!PG_ARGISNULL(1))
		server = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	require_commits(fcinfo, "process_queue");
	if (!PG_ARGISNULL(0) && budget < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_jobs must not be negative")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	drain = oss_drain_create(PortalContext, server, budget);
	oss_foreground_count(1);
	PG_ENSURE_ERROR_CLEANUP(leave, (Datum) 0);
	{
		/* the snapshot of CALL is from before what others have claimed */
		commit();
		refuse_copy();
		drain_or_give_back(drain);
	}
	PG_END_ENSURE_ERROR_CLEANUP(leave, (Datum) 0);
	oss_foreground_count(-1);
	report(drain);
	MemoryContextDelete(drain->context);
	SPI_finish();
	PG_RETURN_VOID();
}

/* Has the caller a job in the queue? */
static bool
queue_has_jobs(void)
{
	Datum		userid = ObjectIdGetDatum(GetUserId());
	OssStatementState state;
	bool		any;

	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	oss_statement_execute(&any_job, &userid, NULL, SPI_OK_SELECT);
	any = SPI_processed > 0;
	SPI_freetuptable(SPI_tuptable);
	oss_statement_end(&state);
	return any;
}

/* oss_labels.wait_for_queue(timeout) */
Datum
oss_wait_for_queue(PG_FUNCTION_ARGS)
{
	TimestampTz end = DT_NOEND;

	require_commits(fcinfo, "wait_for_queue");
	if (!PG_ARGISNULL(0))
		end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													  TimestampTzGetDatum(GetCurrentTimestamp()),
													  PG_GETARG_DATUM(0)));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	while (queue_has_jobs())
	{
		SPI_commit();
		oss_notice_no_worker();
		if (GetCurrentTimestamp() >= end)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("the queue did not get empty within the timeout"),
					 errhint("The views oss_labels.queue and oss_labels.worker show what it is waiting for.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 WAIT_MS, oss_queue_wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	PG_RETURN_VOID();
}
