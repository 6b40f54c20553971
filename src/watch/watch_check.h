/*-------------------------------------------------------------------------
 * watch_check.h
 *	  Warnings about watches that DDL has ended.
 *
 * Top floor.  None of these raises an error but a cancellation, waits for a
 * lock, or runs code of a user's.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WATCH_CHECK_H
#define OSS_WATCH_CHECK_H

#include "postgres.h"

#include "nodes/pg_list.h"

/*
 * Check the watches of a table and of what inherits from it (InvalidOid: none),
 * and those whose conditions mention one of these names.
 */
extern void oss_watch_check(Oid relid, List *names);

/*
 * Check the watches that use what a command dropped.  To be called by an event
 * trigger for sql_drop.
 */
extern void oss_watch_check_dropped(void);

#endif							/* OSS_WATCH_CHECK_H */
