/*-------------------------------------------------------------------------
 * album.c
 *	  albums_of(): the albums that contain an image.
 *
 * The labels of the image are read once, and the rules of all albums are
 * evaluated with them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "search/search.h"
#include "spi/result_rows.h"
#include "spi/statement.h"

PG_FUNCTION_INFO_V1(oss_labels_albums_of);

/* All albums, with what was decided about the image. */
static OssPlan read_albums = {
	"SELECT a.album_id, a.name, a.owner, a.rule, a.created_at, a.role, p.pinned "
	"FROM oss_labels.album a LEFT JOIN oss_labels.album_pin p "
	"ON p.album_id OPERATOR(pg_catalog.=) a.album_id "
	"AND p.bucket OPERATOR(pg_catalog.=) $1 AND p.key OPERATOR(pg_catalog.=) $2",
	2, {TEXTOID, TEXTOID}, OSS_PLAN_READ
};

static OssPlan read_image_id = {
	"SELECT i.image_id FROM oss_labels.image i WHERE i.image_id "
	"OPERATOR(pg_catalog.=) oss_labels.image_id($1, $2, $3) "
	"AND i.bucket OPERATOR(pg_catalog.=) $1 AND i.key OPERATOR(pg_catalog.=) $2",
	3, {TEXTOID, TEXTOID, TEXTOID}, OSS_PLAN_READ
};

/* Columns of the result, which are those of album, and of read_albums. */
#define ALBUM_COLUMNS	6
#define ALBUM_RULE		4
#define ALBUM_PINNED	7

/* Run a statement for the image, whose bucket and key are not NULL. */
static uint64
read_for_image(FunctionCallInfo fcinfo, OssPlan *plan)
{
	Datum		values[3];
	char		nulls[3] = {0};

	for (int i = 0; i < plan->nargs; i++)
		oss_arg(values, nulls, i, PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	return oss_statement_execute(plan, values, nulls, SPI_OK_SELECT);
}

/* Return the rule that decides about row i of read_albums, or NULL. */
static LabelQueryNode *
rule_of(uint64 i)
{
	bool		isnull;
	Datum		rule;

	(void) oss_result_column(i, ALBUM_PINNED, &isnull);
	if (!isnull)
		return NULL;
	rule = oss_result_column(i, ALBUM_RULE, &isnull);
	return isnull ? NULL :
		oss_label_query_get((struct varlena *) PG_DETOAST_DATUM(rule));
}

/* Add row i of read_albums to the result if the album contains the image. */
static void
add_album(const OssResult *result, uint64 i, bool matches)
{
	Datum		values[ALBUM_COLUMNS];
	bool		nulls[ALBUM_COLUMNS];
	bool		isnull;
	Datum		pinned = oss_result_column(i, ALBUM_PINNED, &isnull);

	if (isnull ? !matches : !DatumGetBool(pinned))
		return;
	for (int k = 0; k < ALBUM_COLUMNS; k++)
		values[k] = oss_result_column(i, k + 1, &nulls[k]);
	oss_result_add(result, values, nulls);
}

/* albums_of(bucket, key, version_id) */
Datum
oss_labels_albums_of(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	OssStatementState state;
	LabelQueryNode **rules;
	SPITupleTable *albums;
	int64		image_id = 0;
	bool		stored;
	bool	   *matches;
	uint64		n;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	stored = read_for_image(fcinfo, &read_image_id) > 0;
	if (stored)
		image_id = DatumGetInt64(oss_result_column(0, 1, NULL));
	n = read_for_image(fcinfo, &read_albums);
	albums = SPI_tuptable;
	rules = palloc(sizeof(LabelQueryNode *) * Max(n, 1));
	matches = palloc0(sizeof(bool) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		rules[i] = rule_of(i);
	if (stored)
		oss_search_each(rules, (int) n, image_id, matches);
	SPI_tuptable = albums;
	for (uint64 i = 0; i < n; i++)
		add_album(&result, i, matches[i]);
	oss_statement_end(&state);
	return (Datum) 0;
}
