/*-------------------------------------------------------------------------
 * watch_condition.h
 *	  Evaluating the condition of a watched table.
 *
 * A condition is a user's code: it runs as the role that changes the table, in
 * a subtransaction, and its errors are caught.
 */
#ifndef OSS_WATCH_CONDITION_H
#define OSS_WATCH_CONDITION_H

#include "watch/trigger_columns.h"

/* Result of a condition for a row. */
typedef enum OssRowVerdict
{
	OSS_ROW_NO,
	OSS_ROW_YES,
	OSS_ROW_ERROR
} OssRowVerdict;

/* The evaluation of a condition for a trigger's call. */
typedef struct OssConditionCall
{
	OssWatch   *watch;
	TriggerData *trigger;
	ErrorData  *error;			/* the first one, or NULL */
} OssConditionCall;

/*
 * Prepare the condition of a watch unless that was done, and set watch->read.
 * Returns false and sets call->error if it is not valid for the table any
 * more.
 */
extern bool oss_condition_prepare(OssConditionCall *call);

/*
 * Evaluate a prepared condition for the n rows of a transition table.
 * Returns an OssRowVerdict for each, in their order.
 */
extern uint8 *oss_condition_rows(OssConditionCall *call, Tuplestorestate *rows,
								 int64 n);

/* Evaluate a prepared condition for one row. */
extern OssRowVerdict oss_condition_row(OssConditionCall *call,
									   TupleTableSlot *slot);

/*
 * Check a condition, which uses the names of watched, against the present
 * table by preparing the trigger's statement.  Errors: those of preparing it.
 */
extern void oss_condition_check(Relation relation, const OssWatched *watched,
								const char *condition);

#endif							/* OSS_WATCH_CONDITION_H */
