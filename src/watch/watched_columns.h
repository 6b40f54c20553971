/*-------------------------------------------------------------------------
 * watched_columns.h
 *	  What watch() remembers of a table: oss_labels.watched.
 *
 * Top floor.
 */
#ifndef OSS_WATCHED_COLUMNS_H
#define OSS_WATCHED_COLUMNS_H

#include "postgres.h"

#include "access/attnum.h"

/*
 * A table as it was when it was watched, and what became of its columns.
 * Conditions are written in the names of that time.
 */
typedef struct OssWatched
{
	Oid			relation;
	const char *table_name;		/* at that time, without schema */
	const char *server;			/* at present */
	int			ncolumns;
	const char **names;			/* of the columns at that time */
	AttrNumber *columns;		/* 0: dropped since */
} OssWatched;

/*
 * Read the row of a watch, whose number its triggers have as an argument, in
 * CurrentMemoryContext; NULL if there is none, as where a table was restored
 * without it.
 */
extern OssWatched *oss_watched_read(const char *watch);

/* Describe a table as it is now. */
extern OssWatched *oss_watched_now(Oid relid);

#endif							/* OSS_WATCHED_COLUMNS_H */
