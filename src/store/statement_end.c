/*-------------------------------------------------------------------------
 * statement_end.c
 *	  What tag() leaves to the end of its statement.
 *
 * A statement ends when its answers are stored, so that the next one reads them:
 * also one in a function, and each FETCH from a cursor.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "store/flight.h"
#include "store/spool.h"
#include "store/statement_end.h"
#include "store/tag_stored.h"

static ExecutorRun_hook_type previous_run;

/* Statements that run within another. */
static int	depth = 0;

/* A statement is over, however it ended. */
static void
leave_statement(void)
{
	depth--;

	/* what a cursor has in flight stands still until it goes on */
	if (depth == 0)
		oss_flight_end_statement();
}

/* Is this one of our own statements, within a call of tag()? */
static bool
is_internal(void)
{
	Oid			userid;
	int			context;

	GetUserIdAndSecContext(&userid, &context);
	return (context & SECURITY_NOFORCE_RLS) != 0;
}

/* Run a statement, and wait for what it stores. */
static void
run_statement(OSS_RUN_PARAMETERS)
{
	depth++;
	PG_TRY();
	{
		if (previous_run)
			previous_run(OSS_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(OSS_RUN_ARGUMENTS);
	}
	PG_CATCH();
	{
		leave_statement();
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave_statement();
	if (!is_internal())
		oss_spool_await();
}

/* Register for the end of statements, and keep what detect() is given. */
void
oss_statement_end_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run_statement;
	oss_detect_keep = oss_stored_keep_detected;
}
