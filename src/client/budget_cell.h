/*-------------------------------------------------------------------------
 * budget_cell.h
 *	  The counters of budgets in shared memory, and their file.
 *
 * For budget*.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BUDGET_CELL_H
#define OSS_BUDGET_CELL_H

#include "client/budget.h"

/* Databases that have sent labels requests since the server was started. */
#define BUDGET_DATABASES 250

/*
 * A budget in shared memory.  spent reaches ceiling only after a greater one is
 * on disk.  The stamps tell a reservation whether the cell is still the
 * budget's, and its period the same.
 */
typedef struct BudgetCell
{
	Oid			dbid;			/* InvalidOid: free */
	OssBudget	budget;
	int64		ceiling;
	uint64		taken;			/* stamp of when the budget took the cell */
	uint64		begun;			/* stamp of when the period began */
} BudgetCell;

/* A database.  attempts counts its labels requests, whatever they cost. */
typedef struct BudgetDatabase
{
	Oid			dbid;			/* InvalidOid: free */
	uint64		made;			/* stamp of when the database took the entry */
	uint64		generation;		/* of the budgets' table */
	uint64		loaded;			/* the one that was read, 0: none */
	int64		loaded_at;		/* oss_clock_us() */
	bool		ageing;			/* to be read each second, else each minute */
	bool		standby;		/* read during recovery */
	bool		restored;		/* what budgets have spent is to be read */
	bool		full;			/* there was no cell for a budget */
	bool		damaged;		/* its file cannot be read */
	int			nbudgets;
	int			in_flight;
	int64		attempts;
	int64		ceiling;		/* as in BudgetCell */
	int64		before;			/* attempts when the server was started */
	uint64		serial;			/* of the last record of the file */
	int64		granted_at;		/* when it was written, by oss_clock_us() */
	int			step;			/* by how much ceilings are raised */
} BudgetDatabase;

typedef struct BudgetShared
{
	uint64		stamp;
	int			ncells;			/* cells from this index on were never used */
	BudgetDatabase databases[BUDGET_DATABASES];
	BudgetCell	cells[OSS_MOST_BUDGETS];
} BudgetShared;

/* NULL without shared memory.  The lock protects all of it. */
extern BudgetShared *oss_budgets;
extern LWLock *oss_budgets_lock;

/* ---------- budget.c ---------- */

/* Return this database's entry, NULL if there are too many databases. */
extern BudgetDatabase *oss_budget_database(void);

/* Read the budgets if they have changed; may throw. */
extern OssBudgetAnswer oss_budget_keep_up(OssBudgetRefusal *why);

/* Without shared memory, remember the budgets for a while. */
extern void oss_budget_keep_own(const OssBudget *budgets, int n);

/* ---------- budget_period.c ---------- */

/*
 * Begin the period of a budget that contains a time, but none that would begin
 * before the end of the last one.
 */
extern void oss_budget_begin_period(OssBudget *budget, TimestampTz now);

/* ---------- budget_file.c: all under the lock of files ---------- */

/* Contents of a file. */
typedef struct BudgetRecord
{
	uint64		serial;			/* 0: there is no file */
	int64		attempts;
	int			n;
	OssBudget	budgets[OSS_MOST_BUDGETS];	/* id, since, starts, ends, spent */
} BudgetRecord;

/*
 * Read a database's file.  The result is valid until the next call.  Returns
 * NULL, with a LOG message, if there is one that cannot be read.
 */
extern const BudgetRecord *oss_budget_file_read(Oid dbid);

/*
 * Raise the ceilings of a database, on disk and then in memory, unless that was
 * done meanwhile.  Returns false, with a LOG message, if the file cannot be
 * written.  Takes both locks.
 */
extern bool oss_budget_file_grant(int database);

/* Lock and unlock the files. */
extern void oss_budget_file_lock(void);
extern void oss_budget_file_unlock(void);

#endif							/* OSS_BUDGET_CELL_H */
