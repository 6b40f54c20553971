/*-------------------------------------------------------------------------
 * sample.c
 *	  ANALYZE of a foreign table: its bucket is listed once, and rows are chosen
 *	  from it at random.
 *
 * OSS has no cheaper way to count the objects.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "bucket/row.h"
#include "bucket/sample.h"
#include "bucket/span.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sampling.h"

/* Keep a row by Vitter's algorithm: each is kept with the same probability. */
static void
keep_row(HeapTuple *rows, int wanted, int *n, double seen, double *skip,
		 ReservoirStateData *reservoir, HeapTuple row)
{
	if (*n < wanted)
	{
		rows[(*n)++] = row;
		return;
	}
	if (*skip < 0)
		*skip = reservoir_get_next_S(reservoir, seen, wanted);
	if (*skip <= 0)
	{
		int			i = (int) (wanted * sampler_random_fract(&reservoir->randstate));

		heap_freetuple(rows[i]);
		rows[i] = row;
	}
	else
		heap_freetuple(row);
	*skip -= 1;
}

/* AcquireSampleRowsFunc. */
static int
sample_rows(Relation relation, int elevel, HeapTuple *rows, int wanted,
			double *total, double *dead)
{
	TupleDesc	desc = RelationGetDescr(relation);
	OssBucketTable *table = oss_bucket_table(relation);
	OssBucketRow *row = oss_bucket_row_begin(table, desc);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "oss_labels sample",
												  ALLOCSET_DEFAULT_SIZES);
	ReservoirStateData reservoir;
	OssListSpec *specs;
	OssListing *listing;
	const OssListed *object;
	double		skip = -1;
	int			n = 0;

	*total = *dead = 0;
	reservoir_init_selection_state(&reservoir, wanted);
	if (oss_bucket_spans(table, NULL, 0, &specs) == 0)
		return 0;
	specs[0].server = oss_server_by_oid(GetForeignServerIdByRelId(RelationGetRelid(relation)), GetUserId());
	listing = oss_listing_begin(CurrentMemoryContext, &specs[0]);
	while ((object = oss_listing_next(listing)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		bool		readable;

		CHECK_FOR_INTERRUPTS();
		readable = oss_bucket_row_set(row, table->options.bucket, object, values, nulls);
		MemoryContextSwitchTo(old);
		if (readable)
		{
			keep_row(rows, wanted, &n, *total, &skip, &reservoir, heap_form_tuple(desc, values, nulls));
			*total += 1;
		}
		MemoryContextReset(context);
	}
	ereport(elevel,
			(errmsg("\"%s\": listed %.0f objects with %lld requests, chose %d of them",
					RelationGetRelationName(relation), *total,
					(long long) oss_listing_requests(listing), n)));
	oss_listing_end(listing);
	oss_bucket_row_warn(row, table->options.bucket);
	return n;
}

bool
oss_bucket_analyze(Relation relation, AcquireSampleRowsFunc *sample, BlockNumber *pages)
{
	OssBucketTable *table = oss_bucket_table(relation);

	*sample = sample_rows;
	*pages = 1;
	return table->options.bucket != NULL;
}
