/*-------------------------------------------------------------------------
 * watch_condition.c
 *	  Evaluating the condition of a watched table.
 *
 * The text of a condition never changes.  It is evaluated over a subquery in
 * which the table and its columns have the names of the time of watch(), so
 * that it survives renames.  All rows of a statement are evaluated at once; if
 * one of them raises an error, each is evaluated alone.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "utils/builtins.h"
#include "utils/plancache.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "watch/watch_condition.h"

/* After this many rows with errors, the remaining rows count as errors too. */
#define MAX_ERRORS 100

/* Argument of steps that run in a subtransaction. */
typedef struct Step
{
	OssConditionCall *call;
	Relation	relation;
	SPIPlanPtr	plan;
	Datum		row;			/* of find_row */
	int64		n;
	int64		taken;
	uint8	   *verdicts;
	bool		repeatable;		/* rows will be evaluated again: do not keep
								 * the error */
} Step;

/* Argument of note_columns(). */
typedef struct ReadColumns
{
	const OssWatched *watched;
	Bitmapset  *columns;
	int			depth;
} ReadColumns;

/* Must an error be raised, since it is not one of the condition? */
static bool
is_passed_on(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_SYSTEM_ERROR ||
		category == ERRCODE_TRANSACTION_ROLLBACK;
}

/* Run a step; false and the error. */
static bool
run_step(void (*function) (void *), Step *step)
{
	ErrorData  *error = oss_subtransaction(function, step);

	if (error == NULL)
		return true;
	if (is_passed_on(error))
		ReThrowError(error);
	if (step->call->error == NULL && !step->repeatable)
		step->call->error = error;
	else
		FreeErrorData(error);
	return false;
}

/*
 * Append a subquery that gives the columns of "from", which have the present
 * names, their former names.
 */
static void
append_rows(StringInfo sql, const OssWatched *watched, Relation relation,
			const char *from)
{
	const char *separator = "";

	appendStringInfoString(sql, "(SELECT ");
	for (int i = 0; i < watched->ncolumns; i++)
	{
		FormData_pg_attribute *column;

		if (watched->columns[i] == 0)
			continue;
		column = TupleDescAttr(RelationGetDescr(relation),
							   watched->columns[i] - 1);
		appendStringInfo(sql, "%soss_labels_row.%s AS ", separator,
						 quote_identifier(NameStr(column->attname)));
		appendStringInfoString(sql, quote_identifier(watched->names[i]));
		separator = ", ";
	}
	appendStringInfo(sql, " FROM %s oss_labels_row) AS %s", from,
					 quote_identifier(watched->table_name));
}

/* Prepare a plan that gives a boolean for each row. */
static SPIPlanPtr
prepare_condition(const OssWatched *watched, Relation relation, const char *condition,
				  const char *from, int nargs)
{
	Oid			rowtype = RelationGetForm(relation)->reltype;
	StringInfoData sql;

	initStringInfo(&sql);
	/* the newline ends a comment in the condition */
	appendStringInfo(&sql, "SELECT CASE WHEN (%s\n) THEN true ELSE false END FROM ",
					 condition);
	append_rows(&sql, watched, relation, from);
	return oss_query_prepare(sql.data, nargs, &rowtype);
}

/* Tree walker: collect the columns that an expression reads. */
static bool
note_columns(Node *node, ReadColumns *read)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		bool		result;

		read->depth++;
		result = query_tree_walker((Query *) node, note_columns, read, 0);
		read->depth--;
		return result;
	}
	if (IsA(node, Var))
	{
		const Var  *var = (Var *) node;
		int			seen = 0;

		if (var->varlevelsup != read->depth || var->varno != 1)
			return false;
		for (int i = 0; i < read->watched->ncolumns; i++)
		{
			/*
			 * the subquery lacks dropped columns; attribute 0 is the whole
			 * row
			 */
			if (read->watched->columns[i] != 0 &&
				(++seen == var->varattno || var->varattno == 0))
				read->columns = bms_add_member(read->columns,
											   read->watched->columns[i]);
		}
		return false;
	}
	return expression_tree_walker(node, note_columns, read);
}

static Bitmapset *
condition_columns(SPIPlanPtr plan, const OssWatched *watched)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	ReadColumns read = {.watched = watched};

	(void) note_columns((Node *) linitial_node(Query, source->query_list)->targetList,
						&read);
	return read.columns;
}

