/*-------------------------------------------------------------------------
 * budget_file.c
 *	  The counters of budgets on disk, which survive a crash: one file per
 *	  database.
 *
 * Counting in shared memory alone would forget, and writing each request would
 * be slow.  The file therefore holds a ceiling for each counter, which the
 * counter may reach before the next write.  After a crash counting goes on
 * from there: a budget is never exceeded, and loses at most what was granted
 * within about half a second.  A clean stop writes the counters themselves.
 *
 * The file has two records, written in turn, so that one is always complete.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/budget_cell.h"
#include "client/http.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

/* The directory of the files, below the data directory. */
#define BUDGET_DIRECTORY "oss_labels_budget"
#define BUDGET_PATH (sizeof(BUDGET_DIRECTORY) + 16)

/* A second record begins here. */
#define RECORD_BYTES 16384

/*
 * Step by which ceilings are raised.  It doubles each time that a raise follows
 * soon.
 */
#define LEAST_STEP 64
#define SOON_US 300000
#define MOST_STEP 8192

/* How often a process logs that writing failed. */
#define LOG_US (60 * USECS_PER_SEC)

#define BUDGET_MAGIC 0x4f4c4232

/* A counter in the file. */
typedef struct FileCounter
{
	int64		id;
	TimestampTz since;
	TimestampTz starts;
	TimestampTz ends;
	int64		ceiling;
} FileCounter;

/* A record of the file; crc covers everything after it, up to the last counter. */
typedef struct FileRecord
{
	uint32		magic;
	pg_crc32c	crc;
	uint64		serial;
	int64		attempts;
	int64		n;
	FileCounter counters[OSS_MOST_BUDGETS];
} FileRecord;

StaticAssertDecl(sizeof(FileRecord) <= RECORD_BYTES, "two records do not overlap");

#define CRC_FROM offsetof(FileRecord, serial)

BudgetShared *oss_budgets = NULL;
LWLock	   *oss_budgets_lock = NULL;

static LWLock *file_lock = NULL;

/* The record that is read or written; too large for the stack. */
static FileRecord record;

static Size
record_size(int64 n)
{
	return offsetof(FileRecord, counters) + n * sizeof(FileCounter);
}

static void
set_crc(pg_crc32c *crc)
{
	INIT_CRC32C(*crc);
	COMP_CRC32C(*crc, (char *) &record + CRC_FROM, record_size(record.n) - CRC_FROM);
	FIN_CRC32C(*crc);
}

static void
set_path(char *path, Oid dbid)
{
	snprintf(path, BUDGET_PATH, BUDGET_DIRECTORY "/%u", dbid);
}

void
oss_budget_file_lock(void)
{
	LWLockAcquire(file_lock, LW_EXCLUSIVE);
}

void
oss_budget_file_unlock(void)
{
	LWLockRelease(file_lock);
}

/* Read a record of an open file into "record".  Returns false if it is invalid. */
static bool
read_record(int fd, int nth)
{
	ssize_t		n = pg_pread(fd, &record, sizeof(record), (off_t) nth * RECORD_BYTES);
	pg_crc32c	crc;

	if (n < (ssize_t) record_size(0) || record.magic != BUDGET_MAGIC ||
		record.n < 0 || record.n > OSS_MOST_BUDGETS || n < (ssize_t) record_size(record.n))
		return false;
	set_crc(&crc);
	return EQ_CRC32C(crc, record.crc);
}

