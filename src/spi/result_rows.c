/*-------------------------------------------------------------------------
 * result_rows.c
 *	  Arguments and results of SQL functions.
 *
 * Sets are returned in materialize mode and not row by row: the executor may
 * abandon a function only after its request has ended and been freed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/utf8.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "spi/result_rows.h"
#include "utils/builtins.h"

OssResult
oss_result_begin(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OssResult	result;
	MemoryContext old;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		(rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));

	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);

	/* use the caller's descriptor: looking it up again costs 1 us per call */
	if (rsinfo->expectedDesc != NULL)
		result.desc = CreateTupleDescCopy(rsinfo->expectedDesc);
	else if (get_call_result_type(fcinfo, NULL, &result.desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("return type must be a row type")));
	result.store = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
										 false, work_mem);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = result.store;
	rsinfo->setDesc = result.desc;
	MemoryContextSwitchTo(old);
	return result;
}

void
oss_result_add(const OssResult *result, Datum *values, bool *nulls)
{
	tuplestore_putvalues(result->store, result->desc, values, nulls);
}

Datum
oss_text_or_null(const char *s, bool *isnull)
{
	*isnull = s == NULL;
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

char *
oss_utf8_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : oss_utf8(TextDatumGetCString(PG_GETARG_DATUM(n)));
}

char *
oss_name_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : NameStr(*PG_GETARG_NAME(n));
}
