/*-------------------------------------------------------------------------
 * handler.c
 *	  The foreign-data wrapper's handler.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/explain.h"
#include "bucket/import_schema.h"
#include "bucket/plan.h"
#include "bucket/sample.h"
#include "bucket/scan.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(oss_labels_handler);

static void
refuse_change(const char *what, const char *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot %s foreign table \"%s\"", what, table),
			 errdetail("A bucket is listed, not changed."),
			 errhint("Change objects with OSS's own tools; copy rows with INSERT INTO ... SELECT from it.")));
}

/* PlanForeignModify: refuse INSERT, UPDATE and DELETE. */
static List *
refuse_modify(PlannerInfo *root, ModifyTable *plan, Index relid, int subplan)
{
	RangeTblEntry *rte = planner_rt_fetch(relid, root);

	refuse_change(plan->operation == CMD_INSERT ? "insert into" :
				  plan->operation == CMD_UPDATE ? "update" : "delete from",
				  get_rel_name(rte->relid));
	return NIL;
}

/* ExecForeignTruncate. */
static void
refuse_truncate(List *relations, DropBehavior behavior, bool restart)
{
	refuse_change("truncate", RelationGetRelationName((Relation) linitial(relations)));
}

/* handler() */
Datum
oss_labels_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = oss_bucket_rel_size;
	routine->GetForeignPaths = oss_bucket_paths;
	routine->GetForeignPlan = oss_bucket_plan;
	routine->BeginForeignScan = oss_bucket_scan_begin;
	routine->IterateForeignScan = oss_bucket_scan_next;
	routine->ReScanForeignScan = oss_bucket_scan_again;
	routine->EndForeignScan = oss_bucket_scan_end;
	routine->ExplainForeignScan = oss_bucket_explain;
	routine->PlanForeignModify = refuse_modify;
	routine->ExecForeignTruncate = refuse_truncate;
	routine->AnalyzeForeignTable = oss_bucket_analyze;
	routine->ImportForeignSchema = oss_bucket_import;
	PG_RETURN_POINTER(routine);
}
