/*-------------------------------------------------------------------------
 * store_trial.c
 *	  Finding out whether anything can be stored.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "store/store.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/*
 * An answer that could be stored once, or one with a label that is known, so that
 * the trial adds none.
 */
static OssPlan find_answer = {
	"(SELECT response FROM oss_labels.image LIMIT 1) UNION ALL "
	"(SELECT jsonb_build_object('Labels', jsonb_build_array(jsonb_build_object("
	"'LabelName', label_name, 'ParentLabelName', parent_label_name,"
	" 'LabelLevel', label_level, 'Language', language,"
	" 'LabelConfidence', 0.5, 'CentricScore', 0.5)))"
	" FROM oss_labels.vocabulary WHERE label_name IS NOT NULL LIMIT 1) LIMIT 1",
	0, {0}
};

/* Store an answer, as a function for a subtransaction. */
static void
store_something(void *arg)
{
	const char *bucket = arg;
	OssStoreRow row = {
		.image.bucket = bucket,
		.image.key = psprintf("oss_labels/trial of process %d", MyProcPid),
		.tagged_at = GetCurrentTimestamp()
	};

	AfterTriggerSetState(makeNode(ConstraintsSetStmt));
	if (oss_statement_execute(&find_answer, NULL, NULL, SPI_OK_SELECT) > 0)
		row.response = DatumGetJsonbPCopy(oss_result_column(0, 1, NULL));
	else
		row.response = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"Labels\": []}")));
	oss_store_write(&row, 1);
}

/*
 * Could an answer to an image in this bucket be stored?  Stores a valid answer for
 * an image that does not exist, and rolls that back.  Within
 * oss_statement_begin().  Returns NULL, or the error.
 */
ErrorData *
oss_store_trial(const char *bucket)
{
	return oss_subtransaction_trial(store_something, unconstify(char *, bucket));
}
