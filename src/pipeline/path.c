/*-------------------------------------------------------------------------
 * path.c
 *	  The planner's hooks: what calls cost, and in which order relations are joined
 *	  with them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "executor/executor.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "pipeline/alone.h"
#include "pipeline/begun.h"
#include "pipeline/expected.h"
#include "pipeline/find_calls.h"
#include "pipeline/pipeline.h"
#include "pipeline/plan.h"
#include "utils/plancache.h"

/*
 * Cost of a call in the pipeline, as a fraction of its cost in a nested loop.
 * It does not depend on the concurrency: calls cost money, so cheap
 * conditions must precede them whatever the settings.  A pipeline that
 * another join restarts for each of its rows cannot read ahead beyond one
 * round, so each restart costs a fraction of a call.
 */
#define CALL_SHARE			0.5
#define RESTART_SHARE		0.25

/*
 * Fraction of the requests that each relation joined before the call may
 * save.
 */
#define JOIN_FIRST_BONUS	0.02

static set_rel_pathlist_hook_type prev_rel_pathlist_hook = NULL;
static set_join_pathlist_hook_type prev_join_pathlist_hook = NULL;
static planner_hook_type prev_planner_hook = NULL;
static ExecutorStart_hook_type prev_start_hook = NULL;

/* Was the library loaded in this transaction?  Then plans may be older. */
static bool late = false;

/*
 * Return the call of one of our functions that a base relation consists of, or NULL.
 */
static FuncExpr *
call_of(PlannerInfo *root, RelOptInfo *rel)
{
	RangeTblEntry *rte;
	RangeTblFunction *function;
	OssFunction which;

	if (rel->reloptkind != RELOPT_BASEREL || rel->rtekind != RTE_FUNCTION)
		return NULL;
	rte = planner_rt_fetch(rel->relid, root);
	function = linitial_node(RangeTblFunction, rte->functions);
	if (!IsA(function->funcexpr, FuncExpr))
		return NULL;
	if (!oss_pipeline_function(((FuncExpr *) function->funcexpr)->funcid, &which))
		return NULL;
	return (FuncExpr *) function->funcexpr;
}

/* Is a relation a call that can be begun ahead, for all that its arguments tell? */
static bool
may_begin(PlannerInfo *root, RelOptInfo *rel)
{
	FuncExpr   *call = call_of(root, rel);

	return call != NULL && !contain_subplans((Node *) call->args) &&
		!contain_volatile_functions((Node *) call->args);
}

/*
 * Charge the whole call to each rescan of a function with lateral arguments.
 *
 * The planner takes a function's cost as paid once and rescans as nearly
 * free, which holds only if the arguments do not change.  Otherwise a join
 * that drops most images could be placed after the requests for all of them.
 */
static void
charge_rescans(RelOptInfo *rel)
{
	ListCell   *lc;

	foreach(lc, rel->pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (path->pathtype == T_FunctionScan)
			path->startup_cost = 0;
	}
}

/* Hook: paths of a base relation. */
static void
on_rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti,
				RangeTblEntry *rte)
{
	if (prev_rel_pathlist_hook)
		prev_rel_pathlist_hook(root, rel, rti, rte);
	if (!bms_is_empty(rel->lateral_relids) &&
		call_of(root, rel) != NULL)
		charge_rescans(rel);
}

/* Return how many distinct images these relations can name. */
static double
estimate_distinct(PlannerInfo *root, Relids relids)
{
	double		images = 1;
	int			relid = -1;

	while ((relid = bms_next_member(relids, relid)) >= 0)
	{
		/* from PostgreSQL 16 on, relids include outer joins */
		if (root->simple_rel_array[relid] != NULL)
			images *= root->simple_rel_array[relid]->rows;
	}
	return images;
}

/*
 * Estimate the number of requests.  If all answers fit into work_mem, joining
 * another relation first can only save requests: *bonus is the share to charge.
 */
static double
estimate_requests(PlannerInfo *root, FuncExpr *call, Path *outer_path, double *bonus)
{
	Relids		relids = bms_intersect(pull_varnos(root, (Node *) call->args),
									   outer_path->parent->relids);
	double		images = estimate_distinct(root, relids);
	int			others = (bms_num_members(outer_path->parent->relids) -
						  bms_num_members(relids));

	*bonus = oss_expected_of(images + 1, images) > images ? 1 :
		1 - JOIN_FIRST_BONUS * Min(others, 10);
	return oss_expected_of(outer_path->rows, images);
}

/* Set the costs of a nested loop with a call as its inner side. */
static void
cost_loop(PlannerInfo *root, Path *path, FuncExpr *call, Path *outer_path, Path *call_path)
{
	QualCost	quals;
	double		bonus;
	double		calls;

	cost_qual_eval(&quals, ((JoinPath *) path)->joinrestrictinfo, root);
	calls = estimate_requests(root, call, outer_path, &bonus) * bonus * CALL_SHARE;
	if (PATH_REQ_OUTER(path) != NULL)
		calls += RESTART_SHARE;
	path->startup_cost = outer_path->startup_cost + quals.startup +
		path->pathtarget->cost.startup;
	path->total_cost = path->startup_cost +
		(outer_path->total_cost - outer_path->startup_cost) +
		calls * call_path->total_cost +
		outer_path->rows * call_path->rows * (cpu_tuple_cost + quals.per_tuple) +
		path->rows * path->pathtarget->cost.per_tuple;
	oss_path_copy_disabled(path, outer_path);
}