/* Subtransaction: prepare the plans of a watch. */
static void
prepare_step(void *arg)
{
	Step	   *step = arg;
	OssWatch   *watch = step->call->watch;
	TriggerData *trigger = step->call->trigger;
	Relation	relation = trigger->tg_relation;
	SPIPlanPtr	plans[3] = {NULL, NULL, NULL};
	const char *from[] = {trigger->tg_trigger->tgnewtable,
	trigger->tg_trigger->tgoldtable, "(SELECT ($1).*)"};
	OssStatementState state;
	MemoryContext old;

	oss_statement_begin(&state, OSS_STATEMENT_PINNED);
	SPI_register_trigger_data(trigger);
	for (int i = 0; i < lengthof(plans); i++)
	{
		if (from[i] == NULL)
			continue;
		plans[i] = prepare_condition(watch->watched, relation, watch->condition,
									 i == 2 ? from[i] : quote_identifier(from[i]),
									 i == 2 ? 1 : 0);
	}
	old = MemoryContextSwitchTo(watch->context);
	watch->read = bms_copy(condition_columns(plans[2], watch->watched));
	MemoryContextSwitchTo(old);
	for (int i = 0; i < lengthof(plans); i++)
	{
		if (plans[i])
			oss_query_keep(plans[i]);
	}
	watch->find_new = plans[0];
	watch->find_old = plans[1];
	watch->find_row = plans[2];
	oss_statement_end(&state);
}

bool
oss_condition_prepare(OssConditionCall *call)
{
	Step		step = {.call = call};

	return call->watch->find_row != NULL || run_step(prepare_step, &step);
}

/* Take the value for a row. */
static void
take_verdict(uint64 row, void *arg)
{
	Step	   *step = arg;

	if (step->taken < step->n)
		step->verdicts[step->taken++] =
			DatumGetBool(oss_result_column(row, 1, NULL)) ? OSS_ROW_YES : OSS_ROW_NO;
}

/* Step: evaluate the rows of a transition table, or one row. */
static void
evaluate_step(void *arg)
{
	Step	   *step = arg;
	OssStatementState state;
	uint64		n;

	oss_statement_begin(&state, OSS_STATEMENT_PINNED);
	SPI_register_trigger_data(step->call->trigger);
	n = oss_query_read(step->plan, &step->row, false, take_verdict, step);
	oss_statement_end(&state);
	if (n != step->n)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("the condition does not give one value for each row"),
				 errhint("Write a condition without set-returning functions.")));
}

OssRowVerdict
oss_condition_row(OssConditionCall *call, TupleTableSlot *slot)
{
	uint8		verdict = OSS_ROW_NO;
	Step		step = {
		.call = call,
		.plan = call->watch->find_row,
		.row = ExecFetchSlotHeapTupleDatum(slot),
		.n = 1,
		.verdicts = &verdict
	};

	if (!run_step(evaluate_step, &step))
		verdict = OSS_ROW_ERROR;
	pfree(DatumGetPointer(step.row));
	return verdict;
}

static void
rows_one_by_one(OssConditionCall *call, Tuplestorestate *rows, int64 n,
				uint8 *verdicts)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(call->trigger->tg_relation),
													&TTSOpsMinimalTuple);
	int			pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	int			errors = 0;

	tuplestore_select_read_pointer(rows, pointer);
	tuplestore_rescan(rows);
	for (int64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		verdicts[i] = OSS_ROW_ERROR;
		/* evaluation may move the read pointer */
		tuplestore_select_read_pointer(rows, pointer);
		if (errors < MAX_ERRORS &&
			tuplestore_gettupleslot(rows, true, false, slot))
			verdicts[i] = oss_condition_row(call, slot);
		errors += verdicts[i] == OSS_ROW_ERROR;
	}
	ExecDropSingleTupleTableSlot(slot);
}

uint8 *
oss_condition_rows(OssConditionCall *call, Tuplestorestate *rows, int64 n)
{
	uint8	   *verdicts = palloc_extended(Max(n, 1),
										   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	Step		step = {
		.call = call,
		.plan = rows == call->trigger->tg_newtable ? call->watch->find_new :
		call->watch->find_old,
		.n = n,
		.verdicts = verdicts,
		.repeatable = true
	};

	if (run_step(evaluate_step, &step))
		return verdicts;
	rows_one_by_one(call, rows, n, verdicts);
	return verdicts;
}

void
oss_condition_check(Relation relation, const OssWatched *watched,
					const char *condition)
{
	EphemeralNamedRelationData rows = {{0}};
	StringInfoData sql;
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_PINNED);
	rows.md.name = OSS_WATCH_NEW;
	rows.md.reliddesc = RelationGetRelid(relation);
	rows.md.enrtype = ENR_NAMED_TUPLESTORE;
	SPI_register_relation(&rows);

	/*
	 * WHERE rejects what is not a condition on a row, with a suitable message
	 */
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT FROM ");
	append_rows(&sql, watched, relation, OSS_WATCH_NEW);
	appendStringInfo(&sql, " WHERE (%s\n)", condition);
	(void) oss_query_prepare(sql.data, 0, NULL);
	(void) prepare_condition(watched, relation, condition, OSS_WATCH_NEW, 0);
	oss_statement_end(&state);
}
