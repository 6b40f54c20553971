/*-------------------------------------------------------------------------
 * estimate.c
 *	  estimate(): what tag() of a query's images would ask for.
 *
 * The query is read once, as the caller; nothing in it can write or send a request.
 * Each image counts once, however many rows name it: tag() shares the request.
 */
#include "postgres.h"

#include "account/price.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "client/rate_limit.h"
#include "client/request.h"
#include "client/utf8.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "protocol/image_labels.h"
#include "spi/column_array.h"
#include "spi/result_rows.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "store/coverage.h"
#include "store/image_id.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_estimate);

/* Images that are looked up at once. */
#define BATCH 1000

/* Columns that the query may have; the first two it must have. */
#define COLUMNS 4
static const char *const column_names[COLUMNS] = {"bucket", "key", "version_id", "etag"};

/* $1 to $4: images; $5 and $6 thr and max_age.  The search path is ours. */
#define ROWS \
	"unnest($1, $2, $3, $4) WITH ORDINALITY q (bucket, key, version_id, etag, n)"

/* Of these rows, those with a stored answer. */
#define FIND_STORED \
	"SELECT q.n FROM " ROWS " WHERE EXISTS (SELECT FROM oss_labels.image i" \
	" WHERE i.image_id = oss_labels.image_id(q.bucket, q.key, q.version_id)" \
	" AND i.bucket = q.bucket AND i.key = q.key" \
	" AND i.version_id IS NOT DISTINCT FROM q.version_id" \
	" AND " OSS_SQL_HOLDS("i.thr", "$5") \
	" AND ($6 IS NULL OR (i.tagged_at >= pg_catalog.clock_timestamp() - $6" \
	" AND i.tagged_at <= pg_catalog.clock_timestamp()))" \
	" AND (q.etag IS NULL OR i.etag = q.etag))"

static OssPlan find_stored = {
	FIND_STORED, 6, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, FLOAT8OID, INTERVALOID}
};

/* The same with the rights of the caller; the plans depend on the role. */
static OssPlan find_visible = {
	FIND_STORED, 6, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, FLOAT8OID, INTERVALOID}
};

/* Of these rows, those for which a job waits that the caller may see. */
static OssPlan find_queued = {
	"SELECT q.n FROM " ROWS " WHERE EXISTS (SELECT FROM oss_labels.job j"
	" WHERE j.key = q.key AND j.bucket = q.bucket"
	" AND j.version_id IS NOT DISTINCT FROM q.version_id"
	" AND ($6 OR j.origin = oss_labels.origin()"
	" AND pg_catalog.pg_has_role($5, j.requester, 'USAGE')))",
	6, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, OIDOID, BOOLOID}
};

/* The requests that the budgets still allow for these buckets. */
static OssPlan find_left = {
	"SELECT min(oss_labels.budget_left($1, $2, b)) FROM unnest($3) b",
	3, {TEXTOID, OIDOID, TEXTARRAYOID}
};

/* An image that the query has named. */
typedef struct Named
{
	int64		id;				/* hash of its name */
	bool		asked;			/* no stored answer covers one of its rows */
	bool		queued;
} Named;

/* A bucket whose images would be asked for. */
typedef struct Bucket
{
	char		name[OSS_BUCKET_MAX + 1];
	int64		to_ask;
} Bucket;

typedef struct Estimate
{
	MemoryContext context;
	MemoryContext batch_context;
	OssServer  *server;
	Datum		thr;
	bool		any_thr;
	Datum		max_age;
	bool		any_age;
	bool		sees_none;		/* whatever is stored */
	OssStatementUse use;		/* how it is looked up */
	HTAB	   *named;
	HTAB	   *buckets;
	int			columns[COLUMNS];	/* of the query, 0: it has none */
	bool		padded[COLUMNS];	/* of type character(n) */
	OssImage	images[BATCH];
	int			nimages;
	int64		stored;
	int64		queued;
	int64		invalid;
	int64		to_ask;
} Estimate;

