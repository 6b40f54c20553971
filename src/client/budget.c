/*-------------------------------------------------------------------------
 * budget.c
 *	  Budgets: checked and counted in one step before each labels request.
 *
 * A request must fit into all budgets that cover it: it is taken from all of
 * them or from none, under one lock.  When in doubt it is refused: a budget that
 * cannot be counted lets nothing through.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "client/budget_cell.h"
#include "client/http.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * Longest age of budgets that may change without notice, on a standby or while a
 * role is missing; and of all others, since triggers may be disabled.
 */
#define AGE_US USECS_PER_SEC
#define MOST_AGE_US (60 * USECS_PER_SEC)

OssBudgetAnswer (*oss_budget_load) (void) = NULL;

bool		oss_allow_requests = true;
int			oss_requests_forbidden = 0;
bool		oss_budget_changing = false;
int			oss_max_requests_per_statement = 100000;

/* This database's index in shared memory, -1: not looked up yet. */
static int	mine = -1;

/* Without shared memory: the budgets, and since when they are known. */
static OssBudget *own = NULL;
static int	nown = 0;
static int64 own_at = 0;
static TimestampTz own_statement = 0;

/* The statement whose requests are counted. */
static TimestampTz statement = 0;
static int64 statement_requests = 0;

/* Set the reason of a refusal that no budget caused. */
static OssBudgetAnswer
refuse_because(OssBudgetRefusal *why, const char *code, const char *detail)
{
	why->code = code;
	why->budget = 0;
	why->scope = 0;
	why->until = DT_NOEND;
	strlcpy(why->detail, detail, sizeof(why->detail));
	return OSS_BUDGET_REFUSED;
}

/* Set that a budget is used up. */
static OssBudgetAnswer
refuse_by_budget(OssBudgetRefusal *why, const OssBudget *budget)
{
	static const char *const periods[] = {
		[OSS_PERIOD_DAY] = " a day",[OSS_PERIOD_MONTH] = " a month",[OSS_PERIOD_EVER] = ""
	};
	bool		server = budget->scope & OSS_BUDGET_OF_SERVER;
	bool		bucket = budget->scope & OSS_BUDGET_OF_BUCKET;

	why->code = "BudgetExhausted";
	why->budget = budget->id;
	why->scope = budget->scope;
	why->until = budget->ends;
	snprintf(why->detail, sizeof(why->detail),
			 "Budget " INT64_FORMAT " allows " INT64_FORMAT " requests%s%s%s%s%s%s%s%s, which are used up%s%s.",
			 budget->id, budget->most, periods[budget->period],
			 budget->scope & OSS_BUDGET_OF_REQUESTER ? " of the role" : "",
			 server ? " to server \"" : "", server ? NameStr(budget->server) : "",
			 server ? "\"" : "",
			 bucket ? " for bucket \"" : "", bucket ? budget->bucket : "",
			 bucket ? "\"" : "",
			 budget->period == OSS_PERIOD_EVER ? "" : " until ",
			 budget->period == OSS_PERIOD_EVER ? "" : timestamptz_to_str(budget->ends));
	return OSS_BUDGET_REFUSED;
}

bool
oss_budget_covers(const OssBudget *budget, const OssServer *server, const char *bucket)
{
	return (!(budget->scope & OSS_BUDGET_OF_SERVER) ||
			budget->serverid == server->serverid ||
			strcmp(NameStr(budget->server), server->name) == 0) &&
		(!(budget->scope & OSS_BUDGET_OF_REQUESTER) ||
		 budget->requester == server->userid) &&
		(!(budget->scope & OSS_BUDGET_OF_BUCKET) ||
		 strcmp(budget->bucket, bucket) == 0);
}

/* Make an entry of this database, with the files locked. */
static void
make_database(void)
{
	const BudgetRecord *file = oss_budget_file_read(MyDatabaseId);

	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	for (int i = 0; i < BUDGET_DATABASES; i++)
	{
		BudgetDatabase *database = &oss_budgets->databases[i];

		if (OidIsValid(database->dbid))
			continue;
		memset(database, 0, sizeof(*database));
		database->dbid = MyDatabaseId;
		database->made = ++oss_budgets->stamp;
		database->generation = 1;
		database->damaged = file == NULL;
		if (file != NULL)
		{
			database->serial = file->serial;
			database->attempts = database->ceiling = database->before = file->attempts;
		}
		mine = i;
		break;
	}
	LWLockRelease(oss_budgets_lock);
}

BudgetDatabase *
oss_budget_database(void)
{
	if (mine >= 0 && oss_budgets->databases[mine].dbid == MyDatabaseId)
		return &oss_budgets->databases[mine];
	mine = -1;
	oss_budget_file_lock();
	for (int i = 0; i < BUDGET_DATABASES && mine < 0; i++)
	{
		if (oss_budgets->databases[i].dbid == MyDatabaseId)
			mine = i;
	}
	if (mine < 0)
		make_database();
	oss_budget_file_unlock();
	return mine < 0 ? NULL : &oss_budgets->databases[mine];
}

