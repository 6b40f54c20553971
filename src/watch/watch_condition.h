/*-------------------------------------------------------------------------
 * watch_condition.h
 *	  Evaluate the condition of a watched table.
 *
 * Top floor.  A condition is code of whoever wrote it: it runs as the role that
 * changes the table, in a subtransaction, and its errors are caught.
 */
#ifndef OSS_WATCH_CONDITION_H
#define OSS_WATCH_CONDITION_H

#include "postgres.h"

#include "watch/trigger_columns.h"

/* What a condition says about a row. */
typedef enum OssRowVerdict
{
	OSS_ROW_NO,
	OSS_ROW_YES,
	OSS_ROW_ERROR
} OssRowVerdict;

/* The rows that the condition of a call was evaluated for. */
typedef struct OssConditionCall
{
	OssWatch   *watch;
	TriggerData *trigger;
	ErrorData  *error;			/* the first one; NULL: none */
} OssConditionCall;

/*
 * Prepare the condition of a watch, unless it is; then watch->read is known.
 * False, with the error, if it is no condition for the table any more.
 */
extern bool oss_condition_prepare(OssConditionCall *call);

/*
 * Evaluate a prepared condition for the n rows of a transition table, in their
 * order.  Returns an OssRowVerdict for each.
 */
extern uint8 *oss_condition_rows(OssConditionCall *call, Tuplestorestate *rows,
								 int64 n);

/* Evaluate a prepared condition for one row. */
extern OssRowVerdict oss_condition_row(OssConditionCall *call,
									   TupleTableSlot *slot);

/*
 * Raise what is wrong with a condition in the names of watched for a table as
 * it is now, by preparing the statement that a trigger will run.
 */
extern void oss_condition_check(Relation relation, const OssWatched *watched,
								const char *condition);

#endif							/* OSS_WATCH_CONDITION_H */
