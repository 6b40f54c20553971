/*-------------------------------------------------------------------------
 * trigger_columns.h
 *	  The arguments of an enqueuing trigger, and the present columns that they
 *	  name.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TRIGGER_COLUMNS_H
#define OSS_TRIGGER_COLUMNS_H

#include "commands/trigger.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "watch/watched_columns.h"

/* Name of the new rows in watch()'s triggers. */
#define OSS_WATCH_NEW "oss_labels_new"

/*
 * A trigger's arguments and plans, cached until the relation, the table on
 * which the trigger was created, or a server changes.
 */
typedef struct OssWatch
{
	Oid			trigger;		/* hash key */
	Oid			relation;
	Oid			source;			/* the table that was watched: an ancestor of
								 * a partition whose trigger is a clone */
	bool		stale;
	int			busy;			/* calls in progress that use it */
	MemoryContext context;
	char	   *problem;		/* why rows cannot be queued, or NULL */
	bool		shadowed;		/* the watch of a nearer table processes the
								 * rows */
	OssWatched *watched;		/* with columns of the relation */
	const char *server;			/* or NULL: the default */
	const char *bucket;			/* or NULL: from bucket_column */
	const char *condition;		/* or NULL: all rows */
	bool		has_thr;
	double		thr;
	Interval   *max_age;		/* or NULL: any */
	int32		priority;
	bool		forget_deleted; /* forget images of deleted rows */
	AttrNumber	key_column;
	AttrNumber	bucket_column;	/* 0 if bucket is set */
	AttrNumber	etag_column;	/* or 0: none */

	/* set by oss_condition_prepare() */
	SPIPlanPtr	find_new;
	SPIPlanPtr	find_old;
	SPIPlanPtr	find_row;
	Bitmapset  *read;			/* columns read by the condition */
} OssWatch;

/*
 * Return the watch of the trigger that is called, marked busy.  Problems that
 * DDL has caused since the trigger was created are in its problem.  Errors:
 * 22023 and 39P01 for a trigger that could never have worked, 0A000 for a
 * virtual generated column.
 */
extern OssWatch *oss_watch_enter(TriggerData *call);

/* End the use of a watch by a call. */
extern void oss_watch_leave(OssWatch *watch);

/*
 * Return why a column cannot hold a bucket or key, palloc'd, or NULL.
 * Errors: 0A000 for a virtual generated column.
 */
extern char *oss_watch_column_problem(Relation relation, AttrNumber column);

/* Is a function oss_labels.enqueue_trigger()? */
extern bool oss_watch_is_enqueue_trigger(Oid function);

/* Is a trigger the one for logical replication? */
extern bool oss_watch_is_replica(const Trigger *trigger);

#endif							/* OSS_TRIGGER_COLUMNS_H */
