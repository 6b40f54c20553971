/*-------------------------------------------------------------------------
 * credential_document.c
 *	  The JSON documents in which keys are given out.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_source.h"
#include "utils/datetime.h"

/* Read a time of the form YYYY-MM-DDThh:mm:ssZ. */
bool
credential_expiration(const char *text, TimestampTz *when)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	struct pg_tm tm = {0};

	if (strlen(text) != strlen(form))
		return false;
	for (int i = 0; form[i] != '\0'; i++)
		if (form[i] == 'd' ? !isdigit((unsigned char) text[i]) :
			text[i] != form[i])
			return false;
	sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ", &tm.tm_year, &tm.tm_mon,
		   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec);
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
		tm.tm_mday < 1 || tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] ||
		tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	return tm2timestamp(&tm, 0, NULL, when) == 0;
}
