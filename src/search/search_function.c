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
#include "compat.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
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
#include "utils/tuplesort.h"

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

/*
 * Hits to be returned, best score first, those without one last, then by image.  The
 * sort key is the negated score.
 */
typedef struct HitOrder
{
	Tuplesortstate *sort;
	TupleTableSlot *in;
	TupleTableSlot *out;
} HitOrder;

/* Begin to order hits, of which the first "most" are wanted; negative: all. */
static void
begin_order(HitOrder *order, int64 most)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	AttrNumber	columns[] = {1, 2};
	Oid			operators[] = {Float8LessOperator, Int8LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};

	TupleDescInitEntry(desc, 1, "score", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "image_id", INT8OID, -1, 0);
	TupleDescFinalize(desc);
	order->in = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	order->out = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	order->sort = tuplesort_begin_heap(desc, 2, columns, operators, collations, nulls_first,
									   work_mem, NULL,
									   most > 0 ? TUPLESORT_ALLOWBOUNDED : TUPLESORT_NONE);
	if (most > 0)
		tuplesort_set_bound(order->sort, most);
}

/* Add a hit. */
static void
order_hit(int64 image_id, double score, void *arg)
{
	HitOrder   *order = arg;

	ExecClearTuple(order->in);
	order->in->tts_isnull[0] = isnan(score);
	order->in->tts_values[0] = Float8GetDatum(-score);
	order->in->tts_isnull[1] = false;
	order->in->tts_values[1] = Int64GetDatum(image_id);
	ExecStoreVirtualTuple(order->in);
	tuplesort_puttupleslot(order->sort, order->in);
}

static void
take_matching_image(TupleTableSlot *slot, void *store)
{
	tuplestore_puttupleslot(store, slot);
}

/* Images read by one query, which bounds memory. */
#define HITS_AT_ONCE	10000

/*
 * Add the next images to the result, at most "most" of them.  Returns how many there
 * were.
 */
static int
return_some(const OssResult *result, HitOrder *order, int most)
{
	OssArguments arguments = {0};
	OssColumn	ids;
	OssColumn	scores;
	int			n = 0;

	oss_column_init(&ids, INT8OID, most);
	oss_column_init(&scores, FLOAT8OID, most);
	while (n < most && tuplesort_gettupleslot(order->sort, true, false, order->out, NULL))
	{
		slot_getallattrs(order->out);
		oss_column_add(&ids, Int64GetDatum(DatumGetInt64(order->out->tts_values[1])), false);
		oss_column_add(&scores, Float8GetDatum(-DatumGetFloat8(order->out->tts_values[0])),
					   order->out->tts_isnull[0]);
		n++;
	}
	if (n == 0)
		return 0;
	oss_add_argument(&arguments, INT8ARRAYOID, oss_column_array(&ids));
	oss_add_argument(&arguments, FLOAT8ARRAYOID, oss_column_array(&scores));
	oss_read(READ_HITS, &arguments, take_matching_image, result->store);
	return n;
}

/* Add up to n images to the result, best first. */
static void
return_hits(const OssResult *result, HitOrder *order, int64 n)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "oss_labels hits",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(work);
	int			some;

	tuplesort_performsort(order->sort);
	while (n > 0 && (some = return_some(result, order, (int) Min(HITS_AT_ONCE, n))) > 0)
	{
		n -= some;
		MemoryContextReset(work);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	ExecDropSingleTupleTableSlot(order->in);
	ExecDropSingleTupleTableSlot(order->out);
	tuplesort_end(order->sort);
}

/* search(query, max_rows, bucket, prefix) */
Datum
oss_labels_search(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	OssStatementState state;
	HitOrder	order;
	int64		n = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1);

	if (n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must not be negative"),
				 errhint("Give the number of images that are wanted, or NULL for all.")));
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	begin_order(&order, PG_ARGISNULL(1) ? -1 : n);
	oss_search_current(oss_label_query_get(PG_GETARG_VARLENA_P(0)), PG_ARGISNULL(1) ? -1 : n,
					   oss_search_scope(fcinfo, 2), order_hit, &order);
	return_hits(&result, &order, n);
	oss_statement_end(&state);
	return (Datum) 0;
}

/* Add an image to an array. */
static void
take_id(int64 image_id, double score, void *ids)
{
	oss_column_add(ids, Int64GetDatum(image_id), false);
}

/* search_ids(query) */
Datum
oss_labels_search_ids(PG_FUNCTION_ARGS)
{
	OssStatementState state;
	OssColumn	ids;
	Datum		array;

	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	oss_column_init(&ids, INT8OID, 64);
	oss_search_images(oss_label_query_get(PG_GETARG_VARLENA_P(0)), -1, NULL, take_id, &ids);
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