static Path *
function_path(RelOptInfo *rel)
{
	ListCell   *lc;

	foreach(lc, rel->pathlist)
	{
		if (((Path *) lfirst(lc))->pathtype == T_FunctionScan)
			return (Path *) lfirst(lc);
	}
	return NULL;
}

/*
 * Return the relations for each of whose rows the join would be restarted.
 * Sets *sensible to whether the planner would consider that.
 */
static Relids
find_required_outer(Path *outer_path, Path *call_path,
					JoinPathExtraData *extra, bool *sensible)
{
	Relids		required;

	required = calc_nestloop_required_outer(outer_path->parent->relids,
											PATH_REQ_OUTER(outer_path),
											call_path->parent->relids,
											PATH_REQ_OUTER(call_path));
	*sensible = bms_is_empty(required) ||
		bms_overlap(required, extra->param_source_rels);
	return required;
}

/* Make the path for an outer path.  Returns NULL if it makes no sense. */
static Path *
make_path(PlannerInfo *root, RelOptInfo *joinrel, Path *outer_path,
		  Path *call_path, JoinType jointype, JoinPathExtraData *extra)
{
	FuncExpr   *call = call_of(root, call_path->parent);
	JoinCostWorkspace workspace = {0};
	bool		sensible;
	Relids		required_outer = find_required_outer(outer_path, call_path,
													 extra, &sensible);
	Path	   *path;

	if (!sensible)
		return NULL;
	path = (Path *) create_nestloop_path(root, joinrel, jointype, &workspace, extra,
										 outer_path, call_path, extra->restrictlist,
										 build_join_pathkeys(root, joinrel, jointype,
															 outer_path->pathkeys),
										 required_outer);
	cost_loop(root, path, call, outer_path, call_path);
	return path;
}

/* Is a path a nested loop over these relations? */
static bool
is_nested_loop(Path *path, RelOptInfo *outerrel, RelOptInfo *innerrel)
{
	return IsA(path, NestPath) &&
		((JoinPath *) path)->outerjoinpath->parent == outerrel &&
		((JoinPath *) path)->innerjoinpath->parent == innerrel;
}

/*
 * Replace the nested loops over these relations by the pipeline.  They are
 * removed and not outbid by cost: with a Memoize, they may seem cheaper by an
 * estimate of equal images, which the pipeline requests only once too.
 */
static void
replace_nested_loops(RelOptInfo *joinrel, RelOptInfo *outerrel,
					 RelOptInfo *innerrel, List *paths)
{
	ListCell   *lc;

	foreach(lc, joinrel->pathlist)
	{
		if (is_nested_loop(lfirst(lc), outerrel, innerrel))
			joinrel->pathlist = foreach_delete_current(joinrel->pathlist, lc);
	}
	foreach(lc, paths)
		add_path(joinrel, lfirst(lc));
}

/*
 * May the pipeline be able to do this join?  Arguments may come from other
 * relations too: a nested loop above then passes them as parameters and
 * restarts the pipeline.
 */
static bool
join_may_fit(RelOptInfo *joinrel, RelOptInfo *outerrel, RelOptInfo *innerrel,
			 JoinType jointype)
{
	if (jointype != JOIN_INNER && jointype != JOIN_LEFT &&
		jointype != JOIN_SEMI && jointype != JOIN_ANTI)
		return false;
	return joinrel->reloptkind == RELOPT_JOINREL &&
		bms_overlap(innerrel->lateral_relids, outerrel->relids);
}

/* Add a nested loop for each outer path, with the costs of a pipeline. */
static void
offer_paths(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
			RelOptInfo *innerrel, JoinType jointype, JoinPathExtraData *extra)
{
	Path	   *call_path = function_path(innerrel);
	List	   *paths = NIL;
	ListCell   *lc;

	if (call_path == NULL)
		return;
	foreach(lc, outerrel->pathlist)
	{
		Path	   *outer_path = lfirst(lc);
		Path	   *path;

		if (bms_overlap(PATH_REQ_OUTER(outer_path), innerrel->relids))
			continue;
		path = make_path(root, joinrel, outer_path, call_path, jointype, extra);
		if (path != NULL)
			paths = lappend(paths, path);
	}
	if (paths != NIL)
		replace_nested_loops(joinrel, outerrel, innerrel, paths);
}

