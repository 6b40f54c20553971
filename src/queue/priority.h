/*-------------------------------------------------------------------------
 * priority.h
 *	  Who may put jobs before everybody else's: priorities above 0 are granted.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PRIORITY_H
#define OSS_PRIORITY_H

#include "postgres.h"

/* May a role use priorities above 0? */
extern bool oss_may_prioritize(Oid role);

/* Raise 42501 for a priority that the caller may not use. */
extern void oss_check_priority(int32 priority);

/*
 * Return the priority of jobs that a trigger of a table makes: the given one if
 * the caller or the table's owner may use it, else 0, with one WARNING a
 * transaction.
 */
extern int32 oss_table_priority(int32 priority, Oid table);

#endif							/* OSS_PRIORITY_H */
