/*-------------------------------------------------------------------------
 * explain.c
 *	  EXPLAIN of a foreign table: what is listed, and what it took.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/explain.h"
#include "bucket/plan.h"
#include "bucket/scan.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "compat.h"
#include "utils/builtins.h"
#include "utils/ruleutils.h"

/* Labels under which the kinds of conditions are printed. */
static const char *const kind_labels[] = {
	[OSS_BUCKET_IS] = "Bucket",
	[OSS_BUCKET_IN] = "Bucket",
	[OSS_KEY_IS] = "Key",
	[OSS_KEY_IN] = "Key",
	[OSS_KEY_BEGINS] = "Prefix",
	[OSS_KEY_LIKE] = "Prefix",
	[OSS_KEY_ABOVE] = "Start After",
	[OSS_KEY_FROM] = "Start At",
	[OSS_KEY_BELOW] = "Stop Before",
	[OSS_KEY_UP_TO] = "Stop After",
};

/* Return the text of a value to print: the string itself, or the expression. */
static char *
describe_value(ForeignScanState *node, OssConditionKind kind, Node *value, ExplainState *es)
{
	const Const *constant = (Const *) value;
	char	   *shown;
	bool		whole;

	if (IsA(value, Const) && !constant->constisnull &&
		(constant->consttype == TEXTOID || constant->consttype == VARCHAROID))
	{
		shown = TextDatumGetCString(constant->constvalue);
		return kind == OSS_KEY_LIKE ? oss_like_prefix(shown, &whole) : shown;
	}
	shown = deparse_expression(value, set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan, NIL),
							   list_length(es->rtable) > 1 || es->verbose, false);
	if (kind == OSS_BUCKET_IN || kind == OSS_KEY_IN)
		return psprintf("any of %s", shown);
	return kind == OSS_KEY_LIKE ? psprintf("that of %s", shown) : shown;
}

/* Print the conditions of the listing, those with one label in one line. */
static void
explain_spans(ForeignScanState *node, const OssBucketScan *scan, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	int			n = list_length(scan->kinds);

	for (int label = OSS_BUCKET_IS; label < lengthof(kind_labels); label++)
	{
		const char *name = kind_labels[label];
		char	   *line = NULL;
		const char *option = label == OSS_BUCKET_IS ? scan->table->options.bucket :
		label == OSS_KEY_BEGINS ? scan->table->options.prefix : NULL;

		if (label > 0 && strcmp(name, kind_labels[label - 1]) == 0)
			continue;
		if (option != NULL)
			line = pstrdup(option);
		for (int i = 0; i < n; i++)
		{
			OssConditionKind kind = intVal(list_nth(scan->kinds, i));
			char	   *value;

			if (strcmp(kind_labels[kind], name) != 0)
				continue;
			value = describe_value(node, kind, list_nth(plan->fdw_exprs, i), es);
			if (value[0] == '\0')
				continue;
			if (line == NULL)
				line = value;
			else if (strcmp(line, value) != 0)
				line = psprintf("%s and %s", line, value);
		}
		if (line == NULL && label == OSS_BUCKET_IS)
			line = "none: the query must say bucket = ...";
		if (line != NULL)
			ExplainPropertyText(name, line, es);
	}
}

void
oss_bucket_explain(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	OssBucketScan *scan = node->fdw_state;

	explain_spans(node, scan, es);
	if (scan->table->options.versions)
		ExplainPropertyBool("Versions", true, es);
	if (intVal(list_nth(plan->fdw_private, OSS_BUCKET_ORDERED)))
		ExplainPropertyText("Order", "key", es);
	if (!es->analyze)
		return;
	ExplainPropertyInteger("Listings", NULL, scan->listings, es);
	ExplainPropertyInteger("Requests", NULL, oss_bucket_scan_requests(scan), es);
	ExplainPropertyInteger("Objects", NULL, scan->objects, es);
}
