/*-------------------------------------------------------------------------
 * worker_turn.c
 *	  Transactions of the worker, and their way to the disk.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "account/usage_flush.h"
#include "budget/budget_table.h"
#include "client/http.h"
#include "pgstat.h"
#include "spi/statement.h"
#include "store/spool.h"
#include "worker/worker_turn.h"

/*
 * Longest delay of the flush of a commit.  Commits are asynchronous so that the
 * network is served meanwhile, but they store answers that are paid for.
 */
#define FLUSH_MS 10

/* How often accounts are written. */
#define ACCOUNTS_MS 1000

/* When and how often locked tables are logged. */
#define LOCKED_MS 5000
#define LOCKED_LOG_MS 60000

/* First commit that may not be flushed; oss_clock_us(), 0: none. */
static int64 unflushed_since = 0;

/* When accounts may be written again; oss_clock_us(). */
static int64 accounts_at = 0;

/* Of this process, while it writes them. */
static OssSlot *accounts_slot = NULL;

void
oss_worker_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, "oss_labels: claiming and settling");
}

void
oss_worker_commit(void)
{
	CommitTransactionCommand();
	if (unflushed_since == 0)
		unflushed_since = oss_clock_us();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
oss_worker_flush(void)
{
	if (unflushed_since != 0 && XactLastCommitEnd != InvalidXLogRecPtr)
		XLogFlush(XactLastCommitEnd);
	unflushed_since = 0;
	oss_spool_tell(true);
}

void
oss_worker_flush_before(int64 start)
{
	if (start >= unflushed_since)
		oss_worker_flush();
}

long
oss_worker_flush_due(void)
{
	int64		left;

	if (unflushed_since == 0)
	{
		oss_spool_tell(true);
		return -1;
	}
	left = unflushed_since + FLUSH_MS * 1000 - oss_clock_us();
	if (left > 0)
		return (left + 999) / 1000;
	oss_worker_flush();
	return -1;
}

const char *
oss_worker_report_locked(const char *table)
{
	static int64 since = 0;
	static int64 tell_at = 0;
	static char message[128];
	int64		now = oss_clock_us();

	if (table == NULL || since == 0)
		since = table ? now : 0;
	if (since == 0 || now - since < LOCKED_MS * INT64CONST(1000) || now < tell_at)
		return NULL;
	tell_at = now + LOCKED_LOG_MS * INT64CONST(1000);
	snprintf(message, sizeof(message),
			 "another transaction has locked oss_labels.%s", table);
	ereport(LOG,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("oss_labels worker waits: %s", message),
			 errdetail("Nothing is requested or stored until that transaction ends; answers are kept."),
			 errhint("The view pg_locks shows who has locked it.")));
	return message;
}

long
oss_worker_accounts_due(OssSlot *slot)
{
	if (pg_atomic_read_u32(&slot->counted) == 0)
		return -1;
	return oss_wait_until(-1, oss_clock_us(), accounts_at);
}

bool
oss_worker_accounts_begin(OssSlot *slot, bool now)
{
	long		due = oss_worker_accounts_due(slot);

	if (due < 0 || (due > 0 && !now))
		return false;
	accounts_slot = slot;
	accounts_at = oss_clock_us() + ACCOUNTS_MS * INT64CONST(1000);

	/* what is counted from now on sets it again */
	pg_atomic_write_u32(&slot->counted, 0);
	return true;
}

void
oss_worker_write_accounts(OssDispatcher *dispatcher)
{
	OssStatementState state;

	if (!oss_usage_flush())
		pg_atomic_write_u32(&accounts_slot->counted, 1);
	oss_statement_begin(&state, OSS_STATEMENT_WORK);
	oss_budget_flush();
	oss_statement_end(&state);
}
