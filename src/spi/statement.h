/*-------------------------------------------------------------------------
 * statement.h
 *	  Running SQL statements.
 *
 * No other room prepares or executes SQL.  Statements run between
 * oss_statement_begin() and oss_statement_end(), which connect to SPI, most of
 * them as the extension's owner with fixed settings.  Plans are kept for the
 * session.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STATEMENT_H
#define OSS_STATEMENT_H

#include "executor/spi.h"
#include "utils/builtins.h"

/*
 * How a plan is made, and what it sees.  GENERIC: a generic plan, sees all
 * committed rows.  READ: for stable functions; sees what the calling query
 * sees; the planner chooses the kind of plan.  READ_MANY: the same, but
 * planned for each set of parameters.
 */
typedef enum OssPlanKind
{
	OSS_PLAN_GENERIC,
	OSS_PLAN_READ,
	OSS_PLAN_READ_MANY
} OssPlanKind;

/* A statement with its parameter types and its plan, made on first use. */
typedef struct OssPlan
{
	const char *sql;
	int			nargs;
	Oid			types[17];
	OssPlanKind kind;
	SPIPlanPtr	plan;
} OssPlan;

/*
 * Role and settings of statements.  CALLER: those of the caller.  PINNED: the
 * caller's role, our search path.  The others run as the extension's owner.
 * INSERT: for statements that qualify all functions, types and operators and
 * need no planning; no settings are changed, since that costs more than a
 * row.  STORE: our search path, from which IS NOT DISTINCT FROM and ON
 * CONFLICT take operators (the caller must not choose them), and no
 * temp_file_limit.  WORK: the planner's settings for the queue, too.
 */
typedef enum OssStatementUse
{
	OSS_STATEMENT_CALLER,
	OSS_STATEMENT_PINNED,
	OSS_STATEMENT_INSERT,
	OSS_STATEMENT_STORE,
	OSS_STATEMENT_WORK
} OssStatementUse;

/* State saved by oss_statement_begin(). */
typedef struct OssStatementState
{
	Oid			userid;
	int			seccontext;
	int			guc_level;		/* 0: no settings were changed */
} OssStatementState;

/* Return the owner of a table, InvalidOid if it does not exist. */
extern Oid	oss_table_owner(Oid relid);

/* Return a copy of the present row of a catalog with this OID, or NULL. */
extern HeapTuple oss_catalog_row(Oid catalog, Oid index, AttrNumber column, Oid oid);

/* Return the extension's owner, InvalidOid if it is not installed. */
extern Oid	oss_extension_owner(void);

/* Return the extension's version in this database, NULL if it is not there. */
extern char *oss_extension_version(void);

/*
 * Open a table of the extension.  Errors: 55000 if it is not there, or not any more.
 */
extern Relation oss_own_table_open(const char *name, LOCKMODE mode);

/*
 * Lock tables of the extension for writing, in the transaction.  Returns NULL, or the
 * name of one that cannot be locked without waiting, or does not exist.
 */
extern const char *oss_own_tables_lock(const char *const *names, int n);

/*
 * Connect to SPI and switch to role and settings of a use; may be nested.
 * CurrentMemoryContext is kept.  oss_statement_end() restores all and frees
 * results; so does the end of the (sub)transaction on error.  Errors: 55000
 * if the extension is not installed.
 */
extern void oss_statement_begin(OssStatementState *state, OssStatementUse use);
extern void oss_statement_end(const OssStatementState *state);

/*
 * Execute a plan; nulls may be NULL; expect is the SPI result code of
 * success.  Returns the number of rows; the result is in SPI_tuptable.
 */
extern uint64 oss_statement_execute(OssPlan *plan, Datum *values,
									const char *nulls, int expect);

/* The same with a given snapshot. */
extern uint64 oss_statement_execute_in(Snapshot snapshot, OssPlan *plan,
									   Datum *values, const char *nulls,
									   int expect);

/* Execute a single plan between begin and end.  Returns the number of rows. */
extern uint64 oss_statement_run(OssStatementUse use, OssPlan *plan, Datum *values,
								const char *nulls, int expect);

/*
 * For statements whose text is known at run time only: prepare; keep the plan
 * for the session, to be freed with SPI_freeplan(); execute, passing each row
 * of the result to take() while a bounded number of rows is in memory, and
 * return the number of rows.  read_only: with the snapshot of the calling query, and
 * nothing may be written.
 */
extern SPIPlanPtr oss_query_prepare(const char *sql, int nargs, Oid *types);
extern void oss_query_keep(SPIPlanPtr plan);
extern uint64 oss_query_read(SPIPlanPtr plan, Datum *values, bool read_only,
							 void (*take) (uint64 row, void *arg), void *arg);

/*
 * The same for a user's query: while it runs, none of its functions writes or sends
 * a request.
 */
extern void oss_query_read_guarded(SPIPlanPtr plan, Datum *values, bool read_only,
								   void (*take) (uint64 row, void *arg), void *arg);

/* Connect and disconnect a procedure that commits. */
extern void oss_procedure_begin(void);
extern void oss_procedure_end(void);

/*
 * Return a column (from 1) of a row (from 0) of the result, 0 for null; isnull
 * may be NULL.  The second returns a text column as a string in
 * CurrentMemoryContext, NULL for null.
 */
extern Datum oss_result_column(uint64 row, int i, bool *isnull);
extern char *oss_result_string(uint64 row, int i);

/* Set a parameter in the arrays of an SPI call. */
static inline void
oss_arg(Datum *values, char *nulls, int i, Datum value, bool isnull)
{
	values[i] = isnull ? (Datum) 0 : value;
	nulls[i] = isnull ? 'n' : ' ';
}

/* Set a parameter to a string as text, NULL as null. */
static inline void
oss_arg_string(Datum *values, char *nulls, int i, const char *string)
{
	oss_arg(values, nulls, i, string ? CStringGetTextDatum(string) : (Datum) 0,
			string == NULL);
}

#endif							/* OSS_STATEMENT_H */
