/*-------------------------------------------------------------------------
 * condition.c
 *	  The conditions of a query that narrow the listing.
 *
 * Under each deterministic collation equal text has equal bytes, and so has the
 * beginning of a pattern.  Only the collation C orders text by bytes.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/bucket.h"
#include "compat.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"

bool
oss_bucket_is_column(RelOptInfo *rel, Node *expr, OssBucketColumn column)
{
	OssBucketTable *table = rel->fdw_private;
	Var		   *var;

	/* from varchar, or from a domain */
	while (expr != NULL && IsA(expr, RelabelType))
		expr = (Node *) ((RelabelType *) expr)->arg;
	var = (Var *) expr;
	return var != NULL && IsA(var, Var) && var->varno == rel->relid &&
		var->varlevelsup == 0 && var->varattno > 0 &&
		var->varattno == table->attnos[column];
}

/*
 * Are bytes in this database sorted as keys are?  Other encodings may sort
 * differently.
 */
static bool
bytes_sort(void)
{
	return GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
}

bool
oss_bucket_sorts(Oid collation)
{
	return OidIsValid(collation) && oss_collates_by_bytes(collation) && bytes_sort();
}

/* Return the kind of the condition "key op value", by op's function, or -1. */
static int
kind_of_function(Oid funcid, Oid collation)
{
	switch (funcid)
	{
		case F_TEXTEQ:
			return OSS_KEY_IS;
		case F_TEXTLIKE:
			return OSS_KEY_LIKE;
		case F_STARTS_WITH:
			return OSS_KEY_BEGINS;
		case F_TEXT_GT:
			return oss_bucket_sorts(collation) ? OSS_KEY_ABOVE : -1;
		case F_TEXT_PATTERN_GT:
			return bytes_sort() ? OSS_KEY_ABOVE : -1;
		case F_TEXT_GE:
			return oss_bucket_sorts(collation) ? OSS_KEY_FROM : -1;
		case F_TEXT_PATTERN_GE:
			return bytes_sort() ? OSS_KEY_FROM : -1;
		case F_TEXT_LT:
			return oss_bucket_sorts(collation) ? OSS_KEY_BELOW : -1;
		case F_TEXT_PATTERN_LT:
			return bytes_sort() ? OSS_KEY_BELOW : -1;
		case F_TEXT_LE:
			return oss_bucket_sorts(collation) ? OSS_KEY_UP_TO : -1;
		case F_TEXT_PATTERN_LE:
			return bytes_sort() ? OSS_KEY_UP_TO : -1;
		default:
			return -1;
	}
}

/* The same of "column op value", or of "column op ANY (value)". */
static int
kind_of(RelOptInfo *rel, Node *column, Oid funcid, Oid collation, bool any)
{
	int			kind = kind_of_function(funcid, collation);

	if (!OidIsValid(collation) || !get_collation_isdeterministic(collation))
		return -1;
	if (oss_bucket_is_column(rel, column, OSS_COLUMN_KEY))
		return !any ? kind : kind == OSS_KEY_IS ? OSS_KEY_IN : -1;
	if (kind == OSS_KEY_IS && oss_bucket_is_column(rel, column, OSS_COLUMN_BUCKET))
		return any ? OSS_BUCKET_IN : OSS_BUCKET_IS;
	return -1;
}

/* Is the value known before the relation is listed? */
static bool
is_known(PlannerInfo *root, RelOptInfo *rel, Node *value)
{
	return !bms_is_member(rel->relid, pull_varnos(root, value)) &&
		!contain_volatile_functions(value) && !contain_subplans(value);
}

bool
oss_bucket_condition(PlannerInfo *root, RelOptInfo *rel, const RestrictInfo *rinfo,
					 OssConditionKind *kind, Expr **value)
{
	Expr	   *clause = rinfo->clause;
	Node	   *column = NULL;
	int			found = -1;

	if (rinfo->pseudoconstant)
		return false;
	if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
	{
		OpExpr	   *op = (OpExpr *) clause;
		Oid			other = get_commutator(op->opno);

		column = linitial(op->args);
		*value = lsecond(op->args);
		found = kind_of(rel, column, get_opcode(op->opno), op->inputcollid, false);
		if (found < 0 && OidIsValid(other))
		{
			column = lsecond(op->args);
			*value = linitial(op->args);
			found = kind_of(rel, column, get_opcode(other), op->inputcollid, false);
		}
	}
	else if (IsA(clause, ScalarArrayOpExpr) && ((ScalarArrayOpExpr *) clause)->useOr)
	{
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		*value = lsecond(op->args);
		found = kind_of(rel, linitial(op->args), get_opcode(op->opno), op->inputcollid, true);
	}
	else if (IsA(clause, FuncExpr) && ((FuncExpr *) clause)->funcid == F_STARTS_WITH)
	{
		FuncExpr   *call = (FuncExpr *) clause;

		*value = lsecond(call->args);
		found = kind_of(rel, linitial(call->args), call->funcid, call->inputcollid, false);
	}
	if (found < 0 || !is_known(root, rel, (Node *) *value))
		return false;
	*kind = (OssConditionKind) found;
	return true;
}
