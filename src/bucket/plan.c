/*-------------------------------------------------------------------------
 * plan.c
 *	  The planner's side of a foreign table: how many rows, which paths.
 *
 * Paths differ in the values that they know before the listing begins: those in
 * the query, or also values of other relations, which a nested loop passes.  A
 * path without a bucket is the last resort, since its execution is an error.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "access/table.h"
#include "bucket/bucket.h"
#include "bucket/plan.h"
#include "catalog/pg_opfamily_d.h"
#include "catalog/pg_type.h"
#include "client/listing.h"
#include "compat.h"
#include "foreign/fdwapi.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

/*
 * Estimated objects of a bucket without ANALYZE, and buckets of a table without the
 * option bucket: the default selectivity of an equality fits these.
 */
#define OBJECTS_UNKNOWN		10000
#define BUCKETS_UNKNOWN		DEFAULT_NUM_DISTINCT

/*
 * Cost of the request of a page: high compared with rows, low compared with labels.
 */
#define REQUEST_COST		100.0

/* Cost of a path that cannot be executed, above that of disabled paths. */
#define IMPOSSIBLE_COST		1.0e11

/* The conditions whose values a path knows before it lists. */
typedef struct Known
{
	bool		bucket;			/* the bucket is known */
	bool		one_bucket;
	List	   *narrowing;		/* RestrictInfos that narrow the listing */
} Known;

/* Add the conditions in these RestrictInfos. */
static void
note_clauses(PlannerInfo *root, RelOptInfo *rel, List *clauses, Known *known)
{
	foreach_ptr(RestrictInfo, rinfo, clauses)
	{
		OssConditionKind kind;
		Expr	   *value;

		if (!oss_bucket_condition(root, rel, rinfo, &kind, &value))
			continue;
		known->narrowing = lappend(known->narrowing, rinfo);
		if (oss_condition_is_of_bucket(kind))
			known->bucket = true;
		if (kind == OSS_BUCKET_IS)
			known->one_bucket = true;
	}
}

static Known
what_is_known(PlannerInfo *root, RelOptInfo *rel, const ParamPathInfo *param)
{
	OssBucketTable *table = rel->fdw_private;
	Known		known = {0};

	known.bucket = known.one_bucket = table->options.bucket != NULL;
	note_clauses(root, rel, rel->baserestrictinfo, &known);
	if (param != NULL)
		note_clauses(root, rel, param->ppi_clauses, &known);
	return known;
}

/*
 * Hook: keys are unique in a listing of current versions.  The planner then
 * estimates joins correctly without ANALYZE.
 */
static get_relation_stats_hook_type prev_relation_stats_hook = NULL;

static bool
on_relation_stats(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attno,
				  VariableStatData *variable)
{
	RelOptInfo *rel = variable->rel;

	if (rel != NULL && rel->fdwroutine != NULL && rel->fdw_private != NULL &&
		rel->fdwroutine->GetForeignRelSize == oss_bucket_rel_size)
	{
		OssBucketTable *table = rel->fdw_private;

		if (attno > 0 && attno == table->attnos[OSS_COLUMN_KEY] &&
			table->options.bucket != NULL && !table->options.versions)
			variable->isunique = true;
	}
	return prev_relation_stats_hook != NULL &&
		prev_relation_stats_hook(root, rte, attno, variable);
}

void
oss_bucket_init(void)
{
	prev_relation_stats_hook = get_relation_stats_hook;
	get_relation_stats_hook = on_relation_stats;
}

/* Return the conditions that select rows: not those on the bucket of a table of one. */
static List *
choosing_clauses(PlannerInfo *root, RelOptInfo *rel)
{
	OssBucketTable *table = rel->fdw_private;
	List	   *choosing = NIL;

	foreach_ptr(RestrictInfo, rinfo, rel->baserestrictinfo)
	{
		OssConditionKind kind;
		Expr	   *value;

		if (table->options.bucket == NULL ||
			!oss_bucket_condition(root, rel, rinfo, &kind, &value) ||
			!oss_condition_is_of_bucket(kind))
			choosing = lappend(choosing, rinfo);
	}
	return choosing;
}

void
oss_bucket_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid tableid)
{
	Relation	relation = table_open(tableid, NoLock);
	OssBucketTable *table = oss_bucket_table(relation);

	table_close(relation, NoLock);
	rel->fdw_private = table;
	if (rel->tuples < 0 || (rel->tuples == 0 && rel->pages == 0))
		rel->tuples = OBJECTS_UNKNOWN *
			(table->options.bucket != NULL ? 1 : BUCKETS_UNKNOWN);

	/* of this, only the width and the cost of the conditions stay */
	set_baserel_size_estimates(root, rel);
	rel->rows = clamp_row_est(rel->tuples *
							  clauselist_selectivity(root, choosing_clauses(root, rel),
													 0, JOIN_INNER, NULL));
}

/* Does a pathkey order by this column? */
static bool
pathkey_has(PlannerInfo *root, RelOptInfo *rel, PathKey *pathkey, OssBucketColumn column)
{
	AttrNumber	attno = ((OssBucketTable *) rel->fdw_private)->attnos[column];
	Oid			type;
	int32		typmod;
	Oid			collation;
	Var		   *var;

	if (attno == 0)
		return false;
	get_atttypetypmodcoll(planner_rt_fetch(rel->relid, root)->relid, attno,
						  &type, &typmod, &collation);
	var = makeVar(rel->relid, attno, type, typmod, collation, 0);

	/* finds columns of partitions, too, and below casts and collations */
	return find_ec_member_matching_expr(pathkey->pk_eclass, (Expr *) var, rel->relids) != NULL;
}

