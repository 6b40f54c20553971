/*-------------------------------------------------------------------------
 * database_copy.c
 *	  Detecting that this database is a copy of another one, whose jobs are
 *	  queued in both.
 *
 * CREATE DATABASE ... TEMPLATE copies the queue, so that each image would be
 * paid for twice.  Hence the queue of a copy is paused until resume() accepts
 * its jobs as this database's own.  The function own_database() returns the
 * database in which the extension was created: restoring a dump creates it
 * anew, and neither pg_upgrade nor renaming or moving a database changes its
 * OID.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "queue/database_copy.h"
#include "spi/statement.h"

/* Jobs enqueued in the copy have higher numbers than the copied ones. */
static OssPlan find_copy = {
	"SELECT j.origin <> oss_labels.origin() FROM oss_labels.job j"
	" WHERE oss_labels.own_database() <> $1 ORDER BY j.job_id LIMIT 1",
	1, {OIDOID}
};

/* In a copy, OIDs are the same as in the original. */
static OssPlan accept_jobs = {
	"UPDATE oss_labels.job SET origin = oss_labels.origin()"
	" WHERE oss_labels.own_database() <> $1 AND origin <> oss_labels.origin()"
	" AND origin & -4294967296 = oss_labels.origin() & -4294967296",
	1, {OIDOID}
};

static OssPlan pause_copy = {
	"INSERT INTO oss_labels.active_pause (server, automatic, \"sqlstate\", reason, seen) "
	"VALUES (NULL, false, '55000', 'these jobs came with the database when it"
	" was copied; SELECT oss_labels.resume() accepts them', 'copy') "
	"ON CONFLICT DO NOTHING",
	0, {0}
};

static OssPlan is_paused = {
	"SELECT FROM oss_labels.active_pause WHERE server IS NULL AND seen = 'copy' LIMIT 1",
	0, {0}
};

/* Is this database a copy with jobs that is not paused yet? */
static bool
is_new_copy(Datum database)
{
	bool		copy = false;

	if (oss_statement_execute(&find_copy, &database, NULL, SPI_OK_SELECT) > 0)
		copy = DatumGetBool(oss_result_column(0, 1, NULL));
	SPI_freetuptable(SPI_tuptable);
	return copy;
}

bool
oss_database_is_copy(void)
{
	Datum		database = ObjectIdGetDatum(MyDatabaseId);
	bool		paused;

	if (is_new_copy(database))
	{
		oss_statement_execute(&pause_copy, NULL, NULL, SPI_OK_INSERT);
		ereport(LOG,
				(errmsg("oss_labels leaves the jobs alone that came with the database when it was copied"),
				 errhint("SELECT oss_labels.resume() accepts them; TRUNCATE oss_labels.job forgets them.")));
	}
	paused = oss_statement_execute(&is_paused, NULL, NULL, SPI_OK_SELECT) > 0;
	SPI_freetuptable(SPI_tuptable);
	return paused;
}

void
oss_database_accept_copy(void)
{
	Datum		database = ObjectIdGetDatum(MyDatabaseId);

	oss_statement_execute(&accept_jobs, &database, NULL, SPI_OK_UPDATE);
}
