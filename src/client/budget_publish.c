/*-------------------------------------------------------------------------
 * budget_publish.c
 *	  Copying budgets from the table, which the upper floor reads, to shared
 *	  memory, and back.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "client/budget_cell.h"
#include "client/http.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

static bool
is_same_budget(const OssBudget *a, const OssBudget *b)
{
	return a->id == b->id && a->since == b->since;
}

/* Return this database's cell of a budget, or NULL. */
static BudgetCell *
find_cell(const OssBudget *budget)
{
	for (int i = 0; i < oss_budgets->ncells; i++)
	{
		BudgetCell *cell = &oss_budgets->cells[i];

		if (cell->dbid == MyDatabaseId && is_same_budget(&cell->budget, budget))
			return cell;
	}
	return NULL;
}

/* Return a free cell, or NULL. */
static BudgetCell *
free_cell(void)
{
	for (int i = 0; i < OSS_MOST_BUDGETS; i++)
	{
		if (OidIsValid(oss_budgets->cells[i].dbid))
			continue;
		oss_budgets->ncells = Max(oss_budgets->ncells, i + 1);
		return &oss_budgets->cells[i];
	}
	return NULL;
}

/* Free the cells of budgets that are not in the table any more. */
static void
drop_missing(const OssBudget *budgets, int n)
{
	for (int i = 0; i < oss_budgets->ncells; i++)
	{
		BudgetCell *cell = &oss_budgets->cells[i];
		bool		found = false;

		if (cell->dbid != MyDatabaseId)
			continue;
		for (int j = 0; j < n && !found; j++)
			found = is_same_budget(&budgets[j], &cell->budget);
		if (!found)
			cell->dbid = InvalidOid;
	}
}

/*
 * Copy period and counter of a budget from a file or a table, unless they are older.
 */
static void
take_period(OssBudget *budget, const OssBudget *other)
{
	if (other->ends == 0 || other->starts < budget->starts)
		return;
	budget->spent = other->starts > budget->starts || budget->ends == 0 ? other->spent :
		Max(budget->spent, other->spent);
	budget->starts = other->starts;
	budget->ends = other->ends;
}

/* Give a budget a cell. file: the counters that survived the last stop, or NULL. */
static bool
add_cell(const OssBudget *budget, const BudgetRecord *file)
{
	BudgetCell *cell = free_cell();

	if (cell == NULL)
		return false;
	cell->dbid = MyDatabaseId;
	cell->budget = *budget;
	cell->budget.in_flight = 0;
	for (int i = 0; file && i < file->n; i++)
	{
		if (is_same_budget(&file->budgets[i], budget))
			take_period(&cell->budget, &file->budgets[i]);
	}
	if (cell->budget.ends == 0)
		oss_budget_begin_period(&cell->budget, GetCurrentTimestamp());
	cell->ceiling = cell->budget.spent;
	cell->taken = cell->begun = ++oss_budgets->stamp;
	return true;
}

/* Copy a budget's row into its cell, its counters only if "spent". */
static void
change_cell(BudgetCell *cell, const OssBudget *budget, bool spent)
{
	OssBudget	before = cell->budget;

	cell->budget = *budget;
	cell->budget.starts = before.starts;
	cell->budget.ends = before.ends;
	cell->budget.spent = before.spent;
	cell->budget.in_flight = before.in_flight;

	if (spent)
		take_period(&cell->budget, budget);
	if (budget->period == before.period)
		return;
	cell->budget.ends = 0;
	oss_budget_begin_period(&cell->budget, GetCurrentTimestamp());
	cell->begun = ++oss_budgets->stamp;
	cell->ceiling = 0;
}

bool
oss_budget_publish(uint64 generation, const OssBudget *budgets, int n)
{
	BudgetDatabase *database;
	const BudgetRecord *file = NULL;

	if (oss_budgets == NULL)
	{
		oss_budget_keep_own(budgets, n);
		return true;
	}
	database = oss_budget_database();
	if (database == NULL)
		return false;
	oss_budget_file_lock();
	if (database->loaded == 0 && !database->damaged)
		file = oss_budget_file_read(MyDatabaseId);
	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	if (generation >= database->loaded)
	{
		/*
		 * the table is newer: a primary went on counting, or a dump was
		 * restored
		 */
		bool		spent = database->standby || database->restored;

		drop_missing(budgets, n);
		database->full = false;
		database->ageing = RecoveryInProgress();
		for (int i = 0; i < n; i++)
		{
			BudgetCell *cell = find_cell(&budgets[i]);

			if (cell != NULL)
				change_cell(cell, &budgets[i], spent);
			else
				database->full |= !add_cell(&budgets[i], file);

			/* the role may be created later */
			database->ageing |= (budgets[i].scope & OSS_BUDGET_OF_REQUESTER) != 0 &&
				!OidIsValid(budgets[i].requester);
		}
		database->nbudgets = n;
		database->loaded = generation;
		database->loaded_at = oss_clock_us();
		database->standby = RecoveryInProgress();
		database->restored &= generation != database->generation;
	}
	LWLockRelease(oss_budgets_lock);
	oss_budget_file_unlock();
	return !database->full;
}

int
oss_budget_room(void)
{
	int			room = OSS_MOST_BUDGETS;

	if (oss_budgets == NULL)
		return room;
	LWLockAcquire(oss_budgets_lock, LW_SHARED);
	for (int i = 0; i < oss_budgets->ncells; i++)
	{
		const BudgetCell *cell = &oss_budgets->cells[i];

		room -= OidIsValid(cell->dbid) && cell->dbid != MyDatabaseId;
	}
	LWLockRelease(oss_budgets_lock);
	return room;
}

int
oss_budget_copy(OssBudget *budgets, int most)
{
	OssBudgetRefusal why;
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;

	if (oss_budgets == NULL || oss_budget_keep_up(&why) != OSS_BUDGET_OPEN)
		return -1;
	LWLockAcquire(oss_budgets_lock, LW_SHARED);
	for (int i = 0; i < oss_budgets->ncells && n < most; i++)
	{
		const BudgetCell *cell = &oss_budgets->cells[i];

		if (cell->dbid != MyDatabaseId)
			continue;
		budgets[n] = cell->budget;
		if (now >= budgets[n].ends && budgets[n].period != OSS_PERIOD_EVER)
			oss_budget_begin_period(&budgets[n], now);
		n++;
	}
	LWLockRelease(oss_budgets_lock);
	return n;
}
