/*-------------------------------------------------------------------------
 * bulk_insert.h
 *	  Insert many rows into a plain table without the executor.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BULK_INSERT_H
#define OSS_BULK_INSERT_H

#include "postgres.h"

#include "utils/rel.h"

typedef struct OssBulkRow
{
	Datum	   *values;			/* of all columns of the table */
	bool	   *nulls;
} OssBulkRow;

/* Allocate n rows of a table with so many columns, all of them null. */
extern OssBulkRow *oss_bulk_rows(int n, int ncolumns);

/*
 * Can rows be put into a table past the executor?  Only if nobody has given it
 * anything to be seen to at an INSERT: it is an ordinary table whose columns
 * have these types, of which only the first may be NOT NULL, without CHECK
 * constraints, rules, forced row security or any trigger but those that
 * execute the function trigger (which the caller sees to), and its indexes are
 * not unique, partial or on expressions.
 */
extern bool oss_bulk_possible(Relation relation, const Oid *types, int ntypes,
							  Oid trigger);

/*
 * Insert n rows in order.  Within a transaction, with relation locked by
 * RowExclusiveLock; allocates in CurrentMemoryContext.  Errors are
 * those of INSERT: 54000 for what an index can't hold.
 */
extern void oss_bulk_insert(Relation relation, const OssBulkRow *rows, int n);

#endif							/* OSS_BULK_INSERT_H */
