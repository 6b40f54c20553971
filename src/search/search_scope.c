/*-------------------------------------------------------------------------
 * search_scope.c
 *	  The bucket and prefix that a search or recommendation is limited to.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "search/search_scope.h"
#include "utils/builtins.h"

const char *
oss_search_scope(FunctionCallInfo fcinfo, int first)
{
	StringInfoData scope;

	if (PG_ARGISNULL(first) && PG_ARGISNULL(first + 1))
		return NULL;
	initStringInfo(&scope);
	appendStringInfoString(&scope, "true");
	if (!PG_ARGISNULL(first))
		appendStringInfo(&scope, " AND i.bucket COLLATE \"C\" = %s",
						 quote_literal_cstr(TextDatumGetCString(PG_GETARG_DATUM(first))));
	if (!PG_ARGISNULL(first + 1))
		appendStringInfo(&scope, " AND i.key COLLATE \"C\" ^@ %s",
						 quote_literal_cstr(TextDatumGetCString(PG_GETARG_DATUM(first + 1))));
	return scope.data;
}

const char *
oss_scope_condition(const char *scope, const char *table, bool each)
{
	if (scope == NULL)
		return "";
	return each ? psprintf(" AND (SELECT %s FROM oss_labels.image i WHERE i.image_id = %s.image_id)",
						   scope, table) :
		psprintf(" AND %s.image_id IN (SELECT i.image_id FROM oss_labels.image i WHERE %s)",
				 table, scope);
}
