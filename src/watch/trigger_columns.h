/*-------------------------------------------------------------------------
 * trigger_columns.h
 *	  What a trigger that enqueues was told, and where its columns are now.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TRIGGER_COLUMNS_H
#define OSS_TRIGGER_COLUMNS_H

#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "watch/watched_columns.h"

/* Names of the transition tables of watch()'s triggers. */
#define OSS_WATCH_NEW "oss_labels_new"
#define OSS_WATCH_OLD "oss_labels_old"

/*
 * A trigger's arguments and plans, kept for the session until the relation, the
 * table it was watched through, or a server changes.
 */
typedef struct OssWatch
{
	Oid			trigger;		/* hash key */
	Oid			relation;
	Oid			source;			/* the table that was watched: an ancestor of
								 * a partition whose trigger is a clone */
	bool		stale;
	int			busy;			/* calls on the stack that use it */
	MemoryContext context;
	char	   *problem;		/* why nothing can be queued; NULL: it can */
	bool		shadowed;		/* a nearer table's watch serves the rows */
	OssWatched *watched;		/* columns are those of the relation */
	const char *server;			/* NULL: the one that NULL stands for */
	const char *bucket;			/* NULL: from the column */
	const char *condition;		/* NULL: every row */
	bool		has_thr;
	double		thr;
	int32		priority;
	AttrNumber	key_column;
	AttrNumber	bucket_column;	/* 0: bucket is given */

	/* once the condition is prepared, see watch_condition.h */
	SPIPlanPtr	find_new;
	SPIPlanPtr	find_old;
	SPIPlanPtr	find_row;
	Bitmapset  *read;			/* columns that the condition reads */
} OssWatch;

/*
 * Return the watch of the trigger that is called, marked busy.  Errors: 22023
 * and 39P01 for a trigger that could never have worked, 0A000 for a virtual
 * generated column.  What DDL did to it since is its problem.
 */
extern OssWatch *oss_watch_enter(TriggerData *call);

/* The call is over. */
extern void oss_watch_leave(OssWatch *watch);

/*
 * Return what is wrong with a column that shall name a bucket or key, or NULL.
 * Raises 0A000 for a virtual generated column.
 */
extern char *oss_watch_column_problem(Relation relation, AttrNumber column);

/* Does a trigger serve logical replication only? */
extern bool oss_watch_is_replica(const Trigger *trigger);

#endif							/* OSS_TRIGGER_COLUMNS_H */
