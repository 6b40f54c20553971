/*-------------------------------------------------------------------------
 * read_rows.h
 *	  Read many rows by SQL.
 *
 * Top floor.  Results may have a million rows, so they go from the executor
 * straight to whom they are for instead of through a table of SPI's.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_READ_ROWS_H
#define OSS_READ_ROWS_H

#include "postgres.h"

#include "executor/tuptable.h"

/* Parameters of a query; none is null. */
typedef struct OssArguments
{
	int			n;
	Oid			types[2];
	Datum		values[2];
} OssArguments;

/* Append a parameter; there may be two. */
extern void oss_add_argument(OssArguments *arguments, Oid type, Datum value);

/*
 * Takes a row, whose columns are there.  Runs in memory that goes with the
 * query: what it keeps must be allocated in a context of its own.
 */
typedef void (*OssTakeRow) (TupleTableSlot *slot, void *arg);

/*
 * Run a SELECT with the active snapshot and the current role's rights, planned
 * for these arguments, between oss_statement_begin() and oss_statement_end().
 * Each row is given to take; without it the rows are the statement's result.
 */
extern void oss_read(const char *query, const OssArguments *arguments,
					 OssTakeRow take, void *arg);

#endif							/* OSS_READ_ROWS_H */
