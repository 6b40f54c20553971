/*-------------------------------------------------------------------------
 * sync_tally.c
 *	  Outcomes of the jobs of syncs.
 *
 * Rows are only added here, so that nothing waits for a sync's row.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "spi/column_array.h"
#include "spi/statement.h"
#include "sync/sync_tally.h"

static OssPlan add_tallies = {
	"INSERT INTO oss_labels.sync_tally (sync_id, stored, failed, spent)"
	" SELECT id, sum(stored), sum(failed), sum(spent) FROM unnest($1, $2, $3, $4)"
	" u(id, stored, failed, spent) GROUP BY id",
	4, {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID}
};

typedef struct Tallies
{
	OssColumn	ids;
	OssColumn	stored;
	OssColumn	failed;
	OssColumn	spent;
} Tallies;

/* Count a job by the verdict of its leader, or its own. */
static void
tally_job(Tallies *tallies, const OssJob *job, OssVerdict verdict)
{
	bool		stored = verdict == OSS_VERDICT_ANSWERED ||
	(verdict == OSS_VERDICT_DONE && job->covered);
	bool		failed = verdict == OSS_VERDICT_FAILED;

	if (job->sync_id == 0 || (!stored && !failed && job->spent == 0))
		return;
	if (tallies->ids.type == InvalidOid)
	{
		oss_column_init(&tallies->ids, INT8OID, 64);
		oss_column_init(&tallies->stored, INT4OID, 64);
		oss_column_init(&tallies->failed, INT4OID, 64);
		oss_column_init(&tallies->spent, INT4OID, 64);
	}
	oss_column_add(&tallies->ids, Int64GetDatum(job->sync_id), false);
	oss_column_add(&tallies->stored, Int32GetDatum(stored), false);
	oss_column_add(&tallies->failed, Int32GetDatum(failed), false);
	oss_column_add(&tallies->spent, Int32GetDatum(job->spent), false);
}

void
oss_sync_tally(OssJob **jobs, int n)
{
	Tallies		tallies = {{0}};
	Datum		values[4];

	for (int i = 0; i < n; i++)
	{
		const OssJob *job = jobs[i];

		if (job->stored)
			continue;
		tally_job(&tallies, job, job->verdict);
		for (const OssJob *j = job->followers; j; j = j->next)
			tally_job(&tallies, j, job->verdict);
	}
	if (tallies.ids.n == 0)
		return;
	values[0] = oss_column_array(&tallies.ids);
	values[1] = oss_column_array(&tallies.stored);
	values[2] = oss_column_array(&tallies.failed);
	values[3] = oss_column_array(&tallies.spent);
	oss_statement_execute(&add_tallies, values, NULL, SPI_OK_INSERT);
}
