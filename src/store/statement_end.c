/*-------------------------------------------------------------------------
 * statement_end.c
 *	  At the end of a statement: wait until the answers of tag() are stored.
 *
 * The next statement then reads them.  This also holds for statements within a
 * function, and for each FETCH from a cursor.
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

/* Nesting depth of statements. */
static int	depth = 0;

/* Leave a statement that has ended, with or without an error. */
static void
leave_statement(void)
{
	depth--;

	/* requests of an open cursor do not continue until its next FETCH */
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

/* Run a statement, and wait until its answers are stored. */
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

/* Install the hook, and the function that keeps answers of detect(). */
void
oss_statement_end_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run_statement;
	oss_detect_keep = oss_stored_keep_detected;
}