/* Must the budgets be read? */
static bool
is_outdated(const BudgetDatabase *database)
{
	return database->loaded != database->generation ||
		oss_clock_us() - database->loaded_at > (database->ageing ? AGE_US : MOST_AGE_US) ||
		(database->standby && !RecoveryInProgress());
}

OssBudgetAnswer
oss_budget_keep_up(OssBudgetRefusal *why)
{
	BudgetDatabase *database;

	if (oss_budgets == NULL)
	{
		if (own_at != 0 && own_statement == GetCurrentStatementStartTimestamp() &&
			oss_clock_us() - own_at < AGE_US)
			return OSS_BUDGET_OPEN;
		return oss_budget_load();
	}
	database = oss_budget_database();
	if (database == NULL)
		return refuse_because(why, "BudgetUnenforceable",
							  "More databases send requests than there is shared memory for.");

	/* without the lock: asked again before the request is counted */
	return is_outdated(database) ? oss_budget_load() : OSS_BUDGET_OPEN;
}

void
oss_budget_keep_own(const OssBudget *budgets, int n)
{
	OssBudget  *copy = MemoryContextAlloc(TopMemoryContext, sizeof(OssBudget) * Max(n, 1));

	memcpy(copy, budgets, sizeof(OssBudget) * n);
	if (own != NULL)
		pfree(own);
	own = copy;
	nown = n;
	own_at = oss_clock_us();
	own_statement = GetCurrentStatementStartTimestamp();
}

/* Does a budget that cannot be counted cover a request? */
static OssBudgetAnswer
look_at_own(const OssServer *server, const char *bucket, OssBudgetRefusal *why)
{
	for (int i = 0; i < nown; i++)
	{
		if (oss_budget_covers(&own[i], server, bucket))
			return refuse_because(why, "BudgetUnenforceable",
								  "A budget covers the request, and oss_labels is not in shared_preload_libraries.");
	}
	return OSS_BUDGET_OPEN;
}

/*
 * Find the budgets that cover a request, with the cells locked, and begin their
 * periods; write_failed: what they may spend cannot be written.  Sets
 * *wants_grant if that must be written first.
 */
static OssBudgetAnswer
find_cells(const OssServer *server, const char *bucket, bool write_failed,
		   OssReservation *found, bool *wants_grant, OssBudgetRefusal *why)
{
	const BudgetDatabase *database = &oss_budgets->databases[mine];
	TimestampTz now = GetCurrentTimestamp();
	const OssBudget *refusing = NULL;

	found->ncells = 0;
	*wants_grant = database->attempts >= database->ceiling;
	if (database->full)
		return refuse_because(why, "BudgetUnenforceable",
							  "There are more budgets than there is shared memory for.");
	for (int i = 0; i < oss_budgets->ncells; i++)
	{
		BudgetCell *cell = &oss_budgets->cells[i];
		OssBudget  *budget = &cell->budget;

		if (cell->dbid != MyDatabaseId || !oss_budget_covers(budget, server, bucket))
			continue;
		if (database->standby || database->damaged || write_failed ||
			found->ncells == OSS_MOST_COVERING)
			return refuse_because(why, "BudgetUnenforceable", database->standby ?
								  "A budget covers the request, and a standby cannot count for the primary." :
								  "A budget covers the request, and what it has counted cannot be read or written.");
		if (now >= budget->ends && budget->period != OSS_PERIOD_EVER)
		{
			oss_budget_begin_period(budget, now);
			cell->begun = ++oss_budgets->stamp;
			cell->ceiling = 0;
		}
		if (budget->spent >= budget->most &&
			(refusing == NULL || refusing->ends < budget->ends))
			refusing = budget;
		*wants_grant |= budget->spent >= cell->ceiling;
		found->cells[found->ncells++] = (uint8) i;
	}
	return refusing ? refuse_by_budget(why, refusing) : OSS_BUDGET_OPEN;
}

/* Count a request in the budgets that were found. */
static void
take_cells(OssReservation *reservation)
{
	BudgetDatabase *database = &oss_budgets->databases[mine];

	reservation->held = true;
	reservation->database = (uint8) mine;
	reservation->stamp = oss_budgets->stamp;
	database->attempts++;
	database->in_flight++;
	for (int i = 0; i < reservation->ncells; i++)
	{
		BudgetCell *cell = &oss_budgets->cells[reservation->cells[i]];

		Assert(cell->budget.spent < cell->ceiling);
		cell->budget.spent++;
		cell->budget.in_flight++;
	}
}

