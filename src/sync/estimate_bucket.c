/*-------------------------------------------------------------------------
 * estimate_bucket.c
 *	  estimate_bucket(): what sync_bucket() would do, for the price of the
 *	  listing.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "account/price.h"
#include "catalog/pg_type.h"
#include "client/rate_limit.h"
#include "client/request.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "spi/result_rows.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "sync/page_columns.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(oss_labels_estimate_bucket);

/* Verdicts of judge_objects(), in the order of the result. */
static const char *const verdict_names[] = {"new", "changed", "unchanged", "queued", "suffix",
	"folder", "size", "class", "invalid", "failed"
};

#define VERDICTS lengthof(verdict_names)
#define INVALID 8

static OssPlan judge_page = {
	"SELECT o.verdict, count(*), coalesce(sum(o.size), 0)::bigint"
	" FROM jsonb_populate_record(NULL::oss_labels.sync, jsonb_build_object('bucket', $1,"
	" 'prefix', $2, 'suffixes', $3, 'max_size', $4, 'storage_classes', $5, 'thr', $6,"
	" 'requester', $7, 'requester_name', $8, 'origin', oss_labels.origin(), 'server', $9,"
	" 'server_id', $10)) r,"
	" LATERAL oss_labels.judge_objects(r, $11, $12, $13, $14, $15, $16) o GROUP BY o.verdict",
	16, {TEXTOID, TEXTOID, TEXTARRAYOID, INT8OID, TEXTARRAYOID, FLOAT8OID, OIDOID, TEXTOID,
		TEXTOID, OIDOID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	TEXTARRAYOID, BOOLARRAYOID}
};

static OssPlan left_of_bucket = {
	"SELECT oss_labels.budget_left($1, $2, $3)",
	3, {TEXTOID, OIDOID, TEXTOID}
};

typedef struct BucketEstimate
{
	OssServer  *server;
	char	   *bucket;			/* in UTF-8 */
	int64		listed;
	int64		bytes;
	int64		verdicts[VERDICTS];
	int64		list_requests;
	Datum		rule[16];		/* parameters of judge_page */
	char		nulls[16];
} BucketEstimate;

/* Judge the objects of a page, and count them. */
static void
estimate_page(BucketEstimate *estimate, const OssPageColumns *columns)
{
	OssStatementState state;
	uint64		n;

	if (columns->keys.n == 0)
		return;
	oss_page_columns_args(columns, &estimate->rule[10]);
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	n = oss_statement_execute(&judge_page, estimate->rule, estimate->nulls, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		const char *verdict = oss_result_string(i, 1);

		for (int v = 0; v < VERDICTS; v++)
		{
			if (strcmp(verdict, verdict_names[v]) == 0)
				estimate->verdicts[v] += DatumGetInt64(oss_result_column(i, 2, NULL));
		}
		estimate->bytes += DatumGetInt64(oss_result_column(i, 3, NULL));
	}
	oss_statement_end(&state);
}

/* List the bucket to its end. */
static void
estimate_listing(BucketEstimate *estimate, const OssListSpec *spec)
{
	OssListing *listing = oss_listing_begin(CurrentMemoryContext, spec);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "oss_labels estimated page",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OssPageColumns columns;
	const OssListed *object;

	oss_page_columns_init(&columns);
	while ((object = oss_listing_next(listing)) != NULL)
	{
		estimate->listed++;
		if (!oss_page_columns_add(&columns, object))
			estimate->verdicts[INVALID]++;
		if (columns.keys.n < OSS_PAGE_MAX)
			continue;
		estimate_page(estimate, &columns);
		MemoryContextReset(context);
		oss_page_columns_init(&columns);
	}
	estimate_page(estimate, &columns);
	MemoryContextSwitchTo(old);
	estimate->list_requests = oss_listing_requests(listing);
	oss_listing_end(listing);
	MemoryContextDelete(context);
}

