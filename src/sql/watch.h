/*-------------------------------------------------------------------------
 * watch.h
 *	  What a trigger that enqueues was told: its arguments, its columns and
 *	  the statements made of them.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WATCH_H
#define OSS_WATCH_H

#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"

/*
 * A trigger's arguments and plans, kept for the session until the relation
 * changes.  find selects the bucket and key of the rows that count, as the
 * inserting role; enqueue and cancel run as the extension's owner.  With a
 * condition, or for each row, they take what find found as arrays; otherwise
 * they read the transition tables themselves.
 */
typedef struct OssWatch
{
	Oid			trigger;		/* hash key */
	Oid			relation;
	Oid			source;			/* the table that was watched: the root of a
								 * partition whose trigger is a clone */
	bool		stale;
	int			busy;			/* calls on the stack that use it */
	MemoryContext context;
	const char *server;
	const char *bucket;			/* NULL: from the column */
	const char *condition;		/* NULL: every row */
	bool		has_thr;
	double		thr;
	int32		priority;
	AttrNumber	key_column;
	AttrNumber	bucket_column;	/* 0: bucket is given */
	SPIPlanPtr	find;
	SPIPlanPtr	find_old;
	SPIPlanPtr	enqueue;
	SPIPlanPtr	cancel;
} OssWatch;

/* Parameters of enqueue and cancel. */
#define OSS_WATCH_PARAMETERS 11

/*
 * Return the watch of the trigger that is called, with its plans, marked busy.
 * The transition tables must be registered with SPI.  Errors: 22023, 39P01,
 * 42703, 42804.
 */
extern OssWatch *oss_watch_enter(TriggerData *call);

/* The call is over; not needed when it threw. */
extern void oss_watch_leave(OssWatch *watch);

/* Raise 42804 when a column can't name a bucket or key. */
extern void oss_watch_check_column(Relation relation, AttrNumber column);

#endif							/* OSS_WATCH_H */