static HTAB *
make_table(Estimate *estimate, Size key, Size entry, int flags)
{
	HASHCTL		control = {
		.keysize = key,
		.entrysize = entry,
		.hcxt = estimate->context
	};

	return hash_create("oss_labels estimate", 1024, &control, flags | HASH_ELEM | HASH_CONTEXT);
}

/* Find the columns of the query's result.  Errors: 42703, 42804. */
static void
find_columns(Estimate *estimate, TupleDesc desc)
{
	for (int i = 0; i < COLUMNS; i++)
	{
		int			column = SPI_fnumber(desc, column_names[i]);
		Oid			type;

		estimate->columns[i] = Max(column, 0);
		if (column <= 0)
		{
			if (i >= 2)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("the query has no column \"%s\"", column_names[i]),
					 errhint("Its result needs the columns bucket and key, and may have version_id and etag.")));
		}
		type = getBaseType(SPI_gettypeid(desc, column));
		if (type != UNKNOWNOID && TypeCategory(type) != TYPCATEGORY_STRING)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of the query is of type %s, not text",
							column_names[i], format_type_be(type)),
					 errhint("Cast it to text.")));
		estimate->padded[i] = type == BPCHAROID;
	}
}

/* Return a column of a row as a string, NULL for null. */
static char *
column_of(const Estimate *estimate, uint64 row, int i)
{
	char	   *value;

	if (estimate->columns[i] == 0)
		return NULL;
	value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, estimate->columns[i]);
	if (value != NULL && estimate->padded[i])
	{
		size_t		len = strlen(value);

		while (len > 0 && value[len - 1] == ' ')
			value[--len] = '\0';
	}
	return value;
}

/* Set the parameters that name the images of a batch. */
static void
image_args(const Estimate *estimate, Datum *values)
{
	OssColumn	columns[COLUMNS];

	for (int i = 0; i < COLUMNS; i++)
		oss_column_init(&columns[i], TEXTOID, estimate->nimages);
	for (int i = 0; i < estimate->nimages; i++)
	{
		const OssImage *image = &estimate->images[i];

		oss_column_add_string(&columns[0], image->bucket);
		oss_column_add_string(&columns[1], image->key);
		oss_column_add_string(&columns[2], image->version_id);
		oss_column_add_string(&columns[3], image->etag);
	}
	for (int i = 0; i < COLUMNS; i++)
		values[i] = oss_column_array(&columns[i]);
}

