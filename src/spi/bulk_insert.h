/*-------------------------------------------------------------------------
 * bulk_insert.h
 *	  Inserting many rows into a plain table without the executor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BULK_INSERT_H
#define OSS_BULK_INSERT_H

#include "utils/rel.h"

typedef struct OssBulkRow
{
	Datum	   *values;			/* of all columns of the table */
	bool	   *nulls;
} OssBulkRow;

/* Allocate n rows of ncolumns columns in CurrentMemoryContext, all null. */
extern OssBulkRow *oss_bulk_rows(int n, int ncolumns);

/* A column of a table, as the caller of oss_bulk_insert() expects it. */
typedef struct OssBulkColumn
{
	Oid			type;
	bool		given;			/* it is never null */
} OssBulkColumn;

/*
 * Can rows be inserted into a table without the executor?  Only if nothing
 * else has to be done on INSERT: the table is an ordinary one with exactly these
 * columns, without rules, forced row security and triggers that fire; without CHECK
 * constraints other than "kept", which the caller keeps (NULL: none); and no index is
 * on expressions, or checked later.
 */
extern bool oss_bulk_possible(Relation relation, const OssBulkColumn *columns,
							  int ncolumns, const char *kept);

/*
 * Insert n rows in order.  The caller holds RowExclusiveLock.  Allocates in
 * CurrentMemoryContext.  Errors: those of INSERT, such as 23505, or 54000 for a value
 * too long for an index.
 */
extern void oss_bulk_insert(Relation relation, const OssBulkRow *rows, int n);

/*
 * The same for rows that are true even if the transaction aborts: when this
 * returns, all sessions see them, whatever their snapshots, and a rollback does
 * not remove them.  Before, and if it fails, nobody does.  The caller ensures that
 * no other transaction inserts the same rows.
 */
extern void oss_bulk_insert_lasting(Relation relation, const OssBulkRow *rows, int n);

#endif							/* OSS_BULK_INSERT_H */
