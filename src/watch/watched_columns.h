/*-------------------------------------------------------------------------
 * watched_columns.h
 *	  The table oss_labels.watched: columns of watched tables.
 */
#ifndef OSS_WATCHED_COLUMNS_H
#define OSS_WATCHED_COLUMNS_H

#include "access/attnum.h"

/*
 * A table at the time of watch(), and its present columns.  Conditions use
 * the names of that time.
 */
typedef struct OssWatched
{
	Oid			relation;
	const char *table_name;		/* at that time, not qualified */
	const char *server;			/* at present */
	int			ncolumns;
	const char **names;			/* of the columns at that time */
	AttrNumber *columns;		/* 0: dropped since */
} OssWatched;

/*
 * Read the row of a watch, whose key is an argument of its triggers, in
 * CurrentMemoryContext.  Returns NULL if there is none, as when a table was
 * restored alone.
 */
extern OssWatched *oss_watched_read(const char *watch);

/* Describe a table's present columns, in CurrentMemoryContext. */
extern OssWatched *oss_watched_now(Oid relid);

#endif							/* OSS_WATCHED_COLUMNS_H */