/* Execute a statement that tells which images of a batch have something. */
static bool *
which_of(const Estimate *estimate, OssStatementUse use, OssPlan *plan,
		 Datum *values, const char *nulls)
{
	bool	   *which = palloc0(sizeof(bool) * BATCH);
	OssStatementState state;
	uint64		n;

	oss_statement_begin(&state, use);
	n = oss_statement_execute_in(GetLatestSnapshot(), plan, values, nulls, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
		which[DatumGetInt64(oss_result_column(i, 1, NULL)) - 1] = true;
	oss_statement_end(&state);
	return which;
}

/* Count an image that is to be asked for. */
static void
count_to_ask(Estimate *estimate, const OssImage *image)
{
	Bucket	   *bucket;
	bool		found;

	estimate->to_ask++;
	bucket = hash_search(estimate->buckets, image->bucket, HASH_ENTER, &found);
	if (!found)
		bucket->to_ask = 0;
	bucket->to_ask++;
}

/* Look up the images of a batch, and count them. */
static void
count_batch(Estimate *estimate)
{
	MemoryContext old = MemoryContextSwitchTo(estimate->batch_context);
	Datum		values[6];
	const char	nulls[] = {' ', ' ', ' ', ' ', estimate->any_thr ? 'n' : ' ',
	estimate->any_age ? 'n' : ' ', '\0'};
	bool	   *stored;
	bool	   *queued;

	image_args(estimate, values);
	values[4] = estimate->thr;
	values[5] = estimate->max_age;
	stored = estimate->sees_none ? palloc0(sizeof(bool) * BATCH) :
		which_of(estimate, estimate->use,
				 estimate->use == OSS_STATEMENT_STORE ? &find_stored : &find_visible,
				 values, nulls);
	values[4] = ObjectIdGetDatum(GetUserId());
	values[5] = BoolGetDatum(oss_sees_all(GetUserId()));
	queued = which_of(estimate, OSS_STATEMENT_STORE, &find_queued, values, NULL);
	for (int i = 0; i < estimate->nimages; i++)
	{
		int64		id = oss_image_id(&estimate->images[i]);
		bool		found;
		Named	   *named = hash_search(estimate->named, &id, HASH_ENTER, &found);

		if (!found)
			named->asked = named->queued = false;
		if (!found && stored[i])
			estimate->stored++;
		if (stored[i] || named->asked)
			continue;

		/* an answer was stored for another row of it, with another ETag */
		if (found)
			estimate->stored--;
		named->asked = true;
		count_to_ask(estimate, &estimate->images[i]);
		estimate->queued += queued[i];
	}
	estimate->nimages = 0;
	MemoryContextSwitchTo(old);
	MemoryContextReset(estimate->batch_context);
}

/* Count an image whose name is refused before any request, once. */
static void
count_invalid(Estimate *estimate, const OssImage *image)
{
	const char *parts[] = {image->bucket, image->key, image->version_id};
	uint64		hash = 0;
	bool		found;

	for (int i = 0; i < lengthof(parts); i++)
		hash = hash_combine64(hash, parts[i] == NULL ? 1 :
							  DatumGetUInt64(hash_any_extended((const unsigned char *) parts[i],
															   strlen(parts[i]), 0)));
	(void) hash_search(estimate->named, &hash, HASH_ENTER, &found);
	estimate->invalid += !found;
}

/* Take a row of the query. */
static void
take_row(uint64 row, void *arg)
{
	Estimate   *estimate = arg;
	MemoryContext old;
	OssImage	image;
	OssImage	utf8;
	const char *etag;

	old = MemoryContextSwitchTo(estimate->batch_context);
	image = (OssImage)
	{
		.bucket = column_of(estimate, row, 0),
			.key = column_of(estimate, row, 1),
			.version_id = column_of(estimate, row, 2)
	};
	etag = column_of(estimate, row, 3);
	if (image.bucket != NULL && image.key != NULL)
	{
		image.etag = etag ? oss_etag_argument(etag) : NULL;
		utf8 = oss_image_utf8(&image);
		if (oss_image_failure(&utf8) != NULL)
			count_invalid(estimate, &image);
		else
			estimate->images[estimate->nimages++] = image;
	}
	MemoryContextSwitchTo(old);
	if (estimate->nimages == BATCH)
		count_batch(estimate);
}

/*
 * Read the query.  While it runs, its functions can neither write nor request.
 */
static void
read_query(Estimate *estimate, const char *query)
{
	OssStatementState state;
	SPIPlanPtr	plan;
	CachedPlanSource *source;

	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	plan = oss_query_prepare(query, 0, NULL);
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query to estimate is not a single SELECT"),
				 errhint("Give a SELECT with the columns bucket and key, without what follows it.")));
	source = linitial(SPI_plan_get_plan_sources(plan));
	find_columns(estimate, source->resultDesc);
	oss_query_read_guarded(plan, NULL, true, take_row, estimate);
	count_batch(estimate);
	SPI_freeplan(plan);
	oss_statement_end(&state);
}

