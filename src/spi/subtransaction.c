/*-------------------------------------------------------------------------
 * subtransaction.c
 *	  Running code in a subtransaction, and classifying its error.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "spi/subtransaction.h"
#include "utils/resowner.h"

/* Run a function in a subtransaction, and roll that back unless it is kept. */
static ErrorData *
run_subtransaction(void (*function) (void *arg), void *arg, bool keep)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	uint32		interrupts = InterruptHoldoffCount;
	uint32		cancels = QueryCancelHoldoffCount;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		function(arg);
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		/* restore what the ERROR reset, since this is not the top level */
		InterruptHoldoffCount = interrupts;
		QueryCancelHoldoffCount = cancels;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

ErrorData *
oss_subtransaction(void (*function) (void *arg), void *arg)
{
	return run_subtransaction(function, arg, true);
}

ErrorData *
oss_subtransaction_trial(void (*function) (void *arg), void *arg)
{
	return run_subtransaction(function, arg, false);
}

/* Was an error raised by this C function? */
static bool
is_raised_by(const ErrorData *error, const char *function)
{
	return error->funcname && strcmp(error->funcname, function) == 0;
}

static bool
is_raised_by_language(const ErrorData *error)
{
	static const char *const files[] = {"pl_exec.c", "plpy_", "plperl", "pltcl", "plv8"};

	for (int i = 0; error->filename && i < lengthof(files); i++)
	{
		if (strncmp(error->filename, files[i], strlen(files[i])) == 0)
			return true;
	}
	return false;
}

bool
oss_error_is_interrupt(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION &&
		is_raised_by(error, "ProcessInterrupts");
}

bool
oss_error_is_wait(const ErrorData *error)
{
	return (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE &&
			(is_raised_by(error, "ProcessInterrupts") ||
			 is_raised_by(error, "oss_forgotten_check"))) ||
		(error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED &&
		 is_raised_by(error, "DeadLockReport"));
}

bool
oss_error_is_trouble(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_OPERATOR_INTERVENTION:
			return !is_raised_by_language(error);
		default:
			return false;
	}
}

bool
oss_error_is_data(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_PLPGSQL_ERROR:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_TRIGGERED_ACTION_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			return true;
		default:
			return false;
	}
}
