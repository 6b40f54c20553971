/*-------------------------------------------------------------------------
 * sync_list.c
 *	  listed_rows() and take_listed(): objects that a caller's query names, for
 *	  backfill_listed().
 *
 * take_objects() trusts whoever calls it, and backfill_listed() runs as its caller:
 * here is checked that the sync is his.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "spi/result_rows.h"
#include "spi/statement.h"

PG_FUNCTION_INFO_V1(oss_labels_listed_rows);
PG_FUNCTION_INFO_V1(oss_labels_take_listed);

#define LISTED_COLUMNS 6
#define ARGUMENTS 8

#define COUNT_VERDICTS(from) \
	"SELECT jsonb_object_agg(v.verdict, v.n) FROM (" \
	"SELECT o.verdict, count(*) AS n FROM oss_labels.sync s, LATERAL " from " o" \
	" WHERE s.sync_id = $1 AND s.requester = $8 AND s.origin = oss_labels.origin()" \
	" AND s.from_list GROUP BY o.verdict) v"

#define TYPES \
	{INT8OID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, \
	TEXTARRAYOID, BOOLARRAYOID, OIDOID}

static OssPlan take_list = {
	COUNT_VERDICTS("oss_labels.take_objects(s.sync_id, $2, $3, $4, $5, $6, $7, true)"),
	ARGUMENTS, TYPES
};

static OssPlan judge_list = {
	COUNT_VERDICTS("oss_labels.judge_objects(s, $2, $3, $4, $5, $6, $7)"),
	ARGUMENTS, TYPES
};

/* Add a row of the query to the result. */
static void
add_listed_row(uint64 row, void *arg)
{
	OssResult  *result = arg;
	Datum		values[LISTED_COLUMNS];
	bool		nulls[LISTED_COLUMNS];

	for (int i = 0; i < LISTED_COLUMNS; i++)
		values[i] = oss_result_column(row, i + 1, &nulls[i]);
	oss_result_add(result, values, nulls);
}

/*
 * oss_labels.listed_rows(query, path, bucket): the rows of listed_query(), during
 * which nothing is written and no request is sent.  Errors: those of the query.
 */
Datum
oss_labels_listed_rows(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1),
	PG_ARGISNULL(2) ? CStringGetTextDatum("") : PG_GETARG_DATUM(2)};
	OssResult	result = oss_result_begin(fcinfo);
	OssStatementState state;
	SPIPlanPtr	plan;

	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	plan = oss_query_prepare("SELECT * FROM oss_labels.listed_query($1, $2, $3)", 3, types);
	oss_query_read_guarded(plan, values, false, add_listed_row, &result);
	SPI_freeplan(plan);
	oss_statement_end(&state);
	return (Datum) 0;
}

/*
 * oss_labels.take_listed(sync_id, keys, sizes, etags, last_modified, storage_classes,
 * restored, dry_run): the number of objects by verdict.  Errors: 42704.
 */
Datum
oss_labels_take_listed(PG_FUNCTION_ARGS)
{
	OssStatementState state;
	Datum		values[ARGUMENTS];
	Datum		counts;
	bool		isnull;

	for (int i = 0; i < ARGUMENTS - 1; i++)
		values[i] = PG_GETARG_DATUM(i);
	values[ARGUMENTS - 1] = ObjectIdGetDatum(GetUserId());
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	oss_statement_execute(PG_GETARG_BOOL(7) ? &judge_list : &take_list, values, NULL, SPI_OK_SELECT);
	counts = oss_result_column(0, 1, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no such list of yours"),
				 errhint("Call backfill_listed(), which makes one.")));
	counts = PointerGetDatum(PG_DETOAST_DATUM_COPY(counts));
	oss_statement_end(&state);
	PG_RETURN_DATUM(counts);
}