/* Decide how stored answers are looked up: as tag() does. */
static void
choose_use(Estimate *estimate)
{
	Oid			image = get_relname_relid("image", get_namespace_oid("oss_labels", false));
	bool		readable = pg_class_aclcheck(image, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
	bool		hidden = check_enable_rls(image, GetUserId(), true) == RLS_ENABLED;

	estimate->use = hidden ? OSS_STATEMENT_PINNED : OSS_STATEMENT_STORE;
	estimate->sees_none = hidden && !readable;
}

/* Return how long the requests take at the present limits, -1: there are none. */
static double
seconds_of(const Estimate *estimate)
{
	double		rate = estimate->server->max_requests_per_second;
	double		seconds = rate > 0 ? estimate->to_ask / rate : -1;
	OssRateReport report;
	int			at = 0;

	while (oss_rate_report(&at, &report))
	{
		const Bucket *bucket;

		if (report.serverid != estimate->server->serverid || report.requests_per_second <= 0)
			continue;
		bucket = hash_search(estimate->buckets, report.bucket, HASH_FIND, NULL);
		if (bucket != NULL)
			seconds = Max(seconds, bucket->to_ask / report.requests_per_second);
	}
	return seconds;
}

/* Return the requests that the budgets still allow for the buckets in question. */
static Datum
left_of(const Estimate *estimate, bool *isnull)
{
	OssColumn	names;
	HASH_SEQ_STATUS scan;
	Bucket	   *bucket;
	Datum		values[3];
	OssStatementState state;
	Datum		left;

	oss_column_init(&names, TEXTOID, 16);
	hash_seq_init(&scan, estimate->buckets);
	while ((bucket = hash_seq_search(&scan)) != NULL)
		oss_column_add_string(&names, bucket->name);
	values[0] = CStringGetTextDatum(estimate->server->name);
	values[1] = ObjectIdGetDatum(GetUserId());
	values[2] = oss_column_array(&names);
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	(void) oss_statement_execute(&find_left, values, NULL, SPI_OK_SELECT);
	left = oss_result_column(0, 1, isnull);
	oss_statement_end(&state);
	return left;
}

static void
add_result(const Estimate *estimate, FunctionCallInfo fcinfo)
{
	OssResult	result = oss_result_begin(fcinfo);
	double		seconds = seconds_of(estimate);
	char	   *currency = NULL;
	Datum		values[9] = {
		Int64GetDatum(estimate->stored + estimate->invalid + estimate->to_ask),
		Int64GetDatum(estimate->stored), Int64GetDatum(estimate->queued),
		Int64GetDatum(estimate->invalid), Int64GetDatum(estimate->to_ask)
	};
	bool		nulls[9] = {false};

	nulls[5] = !oss_price_of("label", estimate->server->name, estimate->to_ask,
							 &values[5], &currency);
	values[6] = oss_text_or_null(currency, &nulls[6]);
	values[7] = left_of(estimate, &nulls[7]);
	values[8] = Float8GetDatum(seconds);
	nulls[8] = seconds < 0;
	oss_result_add(&result, values, nulls);
}

/* estimate(query, thr, max_age, server) */
Datum
oss_labels_estimate(PG_FUNCTION_ARGS)
{
	Estimate   *estimate;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query must not be null"),
				 errhint("Give a SELECT with columns \"bucket\" and \"key\".")));
	if (!PG_ARGISNULL(1) && !oss_thr_valid(PG_GETARG_FLOAT8(1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("thr must be a number from 0 to 1"),
				 errhint("Give the least confidence, such as 0.7, or NULL.")));
	if (!PG_ARGISNULL(2))
		(void) oss_fresh_since(PG_GETARG_INTERVAL_P(2));
	estimate = palloc0(sizeof(Estimate));
	estimate->context = CurrentMemoryContext;
	estimate->batch_context = AllocSetContextCreate(CurrentMemoryContext,
													"oss_labels estimate batch",
													ALLOCSET_DEFAULT_SIZES);
	estimate->any_thr = PG_ARGISNULL(1);
	estimate->thr = PG_GETARG_DATUM(1);
	estimate->any_age = PG_ARGISNULL(2);
	estimate->max_age = PG_GETARG_DATUM(2);
	estimate->server = oss_server_get(oss_name_argument(fcinfo, 3), GetUserId());
	oss_server_pin_in_context(estimate->server);
	estimate->named = make_table(estimate, sizeof(int64), sizeof(Named), HASH_BLOBS);
	estimate->buckets = make_table(estimate, OSS_BUCKET_MAX + 1, sizeof(Bucket), HASH_STRINGS);
	choose_use(estimate);
	read_query(estimate, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	add_result(estimate, fcinfo);
	return (Datum) 0;
}