/*
 * Return the pathkeys of a listing of one bucket: the longest prefix of the query's
 * pathkeys that the order of keys satisfies.
 */
static List *
listing_pathkeys(PlannerInfo *root, RelOptInfo *rel)
{
	OssBucketTable *table = rel->fdw_private;
	List	   *pathkeys = NIL;

	foreach_ptr(PathKey, pathkey, root->query_pathkeys)
	{
		if (pathkey_has(root, rel, pathkey, OSS_COLUMN_BUCKET))
		{
			pathkeys = lappend(pathkeys, pathkey);
			continue;
		}
		if (!pathkey_has(root, rel, pathkey, OSS_COLUMN_KEY) ||
			pathkey->pk_opfamily != TEXT_BTREE_FAM_OID || !oss_pathkey_ascends(pathkey) ||
			!oss_bucket_sorts(pathkey->pk_eclass->ec_collation))
			return pathkeys;
		pathkeys = lappend(pathkeys, pathkey);
		if (table->options.versions)
			return pathkeys;
	}
	return pathkeys;
}

/* Add a path for these outer relations, NULL for none. */
static void
offer_path(PlannerInfo *root, RelOptInfo *rel, Relids outer, List *pathkeys)
{
	ParamPathInfo *param = get_baserel_parampathinfo(root, rel, outer);
	Known		known = what_is_known(root, rel, param);
	double		rows = param != NULL ? param->ppi_rows : rel->rows;

	/*
	 * The relation's id, not 0: with 0 join clauses would keep this
	 * selectivity, which is a default, for the estimates of joins.
	 */
	double		listed = rel->tuples *
	clauselist_selectivity(root, known.narrowing, rel->relid, JOIN_INNER, NULL);
	Cost		startup = REQUEST_COST + rel->baserestrictcost.startup;
	Cost		run;

	if (!known.bucket && outer != NULL && !bms_equal(outer, rel->lateral_relids))
		return;
	listed = Max(listed, rows);
	run = (ceil(listed / OSS_PAGE_MAX) - 1) * REQUEST_COST +
		listed * (cpu_tuple_cost + rel->baserestrictcost.per_tuple);
	if (!known.bucket)
		startup += IMPOSSIBLE_COST;
	add_path(rel, (Path *)
			 oss_foreign_path(root, rel, rows, known.bucket ? 0 : 1, startup, startup + run,
							  known.one_bucket ? pathkeys : NIL, outer));
}

/* Is this member of an equivalence class the column to look for? */
static bool
is_wanted(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec,
		  EquivalenceMember *member, void *column)
{
	return oss_bucket_is_column(rel, (Node *) member->em_expr, *(OssBucketColumn *) column);
}

/* Return the join clauses that narrow the listing. */
static List *
joining_clauses(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *clauses = NIL;
	Known		known = {0};

	foreach_ptr(RestrictInfo, rinfo, rel->joininfo)
	{
		if (join_clause_is_movable_to(rinfo, rel))
			clauses = lappend(clauses, rinfo);
	}
	if (rel->has_eclass_joins)
	{
		for (int i = OSS_COLUMN_BUCKET; i <= OSS_COLUMN_KEY; i++)
		{
			OssBucketColumn column = i;

			clauses = list_concat(clauses,
								  generate_implied_equalities_for_column(root, rel, is_wanted, &column,
																		 rel->lateral_referencers));
		}
	}
	note_clauses(root, rel, clauses, &known);
	return known.narrowing;
}

/* Add a set of outer relations for which paths are made. */
static List *
add_outer(List *outers, RelOptInfo *rel, Relids relids)
{
	Relids		outer = bms_del_member(bms_copy(relids), rel->relid);

	outer = bms_add_members(outer, rel->lateral_relids);
	foreach_ptr(Bitmapset, other, outers)
	{
		if (bms_equal(outer, other))
			return outers;
	}
	return bms_is_empty(outer) ? outers : lappend(outers, outer);
}

void
oss_bucket_paths(PlannerInfo *root, RelOptInfo *rel, Oid tableid)
{
	List	   *pathkeys = listing_pathkeys(root, rel);
	List	   *joining = joining_clauses(root, rel);
	List	   *outers = NIL;

	offer_path(root, rel, bms_copy(rel->lateral_relids), pathkeys);
	foreach_ptr(RestrictInfo, rinfo, joining)
	{
		/*
		 * two clauses, too: the bucket from one relation, the key from
		 * another
		 */
		foreach_ptr(RestrictInfo, other, joining)
			outers = add_outer(outers, rel, bms_union(rinfo->clause_relids, other->clause_relids));
	}
	foreach_ptr(Bitmapset, outer, outers)
		offer_path(root, rel, outer, pathkeys);
}

ForeignScan *
oss_bucket_plan(PlannerInfo *root, RelOptInfo *rel, Oid tableid,
				ForeignPath *path, List *tlist, List *clauses, Plan *outer_plan)
{
	List	   *values = NIL;
	bool		ordered = false;
	List	   *private;

	foreach_ptr(PathKey, pathkey, path->path.pathkeys)
		ordered |= pathkey_has(root, rel, pathkey, OSS_COLUMN_KEY);
	private = list_make1(makeInteger(ordered));
	foreach_ptr(RestrictInfo, rinfo, clauses)
	{
		OssConditionKind kind;
		Expr	   *value;

		if (!oss_bucket_condition(root, rel, rinfo, &kind, &value))
			continue;
		private = lappend(private, makeInteger(kind));
		values = lappend(values, value);
	}
	return make_foreignscan(tlist, extract_actual_clauses(clauses, false), rel->relid,
							values, private, NIL, NIL, outer_plan);
}