const BudgetRecord *
oss_budget_file_read(Oid dbid)
{
	static BudgetRecord result;
	char		path[BUDGET_PATH];
	int			fd;

	memset(&result, 0, offsetof(BudgetRecord, budgets));
	set_path(path, dbid);
	fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0 && errno == ENOENT)
		return &result;
	for (int i = 0; fd >= 0 && i < 2; i++)
	{
		if (!read_record(fd, i) || record.serial <= result.serial)
			continue;
		result.serial = record.serial;
		result.attempts = record.attempts;
		result.n = (int) record.n;
		for (int j = 0; j < result.n; j++)
		{
			OssBudget  *budget = &result.budgets[j];

			memset(budget, 0, sizeof(*budget));
			budget->id = record.counters[j].id;
			budget->since = record.counters[j].since;
			budget->starts = record.counters[j].starts;
			budget->ends = record.counters[j].ends;
			budget->spent = record.counters[j].ceiling;
		}
	}
	if (fd >= 0)
		close(fd);
	if (result.serial > 0)
		return &result;
	ereport(LOG,
			(fd < 0 ? errcode_for_file_access() : errcode(ERRCODE_DATA_CORRUPTED),
			 fd < 0 ? errmsg("could not open file \"%s\": %m", path) :
			 errmsg("file \"%s\" with the counters of budgets is damaged", path),
			 errhint("Requests that a budget covers are refused. To continue from the counters in table budget_spent, remove the file and restart the server.")));
	return NULL;
}

/* Write "record"; returns false with errno set. */
static bool
write_record(Oid dbid)
{
	char		path[BUDGET_PATH];
	ssize_t		size = record_size(record.n);
	int			fd;
	bool		ok;

	record.magic = BUDGET_MAGIC;
	set_crc(&record.crc);
	set_path(path, dbid);
	fd = BasicOpenFile(path, O_WRONLY | O_CREAT | PG_BINARY);
	if (fd < 0 && errno == ENOENT && MakePGDirectory(BUDGET_DIRECTORY) == 0)
		fd = BasicOpenFile(path, O_WRONLY | O_CREAT | PG_BINARY);
	if (fd < 0)
		return false;
	errno = ENOSPC;
	ok = pg_pwrite(fd, &record, size, (off_t) (record.serial % 2) * RECORD_BYTES) == size &&
		pg_fdatasync(fd) == 0;
	close(fd);

	/* the file's name, too, before anything relies on the file */
	if (ok && record.serial == 1)
		ok = fsync_fname_ext(BUDGET_DIRECTORY, true, true, LOG) == 0;
	return ok;
}

/* Fill "record" with a database's counters, as they are or raised by its step. */
static void
fill_record(const BudgetDatabase *database, int step)
{
	record.serial = database->serial + 1;
	record.attempts = step == 0 ? database->attempts :
		Max(database->ceiling, database->attempts + step);
	record.n = 0;
	for (int i = 0; i < oss_budgets->ncells; i++)
	{
		const BudgetCell *cell = &oss_budgets->cells[i];
		const OssBudget *budget = &cell->budget;
		FileCounter *counter = &record.counters[record.n];

		if (cell->dbid != database->dbid)
			continue;
		counter->id = budget->id;
		counter->since = budget->since;
		counter->starts = budget->starts;
		counter->ends = budget->ends;
		counter->ceiling = step == 0 ? budget->spent :
			Max(cell->ceiling, Min(budget->spent + step, budget->most));
		record.n++;
	}
}

/* Is a counter of a database at its ceiling? */
static bool
wants_grant(const BudgetDatabase *database)
{
	if (database->attempts >= database->ceiling)
		return true;
	for (int i = 0; i < oss_budgets->ncells; i++)
	{
		const BudgetCell *cell = &oss_budgets->cells[i];

		if (cell->dbid == database->dbid && cell->budget.spent >= cell->ceiling &&
			cell->budget.spent < cell->budget.most)
			return true;
	}
	return false;
}

/* Take over the ceilings of "record", which is written. */
static void
raise_ceilings(BudgetDatabase *database)
{
	database->ceiling = Max(database->ceiling, record.attempts);
	for (int i = 0; i < oss_budgets->ncells; i++)
	{
		BudgetCell *cell = &oss_budgets->cells[i];

		if (cell->dbid != database->dbid)
			continue;
		for (int j = 0; j < record.n; j++)
		{
			const FileCounter *counter = &record.counters[j];

			if (counter->id == cell->budget.id && counter->since == cell->budget.since &&
				counter->starts == cell->budget.starts)
				cell->ceiling = Max(cell->ceiling, counter->ceiling);
		}
	}
}

