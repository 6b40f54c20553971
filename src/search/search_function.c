/*-------------------------------------------------------------------------
 * search_function.c
 *	  search(), search_ids() and the operator @@.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "search/search.h"
#include "search/search_scope.h"
#include "spi/column_array.h"
#include "spi/read_rows.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(oss_labels_search);
PG_FUNCTION_INFO_V1(oss_labels_search_ids);
PG_FUNCTION_INFO_V1(oss_labels_image_matches);
PG_FUNCTION_INFO_V1(oss_labels_image_matches_support);

/* The images in the order of the arrays. */
#define READ_HITS \
	"SELECT i.bucket, i.key, i.version_id, u.score, i.image_id " \
	"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) " \
	"WITH ORDINALITY AS u (image_id, score, n) " \
	"JOIN oss_labels.image i " \
	"ON i.image_id OPERATOR(pg_catalog.=) u.image_id ORDER BY u.n"

/* Order by score, best first, images without score last. */
static inline int
compare_scores(const ImageHit *left, const ImageHit *right)
{
	if (isnan(left->score) || isnan(right->score) || left->score == right->score)
	{
		int			missing = isnan(left->score) - isnan(right->score);

		return missing != 0 ? missing :
			left->image_id < right->image_id ? -1 : left->image_id > right->image_id;
	}
	return left->score > right->score ? -1 : 1;
}

#define ST_SORT sort_by_score
#define ST_ELEMENT_TYPE ImageHit
#define ST_COMPARE(a, b) compare_scores(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

static void
take_image(TupleTableSlot *slot, void *store)
{
	tuplestore_puttupleslot(store, slot);
}

/* Images read by one query, which bounds memory. */
#define HITS_AT_ONCE	10000

/* Add some images to the result in the given order. */
static void
return_some(const OssResult *result, const ImageHit *hits, int n)
{
	OssArguments arguments = {0};
	OssColumn	ids;
	OssColumn	scores;

	oss_column_init(&ids, INT8OID, n);
	oss_column_init(&scores, FLOAT8OID, n);
	for (int i = 0; i < n; i++)
	{
		oss_column_add(&ids, Int64GetDatum(hits[i].image_id), false);
		oss_column_add(&scores, Float8GetDatum(hits[i].score),
					   isnan(hits[i].score));
	}
	oss_add_argument(&arguments, INT8ARRAYOID, oss_column_array(&ids));
	oss_add_argument(&arguments, FLOAT8ARRAYOID, oss_column_array(&scores));
	oss_read(READ_HITS, &arguments, take_image, result->store);
}

/* Add images to the result in the given order. */
static void
return_hits(const OssResult *result, const ImageHit *hits, int64 n)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "oss_labels hits",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(work);

	for (int64 done = 0; done < n; done += HITS_AT_ONCE)
	{
		return_some(result, hits + done, (int) Min(HITS_AT_ONCE, n - done));
		MemoryContextReset(work);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
}

/* search(query, max_rows, bucket, prefix) */
Datum
oss_labels_search(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	OssStatementState state;
	ImageSet	set;
	int64		n = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1);

	if (n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must not be negative"),
				 errhint("Give the number of images that are wanted, or NULL for all.")));
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	set = oss_search_current(oss_label_query_get(PG_GETARG_VARLENA_P(0)),
							 PG_ARGISNULL(1) ? -1 : n, oss_search_scope(fcinfo, 2));
	sort_by_score(set.hits, set.n);
	return_hits(&result, set.hits, Min(n, set.n));
	oss_statement_end(&state);
	return (Datum) 0;
}

/* search_ids(query) */
Datum
oss_labels_search_ids(PG_FUNCTION_ARGS)
{
	OssStatementState state;
	ImageSet	set;
	OssColumn	ids;
	Datum		array;

	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	set = oss_search_images(oss_label_query_get(PG_GETARG_VARLENA_P(0)), -1, NULL);
	oss_column_init(&ids, INT8OID, set.n);
	for (int64 i = 0; i < set.n; i++)
		oss_column_add(&ids, Int64GetDatum(set.hits[i].image_id), false);
	array = oss_column_array(&ids);
	oss_statement_end(&state);
	return array;
}

/* image_matches(image_id, query), and the operator @@ */
Datum
oss_labels_image_matches(PG_FUNCTION_ARGS)
{
	OssStatementState state;
	bool		found;

	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	found = oss_search_one(oss_label_query_get(PG_GETARG_VARLENA_P(1)),
						   PG_GETARG_INT64(0));
	oss_statement_end(&state);
	PG_RETURN_BOOL(found);
}

/*
 * Return the function search_ids() of the schema of another function of the
 * extension.
 */
static Oid
search_ids_oid(Oid neighbour, Oid query_type)
{
	char	   *schema = get_namespace_name(get_func_namespace(neighbour));

	return LookupFuncName(list_make2(makeString(schema), makeString("search_ids")),
						  1, &query_type, true);
}

/*
 * Turn "image_id @@ query" into "image_id = ANY (search_ids(query))" for an
 * index on image_id.
 */
static List *
index_condition(SupportRequestIndexCondition *request)
{
	List	   *args;
	Expr	   *query;
	Oid			search_ids;
	ScalarArrayOpExpr *any;

	if (request->indexarg != 0 || request->opfamily != INTEGER_BTREE_FAM_OID)
		return NIL;
	if (IsA(request->node, OpExpr))
		args = ((OpExpr *) request->node)->args;
	else
		args = ((FuncExpr *) request->node)->args;
	query = lsecond(args);
	if (!is_pseudo_constant_for_index(request->root, (Node *) query,
									  request->index))
		return NIL;
	search_ids = search_ids_oid(request->funcid, exprType((Node *) query));
	if (!OidIsValid(search_ids))
		return NIL;
	any = makeNode(ScalarArrayOpExpr);
	any->opno = get_opfamily_member(request->opfamily, INT8OID, INT8OID,
									BTEqualStrategyNumber);
	any->opfuncid = F_INT8EQ;
	any->useOr = true;
	any->args = list_make2(linitial(args),
						   makeFuncExpr(search_ids, INT8ARRAYOID,
										list_make1(query), InvalidOid,
										InvalidOid, COERCE_EXPLICIT_CALL));
	any->location = -1;
	request->lossy = false;
	return list_make1(any);
}

/* Planner support function of image_matches(). */
Datum
oss_labels_image_matches_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (!IsA(request, SupportRequestIndexCondition))
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(index_condition((SupportRequestIndexCondition *) request));
}
