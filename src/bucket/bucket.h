/*-------------------------------------------------------------------------
 * bucket.h
 *	  A bucket as a foreign table: its columns, and the conditions that narrow
 *	  what is listed.
 *
 * The planner's side (plan.c) finds the conditions (condition.c); the executor's
 * side (scan.c) makes listings of them (span.c) when their values are known.
 * All conditions stay conditions of the plan, too: what is listed needs only to
 * include what they let pass.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BUCKET_H
#define OSS_BUCKET_H

#include "client/table_option.h"
#include "nodes/pathnodes.h"
#include "utils/relcache.h"

/* The columns that a table may have, by name. */
typedef enum OssBucketColumn
{
	OSS_COLUMN_BUCKET,
	OSS_COLUMN_KEY,
	OSS_COLUMN_SIZE,
	OSS_COLUMN_ETAG,
	OSS_COLUMN_LAST_MODIFIED,
	OSS_COLUMN_STORAGE_CLASS,
	OSS_COLUMN_OBJECT_TYPE,
	OSS_COLUMN_RESTORED,
	OSS_COLUMN_VERSION_ID,		/* from here on with versions alone */
	OSS_COLUMN_IS_LATEST,
	OSS_COLUMN_IS_DELETE_MARKER,
	OSS_COLUMNS
} OssBucketColumn;

/* A foreign table. */
typedef struct OssBucketTable
{
	OssTableOptions options;
	AttrNumber	attnos[OSS_COLUMNS];	/* 0: the table has no such column */
} OssBucketTable;

/*
 * Read and check a foreign table, in CurrentMemoryContext.  Errors: HV007 a column
 * that means nothing here, HV004 one of another type, 22023 options.
 */
extern OssBucketTable *oss_bucket_table(Relation relation);

/* Return "name type" of a column, as CREATE FOREIGN TABLE wants it. */
extern const char *oss_bucket_column_sql(OssBucketColumn column);

/* Return the OID of that type. */
extern Oid	oss_bucket_column_type(OssBucketColumn column);

/* Kinds of conditions that narrow a listing. */
typedef enum OssConditionKind
{
	OSS_BUCKET_IS,
	OSS_BUCKET_IN,				/* an array */
	OSS_KEY_IS,
	OSS_KEY_IN,					/* an array */
	OSS_KEY_BEGINS,
	OSS_KEY_LIKE,				/* a pattern */
	OSS_KEY_ABOVE,				/* >, by bytes, as are the next ones */
	OSS_KEY_FROM,				/* >= */
	OSS_KEY_BELOW,				/* < */
	OSS_KEY_UP_TO				/* <= */
} OssConditionKind;

#define oss_condition_is_of_bucket(kind) ((kind) <= OSS_BUCKET_IN)

/*
 * Does a clause narrow the listing?  If so, sets *kind and the expression of its
 * value, which may have columns of other relations.
 */
extern bool oss_bucket_condition(PlannerInfo *root, RelOptInfo *rel,
								 const RestrictInfo *rinfo,
								 OssConditionKind *kind, Expr **value);

/* Is an expression a column of the relation, unchanged? */
extern bool oss_bucket_is_column(RelOptInfo *rel, Node *expr, OssBucketColumn column);

/* Does this collation sort text as keys are listed? */
extern bool oss_bucket_sorts(Oid collation);

#endif							/* OSS_BUCKET_H */