/* Return how long the requests take at the present limits, -1: there are none. */
static double
estimate_seconds(const BucketEstimate *estimate, int64 to_ask)
{
	double		rate = estimate->server->max_requests_per_second;
	OssRateReport report;
	int			at = 0;

	while (oss_rate_report(&at, &report))
	{
		if (report.serverid == estimate->server->serverid && report.requests_per_second > 0 &&
			strcmp(report.bucket, estimate->bucket) == 0)
			rate = rate > 0 ? Min(rate, report.requests_per_second) : report.requests_per_second;
	}
	return rate > 0 ? to_ask / rate : -1;
}

/* Return what the budgets leave of requests for the bucket. */
static Datum
estimate_left(const BucketEstimate *estimate, bool *isnull)
{
	Datum		values[] = {CStringGetTextDatum(estimate->server->name),
		ObjectIdGetDatum(GetUserId()), estimate->rule[0]
	};
	OssStatementState state;
	Datum		left;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	(void) oss_statement_execute(&left_of_bucket, values, NULL, SPI_OK_SELECT);
	left = oss_result_column(0, 1, isnull);
	oss_statement_end(&state);
	return left;
}

static void
add_bucket_estimate(const BucketEstimate *estimate, FunctionCallInfo fcinfo)
{
	OssResult	result = oss_result_begin(fcinfo);
	int64		to_ask = estimate->verdicts[0] + estimate->verdicts[1];
	double		seconds = estimate_seconds(estimate, to_ask);
	char	   *currency = NULL;
	Datum		values[18];
	bool		nulls[18] = {false};

	values[0] = Int64GetDatum(estimate->listed);
	values[1] = Int64GetDatum(estimate->bytes);
	for (int i = 0; i < VERDICTS; i++)
		values[2 + i] = Int64GetDatum(estimate->verdicts[i]);
	values[12] = Int64GetDatum(to_ask);
	nulls[13] = !oss_price_of("label", estimate->server->name, to_ask, &values[13], &currency);
	values[14] = oss_text_or_null(currency, &nulls[14]);
	values[15] = estimate_left(estimate, &nulls[15]);
	values[16] = Float8GetDatum(seconds);
	nulls[16] = seconds < 0;
	values[17] = Int64GetDatum(estimate->list_requests);
	oss_result_add(&result, values, nulls);
}

/*
 * estimate_bucket(bucket, prefix, suffixes, max_size, storage_classes, thr, server):
 * a null bucket gives no row
 */
Datum
oss_labels_estimate_bucket(PG_FUNCTION_ARGS)
{
	BucketEstimate *estimate = palloc0(sizeof(BucketEstimate));
	OssListSpec spec = {
		.bucket = oss_utf8_argument(fcinfo, 0),
		.prefix = oss_utf8_argument(fcinfo, 1)
	};
	OssImage	image = {.key = "x"};	/* any, to check thr */
	const OssFailure *failure;

	if (spec.bucket == NULL)
	{
		(void) oss_result_begin(fcinfo);
		return (Datum) 0;
	}
	failure = oss_list_failure(&spec);
	if (failure)
		oss_failure_throw(failure);
	image.bucket = spec.bucket;
	image.has_thr = !PG_ARGISNULL(5);
	image.thr = image.has_thr ? PG_GETARG_FLOAT8(5) : 0;
	oss_image_check(&image);
	spec.server = oss_server_get(oss_name_argument(fcinfo, 6), GetUserId());
	oss_server_pin_in_context(spec.server);
	estimate->server = spec.server;
	estimate->bucket = unconstify(char *, spec.bucket);
	memset(estimate->nulls, ' ', sizeof(estimate->nulls));
	for (int i = 0; i < 6; i++)
		oss_arg(estimate->rule, estimate->nulls, i, PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	if (PG_ARGISNULL(1))
		oss_arg_string(estimate->rule, estimate->nulls, 1, "");
	oss_arg(estimate->rule, estimate->nulls, 6, ObjectIdGetDatum(GetUserId()), false);
	oss_arg_string(estimate->rule, estimate->nulls, 7, oss_role_name(GetUserId()));
	oss_arg_string(estimate->rule, estimate->nulls, 8, estimate->server->name);
	oss_arg(estimate->rule, estimate->nulls, 9, ObjectIdGetDatum(estimate->server->serverid), false);
	estimate_listing(estimate, &spec);
	add_bucket_estimate(estimate, fcinfo);
	return (Datum) 0;
}
