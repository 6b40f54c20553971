/*-------------------------------------------------------------------------
 * result_rows.h
 *	  Arguments and results of SQL functions: text in UTF-8, sets in
 *	  materialize mode.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RESULT_ROWS_H
#define OSS_RESULT_ROWS_H

#include "access/htup.h"
#include "fmgr.h"
#include "utils/tuplestore.h"

/* A result under construction, in per-query memory. */
typedef struct OssResult
{
	Tuplestorestate *store;
	TupleDesc	desc;
} OssResult;

/*
 * Start the result of a function declared with RETURNS TABLE.  Errors: 0A000
 * if the caller does not accept a set.
 */
extern OssResult oss_result_begin(FunctionCallInfo fcinfo);

extern void oss_result_add(const OssResult *result, Datum *values, bool *nulls);

/* Add tuples, which have the result's columns. */
extern void oss_result_add_tuples(const OssResult *result, MinimalTuple *tuples, int n);

/*
 * Return a text argument in UTF-8, NULL for NULL.  Errors: those of
 * oss_utf8().
 */
extern char *oss_utf8_argument(FunctionCallInfo fcinfo, int n);

/* Return a name argument, NULL for NULL. */
extern char *oss_name_argument(FunctionCallInfo fcinfo, int n);

/* Return a C string as a text Datum; sets *isnull for NULL. */
extern Datum oss_text_or_null(const char *s, bool *isnull);

#endif							/* OSS_RESULT_ROWS_H */
