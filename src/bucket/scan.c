/*-------------------------------------------------------------------------
 * scan.c
 *	  The executor's side of a foreign table.
 *
 * The values of the conditions determine the listings.  A listing begins with the
 * first row that is read.  EXPLAIN ANALYZE also counts requests that a rescan
 * repeats.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/plan.h"
#include "bucket/scan.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/executor.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

int64
oss_bucket_scan_requests(const OssBucketScan *scan)
{
	return scan->requests + (scan->listing != NULL ? oss_listing_requests(scan->listing) : 0);
}

/* Is there a bucket to list? */
static bool
has_bucket(const OssBucketScan *scan)
{
	if (scan->table->options.bucket != NULL)
		return true;
	for (int i = 0; i < list_length(scan->kinds); i++)
	{
		if (oss_condition_is_of_bucket(intVal(list_nth(scan->kinds, i))))
			return true;
	}
	return false;
}

static void
check_bucket(const OssBucketScan *scan, Relation relation)
{
	if (!has_bucket(scan))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the query does not say which bucket of foreign table \"%s\" to list",
						RelationGetRelationName(relation)),
				 errdetail("The table has no option \"bucket\", and no condition gives it before the listing."),
				 errhint("Add bucket = '...', or a join by bucket with a table of buckets.")));
}

void
oss_bucket_scan_begin(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	Relation	relation = node->ss.ss_currentRelation;
	OssBucketScan *scan = palloc0(sizeof(OssBucketScan));
	RangeTblEntry *rte = exec_rt_fetch(plan->scan.scanrelid, node->ss.ps.state);
	Oid			role = oss_scan_role(plan, rte);

	scan->table = oss_bucket_table(relation);
	scan->kinds = list_copy_tail(plan->fdw_private, OSS_BUCKET_KINDS);
	scan->values = ExecInitExprList(plan->fdw_exprs, &node->ss.ps);
	scan->serverid = GetForeignServerIdByRelId(RelationGetRelid(relation));
	scan->userid = OidIsValid(role) ? role : GetUserId();
	scan->row = oss_bucket_row_begin(scan->table, RelationGetDescr(relation));
	scan->context = AllocSetContextCreate(CurrentMemoryContext, "oss_labels bucket",
										  ALLOCSET_DEFAULT_SIZES);
	node->fdw_state = scan;
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	/* before any request, of this node or of others */
	check_bucket(scan, relation);
	(void) oss_server_by_oid(scan->serverid, scan->userid);
}

/* Set the values of a condition.  Returns false for NULL: no row passes. */
static bool
read_array(OssCondition *condition, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	condition->values = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			condition->values[condition->n++] = TextDatumGetCString(elements[i]);
	}
	return condition->n > 0;
}

/* The same for any condition; a pattern is replaced by its literal beginning. */
static bool
read_condition(OssCondition *condition, OssConditionKind kind, Datum value)
{
	const char *string;
	bool		whole;

	condition->kind = kind;
	condition->n = 0;
	if (kind == OSS_BUCKET_IN || kind == OSS_KEY_IN)
		return read_array(condition, value);
	string = TextDatumGetCString(value);
	if (kind == OSS_KEY_LIKE)
	{
		string = oss_like_prefix(string, &whole);
		condition->kind = whole ? OSS_KEY_IS : OSS_KEY_BEGINS;
	}
	condition->n = 1;
	condition->values = palloc(sizeof(char *));
	condition->values[0] = string;
	return true;
}

/* Evaluate the conditions, and determine the listings. */
static void
begin_spans(OssBucketScan *scan, ExprContext *econtext)
{
	int			n = list_length(scan->kinds);
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	OssCondition *conditions = palloc(sizeof(OssCondition) * Max(n, 1));
	bool		any = true;

	scan->begun = true;
	scan->next_span = 0;
	for (int i = 0; i < n && any; i++)
	{
		bool		isnull;
		Datum		value = ExecEvalExpr((ExprState *) list_nth(scan->values, i), econtext, &isnull);

		any = !isnull && read_condition(&conditions[i], intVal(list_nth(scan->kinds, i)), value);
	}
	scan->nspans = any ? oss_bucket_spans(scan->table, conditions, n, &scan->spans) : 0;
	MemoryContextSwitchTo(old);
}

static void
end_listing(OssBucketScan *scan)
{
	if (scan->listing == NULL)
		return;
	scan->requests += oss_listing_requests(scan->listing);
	oss_listing_end(scan->listing);
	scan->listing = NULL;
}

/* Return the next object, or NULL. */
static const OssListed *
next_object(OssBucketScan *scan)
{
	for (;;)
	{
		const OssListed *object;

		if (scan->listing == NULL)
		{
			OssListSpec *spec;

			if (scan->next_span == scan->nspans)
				return NULL;
			spec = &scan->spans[scan->next_span++];
			spec->server = oss_server_by_oid(scan->serverid, scan->userid);
			scan->listing = oss_listing_begin(scan->context, spec);
			scan->listings++;
		}
		object = oss_listing_next(scan->listing);
		if (object != NULL)
			return object;
		end_listing(scan);
		oss_bucket_row_warn(scan->row, scan->spans[scan->next_span - 1].bucket);
	}
}

TupleTableSlot *
oss_bucket_scan_next(ForeignScanState *node)
{
	OssBucketScan *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	const OssListed *object;

	if (!scan->begun)
		begin_spans(scan, node->ss.ps.ps_ExprContext);
	ExecClearTuple(slot);
	while ((object = next_object(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		scan->objects++;
		if (oss_bucket_row_set(scan->row, scan->spans[scan->next_span - 1].bucket, object,
							   slot->tts_values, slot->tts_isnull))
			return ExecStoreVirtualTuple(slot);
	}
	return slot;
}

void
oss_bucket_scan_again(ForeignScanState *node)
{
	OssBucketScan *scan = node->fdw_state;

	end_listing(scan);
	MemoryContextReset(scan->context);
	scan->begun = false;
}

void
oss_bucket_scan_end(ForeignScanState *node)
{
	OssBucketScan *scan = node->fdw_state;

	if (scan != NULL)
		end_listing(scan);
}
