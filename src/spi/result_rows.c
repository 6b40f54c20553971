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
#include "executor/tuptable.h"
#include "funcapi.h"
#include "spi/result_rows.h"
#include "utils/builtins.h"

OssResult
oss_result_begin(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OssResult	result;

	/* the caller's descriptor: looking it up again costs 1 us per call */
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	result.store = rsinfo->setResult;
	result.desc = rsinfo->setDesc;
	return result;
}

void
oss_result_add(const OssResult *result, Datum *values, bool *nulls)
{
	tuplestore_putvalues(result->store, result->desc, values, nulls);
}

void
oss_result_add_tuples(const OssResult *result, MinimalTuple *tuples, int n)
{
	TupleTableSlot *slot;

	if (n == 0)
		return;
	slot = MakeSingleTupleTableSlot(result->desc, &TTSOpsMinimalTuple);
	for (int i = 0; i < n; i++)
	{
		ExecStoreMinimalTuple(tuples[i], slot, false);
		tuplestore_puttupleslot(result->store, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
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
