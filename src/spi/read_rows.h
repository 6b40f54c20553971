/*-------------------------------------------------------------------------
 * read_rows.h
 *	  Reading many rows by SQL.
 *
 * Results may have a million rows, so the executor passes them to a function
 * instead of collecting them in a table of SPI.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_READ_ROWS_H
#define OSS_READ_ROWS_H

#include "executor/tuptable.h"

/* Parameters of a query, not null. */
typedef struct OssArguments
{
	int			n;
	Oid			types[2];
	Datum		values[2];
} OssArguments;

/* Append a parameter. */
extern void oss_add_argument(OssArguments *arguments, Oid type, Datum value);

/*
 * Processes a row, whose attributes are deformed.  Runs in memory that is
 * freed with the query, so what must outlive it is allocated in another
 * context.
 */
typedef void (*OssTakeRow) (TupleTableSlot *slot, void *arg);

/*
 * Run a SELECT with the active snapshot and the current role's rights,
 * planned for these arguments.  SPI must be connected.  Each row is passed to
 * take(); if that is NULL, the rows are in SPI_tuptable.
 */
extern void oss_read(const char *query, const OssArguments *arguments,
					 OssTakeRow take, void *arg);

#endif							/* OSS_READ_ROWS_H */
