/*-------------------------------------------------------------------------
 * watch_check.h
 *	  Warnings about watches that DDL has broken.
 *
 * These functions raise no error except a cancel, wait for no lock, and run no
 * user's code.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WATCH_CHECK_H
#define OSS_WATCH_CHECK_H

#include "nodes/pg_list.h"

/*
 * Check the watches of a table and its descendants (InvalidOid: none), and
 * those whose conditions mention one of these names.
 */
extern void oss_watch_check(Oid relid, List *names);

/*
 * For an event trigger on sql_drop: check the watches that use the dropped
 * objects.
 */
extern void oss_watch_check_dropped(void);

#endif							/* OSS_WATCH_CHECK_H */
