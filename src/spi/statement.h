/*-------------------------------------------------------------------------
 * statement.h
 *	  How C runs statements on the extension's tables.
 *
 * Top floor.  Every statement runs between oss_statement_begin() and
 * oss_statement_end(), as the extension's owner, with a search path and planner
 * settings of our own, from plans that are kept for the session.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STATEMENT_H
#define OSS_STATEMENT_H

#include "postgres.h"

#include "executor/spi.h"

/* A statement: its text, parameter types and the plan kept for it. */
typedef struct OssPlan
{
	const char *sql;
	int			nargs;
	Oid			types[16];
	SPIPlanPtr	plan;
} OssPlan;

/*
 * What kind of statements follow.  INSERT is for those that name functions,
 * types and operators with their schema and have nothing to plan: they do
 * without settings, which cost more than a row.  STORE pins the search path,
 * from which IS NOT DISTINCT FROM and ON CONFLICT take operators (whose they are
 * must not be the caller's choice), and lifts temp_file_limit.
 */
typedef enum OssStatementUse
{
	OSS_STATEMENT_INSERT,
	OSS_STATEMENT_STORE,
	OSS_STATEMENT_WORK
} OssStatementUse;

/* What oss_statement_begin() changed. */
typedef struct OssStatementState
{
	Oid			userid;
	int			seccontext;
	int			guc_level;		/* 0: no settings were changed */
} OssStatementState;

/* Return the owner of a table, InvalidOid when there is none. */
extern Oid	oss_table_owner(Oid relid);

/* Return the extension's owner, or InvalidOid where there is no extension. */
extern Oid	oss_extension_owner(void);

/*
 * Become the extension's owner with our settings.  SPI must be connected by
 * the caller.  Undone by oss_statement_end(), or by the end of the transaction
 * when something throws.  Error 55000 when the extension is not there.
 */
extern void oss_statement_begin(OssStatementState *state, OssStatementUse use);
extern void oss_statement_end(const OssStatementState *state);

/*
 * Execute a plan; nulls may be NULL.  Results are in SPI_tuptable and
 * SPI_processed.  expect is the SPI result code that means success.
 */
extern void oss_statement_execute(OssPlan *plan, Datum *values, const char *nulls,
								  int expect);

/*
 * The same on what is committed now, whatever the transaction's snapshot; no
 * value is null.
 */
extern void oss_statement_execute_latest(OssPlan *plan, Datum *values, int expect);

/*
 * Return a column of a row of the result, counted from 0 and 1; a text column as
 * a string in CurrentMemoryContext, NULL when it is null.
 */
extern Datum oss_result_column(uint64 row, int i, bool *isnull);
extern char *oss_result_string(uint64 row, int i);

/* Fill an entry of a SPI call's arrays. */
static inline void
oss_arg(Datum *values, char *nulls, int i, Datum value, bool isnull)
{
	values[i] = isnull ? (Datum) 0 : value;
	nulls[i] = isnull ? 'n' : ' ';
}

#endif							/* OSS_STATEMENT_H */