/* Does a join relation include a call of one of our functions? */
static bool
contains_call(PlannerInfo *root, RelOptInfo *rel)
{
	int			relid = -1;

	if (rel->reloptkind != RELOPT_JOINREL)
		return false;
	while ((relid = bms_next_member(rel->relids, relid)) >= 0)
	{
		/* from PostgreSQL 16 on, relids include outer joins */
		RelOptInfo *base = root->simple_rel_array[relid];

		if (base != NULL && call_of(root, base) != NULL)
			return true;
	}
	return false;
}

/* Does a join reread its inner side, from a Materialize? */
static bool
rereads_inner(Path *path)
{
	if (IsA(path, NestPath))
		return PATH_REQ_OUTER(((JoinPath *) path)->innerjoinpath) == NULL;
	return IsA(path, MergePath) && ((MergePath *) path)->materialize_inner;
}

/*
 * Charge joins that reread a pipeline as their inner side for all of its
 * requests at startup.
 *
 * The first outer row needs the whole inner side, but the planner spreads the
 * cost over the rows, so that with a LIMIT it expects to pay for a part of
 * them only.  Joins with the sides swapped, which such a path may have
 * displaced, are added again.
 */
static void
charge_inner_side(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
				  RelOptInfo *innerrel, JoinType jointype,
				  JoinPathExtraData *extra)
{
	static bool trying_again = false;
	bool		charged = false;
	ListCell   *lc;

	foreach(lc, joinrel->pathlist)
	{
		Path	   *path = lfirst(lc);
		Path	   *inner;

		if (!rereads_inner(path))
			continue;
		inner = ((JoinPath *) path)->innerjoinpath;
		if (inner->parent != innerrel)
			continue;
		path->startup_cost = Min(path->total_cost,
								 Max(path->startup_cost, inner->total_cost));
		charged = true;
	}
	if (!charged || trying_again || jointype != JOIN_INNER)
		return;
	trying_again = true;
	PG_TRY();
	{
		add_paths_to_joinrel(root, joinrel, innerrel, outerrel, JOIN_INNER,
							 extra->sjinfo, extra->restrictlist);
	}
	PG_FINALLY();
	{
		trying_again = false;
	}
	PG_END_TRY();
}

/* Hook: paths of a join of two relations. */
static void
on_join_pathlist(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
				 RelOptInfo *innerrel, JoinType jointype,
				 JoinPathExtraData *extra)
{
	if (prev_join_pathlist_hook)
		prev_join_pathlist_hook(root, joinrel, outerrel, innerrel, jointype,
								extra);
	if (oss_pipeline_enabled &&
		join_may_fit(joinrel, outerrel, innerrel, jointype) &&
		may_begin(root, innerrel))
		offer_paths(root, joinrel, outerrel, innerrel, jointype, extra);
	else if (oss_pipeline_enabled && contains_call(root, innerrel))
		charge_inner_side(root, joinrel, outerrel, innerrel, jointype, extra);
}

/*
 * Put pipelines into a plan.  One whose cost is money has nothing that is worth
 * compiling, which would delay the first request.
 */
static bool
treat_statement(PlannedStmt *stmt, bool scroll)
{
	if (!oss_pipeline_enabled || stmt->parallelModeNeeded || !oss_pipeline_has_functions(stmt) ||
		!oss_pipeline_insert(stmt, scroll))
		return false;
	stmt->jitFlags = PGJIT_NONE;
	return true;
}

/* Hook. */
static PlannedStmt *
on_planner(OSS_PLANNER_PARAMETERS)
{
	PlannedStmt *stmt = prev_planner_hook ? prev_planner_hook(OSS_PLANNER_ARGUMENTS) :
	standard_planner(OSS_PLANNER_ARGUMENTS);

	(void) treat_statement(stmt, (options & CURSOR_OPT_SCROLL) != 0);
	return stmt;
}

/*
 * Hook: treat the plan during whose making the library was loaded, too late for
 * on_planner().
 */
static void
on_pipeline_start(QueryDesc *desc, int eflags)
{
	if (late)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(desc));
		PlannedStmt *copy = copyObject(desc->plannedstmt);

		if (treat_statement(copy, (eflags & EXEC_FLAG_BACKWARD) != 0))
			desc->plannedstmt = copy;
		MemoryContextSwitchTo(old);
	}
	if (prev_start_hook)
		prev_start_hook(desc, eflags);
	else
		standard_ExecutorStart(desc, eflags);
}

/* Transaction callback: plans that are made from now on are treated by on_planner(). */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		late = false;
}

void
oss_pipeline_init(void)
{
	RegisterCustomScanMethods(&oss_pipeline_scan_methods);
	oss_begun_init();
	oss_alone_init();
	prev_planner_hook = planner_hook;
	planner_hook = on_planner;
	prev_rel_pathlist_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = on_rel_pathlist;
	prev_join_pathlist_hook = set_join_pathlist_hook;
	set_join_pathlist_hook = on_join_pathlist;
	if (process_shared_preload_libraries_in_progress)
		return;
	late = true;
	prev_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = on_pipeline_start;
	RegisterXactCallback(on_transaction_end, NULL);
	ResetPlanCache();
}