bool
oss_budget_file_grant(int nth)
{
	BudgetDatabase *database = &oss_budgets->databases[nth];
	int64		now = oss_clock_us();
	bool		wanted;
	bool		ok;
	static int64 logged_at = -LOG_US;

	if (database->damaged)
		return false;
	oss_budget_file_lock();
	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	wanted = wants_grant(database);
	if (wanted)
	{
		database->step = now - database->granted_at < SOON_US ?
			Min(Max(database->step, LEAST_STEP) * 2, MOST_STEP) : LEAST_STEP;
		fill_record(database, database->step);
	}
	LWLockRelease(oss_budgets_lock);
	if (!wanted)
	{
		oss_budget_file_unlock();
		return true;
	}
	ok = write_record(MyDatabaseId);
	if (!ok && logged_at + LOG_US < now)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("oss_labels could not write what budgets may spend: %m"),
				 errdetail("Requests that a budget covers are refused.")));
	if (!ok)
		logged_at = now;
	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	if (ok)
	{
		database->serial = record.serial;
		database->granted_at = now;
		raise_ceilings(database);
	}
	LWLockRelease(oss_budgets_lock);
	oss_budget_file_unlock();
	return ok;
}

/*
 * Write the counters of all databases, in the postmaster, when no other process
 * is left.  After a crash the ceilings must stand.
 */
static void
write_all(int code, Datum arg)
{
	for (int i = 0; code == 0 && i < BUDGET_DATABASES; i++)
	{
		BudgetDatabase *database = &oss_budgets->databases[i];

		if (!OidIsValid(database->dbid) || database->granted_at == 0)
			continue;
		fill_record(database, 0);
		if (!write_record(database->dbid))
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("oss_labels could not write what budgets have spent: %m")));
	}
}

Size
oss_budget_shared_size(void)
{
	return MAXALIGN(sizeof(BudgetShared));
}

void
oss_budget_shared_start(LWLock *cells, LWLock *file)
{
	bool		found;

	oss_budgets = ShmemInitStruct("oss_labels budgets", sizeof(BudgetShared), &found);
	oss_budgets_lock = cells;
	file_lock = file;
	if (!found)
		memset(oss_budgets, 0, sizeof(BudgetShared));
	if (IsUnderPostmaster)
		return;
	if (MakePGDirectory(BUDGET_DIRECTORY) != 0 && errno != EEXIST)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", BUDGET_DIRECTORY)));
	on_shmem_exit(write_all, (Datum) 0);
}

List *
oss_budget_databases(void)
{
	List	   *dbids = NIL;
	DIR		   *directory;
	struct dirent *entry;

	if (oss_budgets == NULL)
		return NIL;
	directory = AllocateDir(BUDGET_DIRECTORY);
	while ((entry = ReadDirExtended(directory, BUDGET_DIRECTORY, LOG)) != NULL)
	{
		char	   *end;
		unsigned long dbid = strtoul(entry->d_name, &end, 10);

		if (end > entry->d_name && *end == '\0' && dbid > 0 && dbid <= OID_MAX)
			dbids = lappend_oid(dbids, (Oid) dbid);
	}
	FreeDir(directory);
	return dbids;
}

void
oss_budget_drop(Oid dbid)
{
	char		path[BUDGET_PATH];

	if (oss_budgets == NULL)
		return;
	oss_budget_file_lock();
	LWLockAcquire(oss_budgets_lock, LW_EXCLUSIVE);
	for (int i = 0; i < BUDGET_DATABASES; i++)
	{
		if (oss_budgets->databases[i].dbid == dbid)
			oss_budgets->databases[i].dbid = InvalidOid;
	}
	for (int i = 0; i < OSS_MOST_BUDGETS; i++)
	{
		if (oss_budgets->cells[i].dbid == dbid)
			oss_budgets->cells[i].dbid = InvalidOid;
	}
	LWLockRelease(oss_budgets_lock);
	set_path(path, dbid);
	(void) unlink(path);
	oss_budget_file_unlock();
}
