/*-------------------------------------------------------------------------
 * budget_table.h
 *	  The tables of budgets: read for the counters, and written from them.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BUDGET_TABLE_H
#define OSS_BUDGET_TABLE_H

/* Set the hooks; called once by _PG_init(). */
extern void oss_budget_table_init(void);

/*
 * Write into budget_spent what has changed since the last call.  For dumps and for
 * a standby that is promoted; a crash does not need it.  Between
 * oss_statement_begin() and oss_statement_end().
 */
extern void oss_budget_flush(void);

#endif							/* OSS_BUDGET_TABLE_H */
