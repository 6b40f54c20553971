/*-------------------------------------------------------------------------
 * coverage.c
 *	  The age of answers, and the least confidence of labels that are read.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "store/coverage.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_read_threshold);

double		oss_read_threshold = OSS_LABELS_THR_DEFAULT;

/* read_threshold() */
Datum
oss_labels_read_threshold(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(oss_read_threshold);
}

/* Error context callback: add a hint to the error of a time beyond the calendar. */
static void
add_hint(void *arg)
{
	if (geterrcode() == ERRCODE_DATETIME_VALUE_OUT_OF_RANGE)
		errhint("Give a shorter max_age, or NULL for any age.");
}

/*
 * Return the time of the oldest request whose answer is not older than max_age.
 * Errors: 22023 for a negative max_age, 22008 if that time is beyond the calendar.
 */
TimestampTz
oss_fresh_since(const Interval *max_age)
{
	ErrorContextCallback context = {.previous = error_context_stack,.callback = add_hint};
	Interval	none = {0};
	TimestampTz since;

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(max_age),
										 IntervalPGetDatum(&none))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_age must not be negative"),
				 errhint("Give the greatest age of a stored answer, such as '1 day', or '0' for a new answer, or NULL for any age.")));
	error_context_stack = &context;
	since = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
													TimestampTzGetDatum(GetCurrentTimestamp()),
													IntervalPGetDatum(max_age)));
	error_context_stack = context.previous;
	return since;
}