/* Has the statement in progress sent as many requests as it may? */
static bool
is_over_statement(void)
{
	if (statement != GetCurrentStatementStartTimestamp())
	{
		statement = GetCurrentStatementStartTimestamp();
		statement_requests = 0;
	}
	return oss_max_requests_per_statement > 0 &&
		statement_requests >= oss_max_requests_per_statement;
}

OssBudgetAnswer
oss_budget_look(const OssServer *server, const char *bucket, OssKind kind,
				bool queued, OssBudgetRefusal *why)
{
	OssReservation found;
	OssBudgetAnswer answer;
	bool		wants_grant;

	if (oss_requests_forbidden > 0)
		return refuse_because(why, "RequestsForbidden", "The query is only read, for an estimate or a list.");
	if (!oss_allow_requests)
		return refuse_because(why, "RequestsForbidden", "oss_labels.allow_requests is off.");
	if (kind != OSS_KIND_LABELS)
		return OSS_BUDGET_OPEN;
	if (oss_budget_changing)
		return refuse_because(why, "BudgetUnenforceable",
							  "The transaction has changed budgets: commit it first.");
	if (!queued && is_over_statement())
	{
		(void) refuse_because(why, "StatementLimit", "");
		snprintf(why->detail, sizeof(why->detail),
				 "The statement has sent " INT64_FORMAT " requests, and oss_labels.max_requests_per_statement is %d.",
				 statement_requests, oss_max_requests_per_statement);
		return OSS_BUDGET_REFUSED;
	}
	answer = oss_budget_keep_up(why);
	if (answer != OSS_BUDGET_OPEN)
		return answer;
	if (oss_budgets == NULL)
		return look_at_own(server, bucket, why);
	if (oss_budgets->databases[mine].nbudgets == 0)
		return OSS_BUDGET_OPEN;
	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	answer = find_cells(server, bucket, false, &found, &wants_grant, why);
	LWLockRelease(oss_budgets_lock);
	return answer;
}

OssBudgetAnswer
oss_budget_reserve(const OssServer *server, const char *bucket, OssKind kind,
				   bool queued, OssReservation *reservation, OssBudgetRefusal *why)
{
	OssBudgetAnswer answer = OSS_BUDGET_OPEN;
	bool		write_failed = false;
	bool		wants_grant = false;

	Assert(!reservation->held);
	if (kind != OSS_KIND_LABELS)
		return OSS_BUDGET_OPEN;
	while (oss_budgets != NULL)
	{
		LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
		if (mine < 0 || oss_budgets->databases[mine].dbid != MyDatabaseId ||
			is_outdated(&oss_budgets->databases[mine]))
			answer = OSS_BUDGET_LATER;
		else
			answer = find_cells(server, bucket, write_failed, reservation,
								&wants_grant, why);
		if (answer == OSS_BUDGET_OPEN && (!wants_grant || write_failed))
			take_cells(reservation);
		LWLockRelease(oss_budgets_lock);
		if (answer != OSS_BUDGET_OPEN || reservation->held)
			break;
		write_failed = !oss_budget_file_grant(mine);
	}
	if (answer == OSS_BUDGET_OPEN && !queued)
		statement_requests++;
	return answer;
}

void
oss_budget_settle(OssReservation *reservation, bool costs, bool sent)
{
	BudgetDatabase *database;

	if (!reservation->held)
		return;
	reservation->held = false;
	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	database = &oss_budgets->databases[reservation->database];
	if (database->made <= reservation->stamp)
	{
		database->in_flight--;
		if (!sent)
			database->attempts--;
	}
	for (int i = 0; i < reservation->ncells; i++)
	{
		BudgetCell *cell = &oss_budgets->cells[reservation->cells[i]];

		if (cell->taken > reservation->stamp)
			continue;
		cell->budget.in_flight--;
		if (!costs && cell->begun <= reservation->stamp)
			cell->budget.spent--;
	}
	LWLockRelease(oss_budgets_lock);
}

int64
oss_budget_attempts_before(void)
{
	const BudgetDatabase *database = oss_budgets ? oss_budget_database() : NULL;

	return database ? database->before : 0;
}

uint64
oss_budget_generation(void)
{
	const BudgetDatabase *database = oss_budgets ? oss_budget_database() : NULL;

	return database ? database->generation : 0;
}

void
oss_budget_changed(bool restored)
{
	own_at = 0;
	if (oss_budgets == NULL)
		return;
	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	for (int i = 0; i < BUDGET_DATABASES; i++)
	{
		BudgetDatabase *database = &oss_budgets->databases[i];

		if (database->dbid != MyDatabaseId)
			continue;
		database->generation++;
		database->restored |= restored;
	}
	LWLockRelease(oss_budgets_lock);
}
