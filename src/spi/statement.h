/*-------------------------------------------------------------------------
 * statement.h
 *	  How C runs statements on the extension's tables.
 *
 * Top floor.  Nothing else prepares or executes SQL.  Every statement runs
 * between oss_statement_begin() and oss_statement_end(), which connect to SPI;
 * most as the extension's owner, with a search path and planner settings of our
 * own, from plans that are kept for the session.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STATEMENT_H
#define OSS_STATEMENT_H

#include "postgres.h"

#include "executor/spi.h"

/*
 * How a plan is made and what it sees.  GENERIC is for our own statements, and
 * sees all that is committed.  READ is for what a stable function reads: it
 * sees what the query does that calls it; the planner chooses.  READ_MANY is
 * the same, planned anew for its parameters each time.
 */
typedef enum OssPlanKind
{
	OSS_PLAN_GENERIC,
	OSS_PLAN_READ,
	OSS_PLAN_READ_MANY
} OssPlanKind;

/* A statement: its text, parameter types and the plan kept for it. */
typedef struct OssPlan
{
	const char *sql;
	int			nargs;
	Oid			types[16];
	OssPlanKind kind;
	SPIPlanPtr	plan;
} OssPlan;

/*
 * What kind of statements follow.  CALLER is for those that run with the
 * caller's rights and settings, PINNED with his rights and our search path.
 * The others run as the extension's owner.  INSERT is for those that name
 * functions, types and operators with their schema and have nothing to plan:
 * they do without settings, which cost more than a row.  STORE pins the search
 * path, from which IS NOT DISTINCT FROM and ON CONFLICT take operators (whose
 * they are must not be the caller's choice), and lifts temp_file_limit.
 */
typedef enum OssStatementUse
{
	OSS_STATEMENT_CALLER,
	OSS_STATEMENT_PINNED,
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
 * Connect to SPI and take the role and settings of a use.  Pairs may be nested.
 * CurrentMemoryContext stays the caller's.  Undone by oss_statement_end(),
 * which frees results, or by the end of the (sub)transaction when something
 * throws.  Error 55000 when the extension is not there.
 */
extern void oss_statement_begin(OssStatementState *state, OssStatementUse use);
extern void oss_statement_end(const OssStatementState *state);

/*
 * Execute a plan; nulls may be NULL.  Returns the number of rows; results are in
 * SPI_tuptable.  expect is the SPI result code that means success.
 */
extern uint64 oss_statement_execute(OssPlan *plan, Datum *values,
									const char *nulls, int expect);

/* The same on what a snapshot shows, whatever the transaction's is. */
extern uint64 oss_statement_execute_in(Snapshot snapshot, OssPlan *plan,
									   Datum *values, const char *nulls,
									   int expect);

/* Execute a single plan that has no result but the number of rows. */
extern uint64 oss_statement_run(OssStatementUse use, OssPlan *plan, Datum *values,
								const char *nulls, int expect);

/*
 * For texts that are known at run time only: prepare one; keep its plan for the
 * session, to be freed with SPI_freeplan(); execute it and give each row of its
 * result to take, a bounded number of rows being in memory at a time.  Returns
 * the number of rows.
 */
extern SPIPlanPtr oss_query_prepare(const char *sql, int nargs, Oid *types);
extern void oss_query_keep(SPIPlanPtr plan);
extern uint64 oss_query_read(SPIPlanPtr plan, Datum *values,
							 void (*take) (uint64 row, void *arg), void *arg);

/* Connect a procedure that commits, and disconnect it. */
extern void oss_procedure_begin(void);
extern void oss_procedure_end(void);

/*
 * Return a column of a row of the result, counted from 0 and 1, where isnull may
 * be NULL; a text column as a string in CurrentMemoryContext, NULL when it is
 * null.
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
