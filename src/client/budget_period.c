/*-------------------------------------------------------------------------
 * budget_period.c
 *	  Periods of budgets: days and months of oss_labels.billing_time_zone.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/budget_cell.h"
#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

char	   *oss_billing_time_zone = NULL;

static pg_tz *zone = NULL;

bool
oss_billing_time_zone_check(char **value, void **extra, GucSource source)
{
	pg_tz	   *found = pg_tzset(*value);

	if (found != NULL && pg_tz_acceptable(found))
		return true;
	GUC_check_errdetail("There is no such time zone.");
	GUC_check_errhint("pg_timezone_names lists them.");
	return false;
}

void
oss_billing_time_zone_assign(const char *value, void *extra)
{
	zone = pg_tzset(value);
}

DateADT
oss_billing_day(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, zone) != 0)
		return 0;
	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
}

/* Return the begin of a day or month of the time zone. */
static TimestampTz
begin_of(int year, int month, int day)
{
	struct pg_tm tm = {.tm_year = year,.tm_mon = month,.tm_mday = day,.tm_isdst = -1};
	int			tz = DetermineTimeZoneOffset(&tm, zone);
	TimestampTz result;

	if (tm2timestamp(&tm, 0, &tz, &result) != 0)
		return DT_NOEND;
	return result;
}

/* Set begin and end of the day or month that contains a time. */
static void
bounds_of(OssPeriod period, TimestampTz now, TimestampTz *starts, TimestampTz *ends)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			year;
	int			month;
	int			day;

	*starts = *ends = DT_NOEND;
	if (period == OSS_PERIOD_EVER ||
		timestamp2tm(now, &tz, &tm, &fsec, NULL, zone) != 0)
		return;
	if (period == OSS_PERIOD_MONTH)
	{
		*starts = begin_of(tm.tm_year, tm.tm_mon, 1);
		*ends = tm.tm_mon == 12 ? begin_of(tm.tm_year + 1, 1, 1) :
			begin_of(tm.tm_year, tm.tm_mon + 1, 1);
		return;
	}
	*starts = begin_of(tm.tm_year, tm.tm_mon, tm.tm_mday);
	j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1, &year, &month, &day);
	*ends = begin_of(year, month, day);
}

void
oss_budget_begin_period(OssBudget *budget, TimestampTz now)
{
	TimestampTz starts;
	TimestampTz ends;

	bounds_of(budget->period, now, &starts, &ends);
	if (budget->period == OSS_PERIOD_EVER)
		starts = budget->since;
	else if (budget->ends != 0)
		starts = Max(starts, budget->ends);
	budget->starts = starts;
	budget->ends = ends;
	budget->spent = 0;
}
